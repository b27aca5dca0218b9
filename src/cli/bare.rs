//! `packhorse upload-pack` and its kin: git's programs over a plain folder.
//!
//! Source: git-upload-pack(1), git-receive-pack(1).
//! Invariant: they end as git's do, with a line that begins with `fatal: ` and status 128.

use std::{path::PathBuf, process::ExitCode, time::Duration};

use crate::bare::{self, BareError, FATAL, Program};

/// Flags of `packhorse upload-pack`.
#[derive(Debug, clap::Args)]
pub(super) struct UploadPack {
    /// Do not try DIR/.git/ if DIR is no Git directory
    #[arg(long, overrides_with = "no_strict")]
    strict: bool,
    /// Try DIR/.git/, DIR.git and so on (the default)
    #[arg(long, overrides_with = "strict")]
    no_strict: bool,
    /// Interrupt the transfer after N seconds of inactivity
    #[arg(long, value_name = "N", default_value_t = 0)]
    timeout: u64,
    /// Read one request, answer it and exit
    #[arg(long)]
    stateless_rpc: bool,
    /// Answer `GET info/refs` of smart HTTP
    #[arg(long, alias = "advertise-refs")]
    http_backend_info_refs: bool,
    /// The repository
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

impl UploadPack {
    pub(super) fn run(self) -> ExitCode {
        let program = Program {
            directory: self.directory,
            strict: self.strict && !self.no_strict,
            timeout: (self.timeout > 0).then(|| Duration::from_secs(self.timeout)),
            stateless_rpc: self.stateless_rpc,
            advertise_refs: self.http_backend_info_refs,
        };
        ended(program.upload_pack())
    }
}

/// Flags of `packhorse receive-pack`.
#[derive(Debug, clap::Args)]
pub(super) struct ReceivePack {
    /// Read one request, answer it and exit
    #[arg(long)]
    stateless_rpc: bool,
    /// Answer `GET info/refs` of smart HTTP
    #[arg(long, alias = "advertise-refs")]
    http_backend_info_refs: bool,
    /// Run the repository's hooks, which are programs of whoever may write to it
    #[arg(long)]
    hooks: bool,
    /// The repository
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

impl ReceivePack {
    pub(super) fn run(self) -> ExitCode {
        let program = Program {
            directory: self.directory,
            strict: false,
            timeout: None,
            stateless_rpc: self.stateless_rpc,
            advertise_refs: self.http_backend_info_refs,
        };
        ended(program.receive_pack(self.hooks))
    }
}

/// Answers one request as a CGI.
pub(super) fn http_backend() -> ExitCode {
    ended(bare::http_backend())
}

/// The status that git's programs end with.
fn ended(outcome: Result<(), BareError>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("fatal: {error}");
            ExitCode::from(FATAL)
        }
    }
}
