//! What became of a push.
//!
//! Source: gitprotocol-pack(5), "Report Status"; gitprotocol-capabilities(5), "report-status-v2".
//! Bounds: reasons are cut where a line ends; the report has as many lines as there are statuses.
//! Invariant: a report is what the client asked for, no more; without one it only sees the end.
//! Not here: the verdicts.

use gix_hash::ObjectId;

use super::{PushRequest, ReceivePack, commands::ReportKind};
use crate::{
    pkt_line::{self, Line},
    sideband::{Band, Sideband},
    text,
};

/// What became of one command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandStatus<'a> {
    /// The ref the command named.
    pub name: &'a [u8],
    /// How it ended.
    pub outcome: Outcome<'a>,
}

/// How a command ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome<'a> {
    /// Carried out, and nothing more to say.
    Done,
    /// Carried out otherwise than asked for; clients that can't read it learn only that it was done.
    DoneAs(Vec<RefUpdate<'a>>),
    /// Not carried out, with a reason for the user such as `non-fast-forward`.
    Rejected(&'a str),
}

/// What really happened to a ref.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct RefUpdate<'a> {
    /// The ref, if it is another.
    pub name: Option<&'a [u8]>,
    /// What it pointed to, if not what the command said.
    pub old: Option<ObjectId>,
    /// What it points to, if not what the command said.
    pub new: Option<ObjectId>,
    /// History was rewritten.
    pub forced: bool,
}

/// The way to answer a push.
#[must_use]
#[derive(Debug)]
pub struct ReceiveReply {
    sideband: Sideband,
    report: ReportKind,
    buffered: Vec<u8>,
}

impl ReceiveReply {
    pub(super) fn new(request: &PushRequest, buffered: Vec<u8>) -> Self {
        Self {
            sideband: request.multiplexing(),
            report: request.report,
            buffered,
        }
    }

    /// Bytes that were read along with the request and belong to the pack.
    pub fn buffered(&self) -> &[u8] {
        &self.buffered
    }

    /// Takes them out.
    pub fn take_buffered(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.buffered)
    }

    /// How answers are framed.
    pub fn sideband(&self) -> Sideband {
        self.sideband
    }

    /// Appends text for the user's terminal, if there is a way to send it.
    pub fn progress(&self, text: &str, output: &mut Vec<u8>) {
        self.sideband.write_progress(text, output);
    }

    /// Appends a packet without content, to keep a connection alive while there is nothing to say yet.
    pub fn keepalive(&self, output: &mut Vec<u8>) {
        if let Some(header) = self.sideband.data_header(0) {
            output.extend_from_slice(&header);
        }
    }

    /// Appends the report: whether the pack was taken, and what became of each command.
    pub fn report<'a>(
        self,
        unpack: Result<(), &str>,
        statuses: impl IntoIterator<Item = CommandStatus<'a>>,
        output: &mut Vec<u8>,
    ) -> ReceivePack {
        if self.report != ReportKind::None {
            let mut report = Vec::new();
            write_line(
                &[b"unpack ", reason(unpack.err().unwrap_or("ok")).as_bytes()],
                &mut report,
            );
            for status in statuses {
                self.write_status(&status, &mut report);
            }
            pkt_line::write_flush(&mut report);
            self.sideband.write(Band::Data, &report, output);
        }
        if self.sideband != Sideband::None {
            pkt_line::write_flush(output);
        }
        ReceivePack::Finished
    }

    /// Appends the reason why there is no report: the push broke before it could be judged.
    pub fn fail(self, message: &str, output: &mut Vec<u8>) -> ReceivePack {
        self.sideband.write_failure(message, output);
        ReceivePack::Finished
    }

    fn write_status(&self, status: &CommandStatus<'_>, report: &mut Vec<u8>) {
        let updates = match &status.outcome {
            Outcome::Rejected(why) => {
                return write_line(&[b"ng ", status.name, b" ", reason(why).as_bytes()], report);
            }
            Outcome::DoneAs(updates) if self.report == ReportKind::V2 && !updates.is_empty() => {
                updates
            }
            Outcome::Done | Outcome::DoneAs(_) => {
                return write_line(&[b"ok ", status.name], report);
            }
        };
        for update in updates {
            write_line(&[b"ok ", status.name], report);
            if let Some(name) = update.name {
                write_line(&[b"option refname ", name], report);
            }
            if let Some(old) = update.old {
                write_line(&[b"option old-oid ", old.to_string().as_bytes()], report);
            }
            if let Some(new) = update.new {
                write_line(&[b"option new-oid ", new.to_string().as_bytes()], report);
            }
            if update.forced {
                write_line(&[b"option forced-update"], report);
            }
        }
    }
}

fn write_line(parts: &[&[u8]], report: &mut Vec<u8>) {
    let mut line = Line::begin(report);
    for part in parts {
        line.bytes(part);
    }
    line.bytes(b"\n");
    line.end_cut();
}

/// A reason as one line that leaves room for a name.
fn reason(text: &str) -> String {
    text::one_line(text).chars().take(REASON_CHARS).collect()
}

/// Characters of a reason.
const REASON_CHARS: usize = 1_000;
