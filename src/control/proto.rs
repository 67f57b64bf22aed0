//! What `build.rs` generates from `proto/`: the messages, clients and servers of `pogo.v1`. The
//! only place with generated code.

#![allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::pedantic,
    clippy::too_many_arguments,
    clippy::too_many_lines,
    clippy::semicolon_if_nothing_returned,
    clippy::needless_pass_by_value,
    clippy::uninlined_format_args,
    rustdoc::all,
    reason = "generated"
)]

tonic::include_proto!("pogo.v1");

/// The descriptors of `pogo.v1` and what it imports, for reflection.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/pogo.v1.bin"));
