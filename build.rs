//! Compiles `proto/` without protoc: Rust types and services, and the descriptors for reflection.

use std::error::Error;
use std::path::PathBuf;

/// The files with a service; what they import comes along.
const FILES: [&str; 7] = [
    "pogo/v1/publisher.proto",
    "pogo/v1/channels.proto",
    "pogo/v1/sessions.proto",
    "pogo/v1/firewall.proto",
    "pogo/v1/endpoints.proto",
    "pogo/v1/events.proto",
    "pogo/v1/nodes.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=proto");
    let mut compiler = protox::Compiler::new(["proto"])?;
    compiler
        .include_imports(true)
        .include_source_info(true)
        .open_files(FILES)?;

    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    std::fs::write(
        out.join("pogo.v1.bin"),
        compiler.encode_file_descriptor_set(),
    )?;
    tonic_prost_build::configure()
        .bytes(".")
        .extern_path(".google.rpc.Status", "::tonic_types::Status")
        .emit_rerun_if_changed(false)
        .compile_fds(compiler.file_descriptor_set())?;
    Ok(())
}
