//! The `pogo` program: arguments → Config → Server → exit code, all of it in [`pogo::cli`].

#![forbid(unsafe_code)]

use std::process::ExitCode;

fn main() -> ExitCode {
    pogo::cli::main(std::env::args_os())
}
