//! The command line: flags in, one of the commands run.
//!
//! Not here: what the commands do beyond reading flags and printing (`server`, `hosting`).

mod admin;
mod bare;
mod serve;

use std::process::ExitCode;

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
    /// Serve a fetch from a plain folder, as git-upload-pack does
    UploadPack(bare::UploadPack),
    /// Take a push to a plain folder, as git-receive-pack does
    ReceivePack(bare::ReceivePack),
    /// Serve plain folders as a CGI, as git-http-backend does
    HttpBackend,
}

impl Cli {
    /// Runs the command to its end; answers the status to exit with.
    ///
    /// # Errors
    /// When it fails; the chain of causes is made to be printed.
    pub fn run(self) -> anyhow::Result<ExitCode> {
        match self.command {
            Command::Serve(serve) => serve.run()?,
            Command::Admin(admin) => admin.run()?,
            Command::UploadPack(program) => return Ok(program.run()),
            Command::ReceivePack(program) => return Ok(program.run()),
            Command::HttpBackend => return Ok(bare::http_backend()),
        }
        Ok(ExitCode::SUCCESS)
    }
}
