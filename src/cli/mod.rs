//! The command line: flags in, one of the commands run.
//!
//! Not here: what the commands do beyond reading flags and printing (`server`, `hosting`).

mod admin;
mod serve;

use clap::{Parser, Subcommand};

/// A Git server in one process: SSH, smart HTTP and management APIs over one transactional store.
#[derive(Debug, Parser)]
#[command(name = "packhorse", version, disable_help_subcommand = true)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server
    Serve(Box<serve::Serve>),
    /// Manage a running server
    Admin(admin::Admin),
}

impl Cli {
    /// Runs the command to its end.
    ///
    /// # Errors
    /// When it fails; the chain of causes is made to be printed.
    pub fn run(self) -> anyhow::Result<()> {
        match self.command {
            Command::Serve(serve) => serve.run(),
            Command::Admin(admin) => admin.run(),
        }
    }
}
