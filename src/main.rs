//! The `packhorse` program: reads the command line and runs one command.

use std::process::ExitCode;

use clap::Parser as _;

fn main() -> ExitCode {
    match packhorse::cli::Cli::parse().run() {
        Ok(status) => status,
        Err(error) => {
            eprintln!("packhorse: {error:#}");
            ExitCode::FAILURE
        }
    }
}
