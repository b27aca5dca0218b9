//! One fetch from an upstream: three questions over HTTPS, and a pack that is checked like a push's.
//!
//! Source: gitprotocol-http(5), "Smart Clients"; git-config(1), `http.followRedirects=initial`: only the
//! first question follows redirects, and the others go where it ended.
//! Bounds: [`CAPABILITIES_BYTES_MAX`], [`REFS_BYTES_MAX`], [`HAVES_MAX`]; the pack by the limits of pushes;
//! all of it by a deadline.
//! Invariant: nothing that the upstream sends is taken without the checks that a push passes.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Read},
    time::Instant,
};

use packhorse_protocol::{
    fetch_client::{
        AnswerError, PackAnswer, Piece, pack_request, read_capabilities, read_refs, refs_request,
    },
    pkt_line,
};
use tokio_util::sync::CancellationToken;

use crate::{
    git::receive::{self, Limits, Quarantine, ReceiveError},
    hosting::{Found, HostingError, Run},
    model::{ObjectId, RefName, RefSnapshot},
    outbound::{Answer, Call, Login, Outbound, OutboundError},
};

/// Longest list of what an upstream can do.
const CAPABILITIES_BYTES_MAX: u64 = 1 << 20;
/// Longest list of its refs; some 600,000 of them.
const REFS_BYTES_MAX: u64 = 64 << 20;
/// Objects of ours that are told to an upstream, so that it sends less.
const HAVES_MAX: usize = 20_000;
/// How we call ourselves.
const AGENT: &str = concat!("packhorse/", env!("CARGO_PKG_VERSION"));
const PROTOCOL: (&str, &str) = ("git-protocol", "version=2");

/// Why a run failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum SyncError {
    /// The upstream can't be reached, or must not be.
    #[error(transparent)]
    Outbound(#[from] OutboundError),
    /// It wants a credential, or another one.
    #[error("the upstream refuses the credential, or wants one")]
    Unauthorized,
    /// There is no such repository.
    #[error("the upstream has no such repository")]
    Absent,
    /// It answers with this status.
    #[error("the upstream answers with status {0}")]
    Status(u16),
    /// It is no Git server.
    #[error("the upstream is no Git server")]
    NotGit,
    /// It does not answer as a Git server does.
    #[error("the upstream: {0}")]
    Answer(#[from] AnswerError),
    /// It says more than is listened to.
    #[error("the upstream's answer is larger than {0} bytes")]
    TooLarge(u64),
    /// Its answer broke off.
    #[error("the upstream's answer could not be read")]
    Read(#[source] io::Error),
    /// It has no such branch or tag.
    #[error("the upstream has no ref {0}")]
    NoSuchRef(RefName),
    /// Its pack is not taken.
    #[error("the upstream's objects were refused: {0}")]
    Receive(#[from] ReceiveError),
    /// Something of ours failed.
    #[error("internal error")]
    Hosting(#[from] HostingError),
    /// The run itself broke.
    #[error("internal error")]
    Broken,
}

impl SyncError {
    /// Whether the same might go well some time later.
    pub(super) fn is_temporary(&self) -> bool {
        match self {
            Self::Outbound(error) => error.is_temporary(),
            Self::Status(status) => *status >= 500 || *status == 429,
            Self::Read(_) => true,
            Self::Receive(error) => matches!(
                error,
                ReceiveError::Truncated(_) | ReceiveError::Input(_) | ReceiveError::Storage(_)
            ),
            Self::Hosting(error) => error.is_full_disk(),
            _ => false,
        }
    }

    /// What users of the repository may read of it.
    pub(super) fn for_users(&self) -> String {
        match self {
            Self::Hosting(error @ HostingError::TooMany { .. }) => error.to_string(),
            other => other.to_string(),
        }
    }
}

/// What was fetched.
pub(super) struct Fetched {
    pub(super) found: Found,
    /// The objects that were missing here, if any were.
    pub(super) quarantine: Option<Quarantine>,
}

/// What a fetch works with.
pub(super) struct Session<'a> {
    pub(super) outbound: &'a Outbound,
    pub(super) limits: &'a Limits,
    pub(super) deadline: Instant,
    pub(super) stop: &'a CancellationToken,
}

impl Session<'_> {
    /// Fetches all branches and tags, or one.
    pub(super) fn fetch(&self, run: &Run, only: Option<&RefName>) -> Result<Fetched, SyncError> {
        let format = run.objects.format().kind();
        let login = run.login.as_ref().map(|login| Login {
            user: login.user.clone(),
            password: login.password.clone(),
        });
        let server = self.greet(&run.upstream.url, login, format)?;
        let prefixes = match only {
            Some(name) => vec!["HEAD", name.as_str()],
            None => vec!["HEAD", "refs/heads/", "refs/tags/"],
        };
        let question = refs_request(format, AGENT, &prefixes);
        let answer = self.ask(&server, &question)?;
        let listed = read_refs(&whole(answer, REFS_BYTES_MAX)?, format)?;
        let mut found = Found {
            refs: BTreeMap::new(),
            all: only.is_none(),
            head: None,
        };
        for one in listed {
            if one.name == b"HEAD" {
                let target = one.symref_target.as_deref().map(RefName::from_bytes);
                found.head = target.and_then(Result::ok);
                continue;
            }
            match RefName::from_bytes(&one.name) {
                Ok(name) if is_mirrored(&name) && only.is_none_or(|only| *only == name) => {
                    found.refs.insert(name, one.id);
                }
                Ok(_) => {}
                Err(error) => tracing::debug!(%error, "a ref of an upstream is left out"),
            }
        }
        if let Some(only) = only
            && found.refs.is_empty()
        {
            return Err(SyncError::NoSuchRef(only.clone()));
        }
        let quarantine = self.objects(run, &server, &found)?;
        Ok(Fetched { found, quarantine })
    }

    /// Asks what the server can do, and learns where it really is.
    fn greet(
        &self,
        url: &str,
        login: Option<Login>,
        format: gix_hash::Kind,
    ) -> Result<Server, SyncError> {
        const TAIL: &str = "/info/refs?service=git-upload-pack";
        let call = Call {
            headers: &[PROTOCOL],
            login: login.as_ref(),
            body: None,
            deadline: self.deadline,
        };
        let answer = self.outbound.call(&format!("{url}{TAIL}"), &call)?;
        let asked = answer.uri.to_string();
        let base = asked
            .strip_suffix(TAIL)
            .ok_or(SyncError::NotGit)?
            .to_owned();
        let same_server = answer.same_server;
        let answer = checked(answer, "application/x-git-upload-pack-advertisement")?;
        read_capabilities(&whole(answer, CAPABILITIES_BYTES_MAX)?, format)?;
        Ok(Server {
            base,
            login: login.filter(|_| same_server),
        })
    }

    fn ask(&self, server: &Server, question: &[u8]) -> Result<Answer, SyncError> {
        let call = Call {
            headers: &[
                PROTOCOL,
                ("content-type", "application/x-git-upload-pack-request"),
                ("accept", "application/x-git-upload-pack-result"),
            ],
            login: server.login.as_ref(),
            body: Some(question),
            deadline: self.deadline,
        };
        let url = format!("{}/git-upload-pack", server.base);
        let answer = self.outbound.call(&url, &call)?;
        checked(answer, "application/x-git-upload-pack-result")
    }

    /// The objects behind the refs that are missing here.
    fn objects(
        &self,
        run: &Run,
        server: &Server,
        found: &Found,
    ) -> Result<Option<Quarantine>, SyncError> {
        let packs = run.objects.packs();
        let ids: BTreeSet<ObjectId> = found.refs.values().copied().collect();
        let wants: Vec<ObjectId> = ids.into_iter().filter(|id| !packs.contains(id)).collect();
        if wants.is_empty() {
            return Ok(None);
        }
        let haves = haves(&run.refs);
        let question = pack_request(packs.format().kind(), AGENT, &wants, &haves);
        let answer = self.ask(server, &question)?;
        let mut pack = PackReader {
            lines: answer.response.into_body().into_reader(),
            answer: PackAnswer::default(),
            line: Vec::new(),
            ready: 0..0,
            ended: false,
            refused: None,
            stop: self.stop,
            deadline: self.deadline,
        };
        let taken = receive::ingest(&run.objects, &mut pack, self.limits, &mut |_| {});
        match (taken, pack.refused) {
            // What the upstream said explains best why its pack is none.
            (Err(_), Some(refused)) => Err(refused.into()),
            (taken, _) => Ok(Some(taken?)),
        }
    }
}

/// A server that has shown what it can do.
struct Server {
    /// Where the repository is, without trailing slash.
    base: String,
    login: Option<Login>,
}

/// Branches and tags are mirrored, and nothing that is of another namespace or of the server's own.
fn is_mirrored(name: &RefName) -> bool {
    name.as_branch().is_some() || name.as_tag().is_some()
}

/// What we have, for the upstream to build on.
fn haves(refs: &RefSnapshot) -> Vec<ObjectId> {
    let entries = refs
        .entries()
        .iter()
        .filter(|entry| is_mirrored(&entry.name));
    let ids: BTreeSet<ObjectId> = entries.map(|entry| entry.id).collect();
    ids.into_iter().take(HAVES_MAX).collect()
}

fn checked(answer: Answer, expected: &str) -> Result<Answer, SyncError> {
    match answer.response.status().as_u16() {
        200 => {}
        401 | 403 => return Err(SyncError::Unauthorized),
        404 | 410 => return Err(SyncError::Absent),
        status => return Err(SyncError::Status(status)),
    }
    let given = answer.response.headers().get("content-type");
    match given.is_some_and(|given| given == expected) {
        true => Ok(answer),
        false => Err(SyncError::NotGit),
    }
}

fn whole(answer: Answer, most: u64) -> Result<Vec<u8>, SyncError> {
    let mut bytes = Vec::new();
    let reader = answer.response.into_body().into_reader();
    let read = reader.take(most + 1).read_to_end(&mut bytes);
    read.map_err(SyncError::Read)?;
    match u64::try_from(bytes.len()).is_ok_and(|length| length <= most) {
        true => Ok(bytes),
        false => Err(SyncError::TooLarge(most)),
    }
}

/// The pack inside of an answer.
struct PackReader<'a, R> {
    lines: R,
    answer: PackAnswer,
    line: Vec<u8>,
    /// Where in the line bytes of the pack wait.
    ready: std::ops::Range<usize>,
    ended: bool,
    /// What the upstream said instead of going on.
    refused: Option<AnswerError>,
    stop: &'a CancellationToken,
    deadline: Instant,
}

impl<R: Read> PackReader<'_, R> {
    /// Reads one line, and finds out what of it is pack.
    fn next(&mut self) -> io::Result<()> {
        if self.stop.is_cancelled() {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        if Instant::now() >= self.deadline {
            return Err(io::ErrorKind::TimedOut.into());
        }
        self.ready = 0..0;
        self.line.resize(4, 0);
        self.lines.read_exact(&mut self.line)?;
        let digits = std::str::from_utf8(&self.line).unwrap_or_default();
        let length = usize::from_str_radix(digits, 16).unwrap_or_default();
        if length > 4 && length <= 4 + pkt_line::MAX_DATA {
            self.line.resize(length, 0);
            self.lines.read_exact(&mut self.line[4..])?;
        }
        let mut rest = &self.line[..];
        let piece = match pkt_line::decode(&mut rest) {
            Ok(Some(line)) => self.answer.line(line),
            Ok(None) => Err(AnswerError::UnexpectedEnd),
            Err(error) => Err(error.into()),
        };
        match piece {
            Ok(Piece::Nothing) => {}
            Ok(Piece::Pack(pack)) => self.ready = self.line.len() - pack.len()..self.line.len(),
            Ok(Piece::End) => self.ended = true,
            Err(error) => {
                self.refused = Some(error);
                return Err(io::ErrorKind::InvalidData.into());
            }
        }
        Ok(())
    }
}

impl<R: Read> Read for PackReader<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.ready.is_empty() && !self.ended {
            self.next()?;
        }
        let waiting = &self.line[self.ready.clone()];
        let count = waiting.len().min(buffer.len());
        buffer[..count].copy_from_slice(&waiting[..count]);
        self.ready.start += count;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read_all(wire: &[u8]) -> (io::Result<Vec<u8>>, Option<AnswerError>) {
        let stop = CancellationToken::new();
        let mut reader = PackReader {
            lines: wire,
            answer: PackAnswer::default(),
            line: Vec::new(),
            ready: 0..0,
            ended: false,
            refused: None,
            stop: &stop,
            deadline: Instant::now() + std::time::Duration::from_secs(60),
        };
        let mut pack = Vec::new();
        let mut byte = [0; 3];
        let read = loop {
            match reader.read(&mut byte) {
                Ok(0) => break Ok(pack),
                Ok(count) => pack.extend_from_slice(&byte[..count]),
                Err(error) => break Err(error),
            }
        };
        (read, reader.refused)
    }

    #[test]
    fn a_pack_is_read_out_of_its_lines_and_nothing_else() {
        let wire = b"000dpackfile\n0009\x01PACK0008\x02...000d\x01and more0000";
        let (read, refused) = read_all(wire);
        assert_eq!((read.unwrap(), refused), (b"PACKand more".to_vec(), None));
        for cut in 0..wire.len() {
            assert!(read_all(&wire[..cut]).0.is_err(), "{cut}");
        }
        let (read, refused) = read_all(b"000dpackfile\n0009\x03full");
        assert!(read.is_err());
        assert_eq!(refused.unwrap().to_string(), "the server says: full");
        let (read, refused) = read_all(b"zzzz");
        assert!(read.is_err() && matches!(refused, Some(AnswerError::PktLine(_))));
    }
}
