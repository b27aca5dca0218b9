//! The `packhorse` program: reads the command line and runs one command.

use std::process::ExitCode;

use clap::Parser as _;

/// Gives memory back to the system when it is free, and asks for no huge pages, which made each thread weigh
/// megabytes. The system's own allocator keeps what a computation
/// freed: hundreds of megabytes after one clone of a large repository.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match packhorse::cli::Cli::parse().run() {
        Ok(status) => status,
        Err(error) => {
            eprintln!("packhorse: {error:#}");
            ExitCode::FAILURE
        }
    }
}
