//! The `pogo` program: arguments → Config → Server → exit code, all of it in [`pogo::cli`].

use std::process::ExitCode;

fn main() -> ExitCode {
    pogo::cli::main(std::env::args_os())
}
