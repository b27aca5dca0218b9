//! Plain folders: the same engine as drop-in programs over ordinary bare repositories.
//!
//! `packhorse upload-pack`, `receive-pack` and `http-backend` stand in for git's programs of these
//! names: under sshd, behind `--upload-pack=`, or as a CGI of Apache and nginx. No store is opened;
//! refs and objects are files, read and written as git does, so that git and this may be used on one
//! repository at the same time.
//!
//! Of git's configuration, read as git reads it, these keys are looked at. All that is not listed
//! changes nothing here.
//!
//! | key | what we do |
//! | --- | --- |
//! | `core.repositoryFormatVersion`, `extensions.*` | refused as git does, reftables too |
//! | `core.bare`, `core.hooksPath`, `core.logAllRefUpdates`, `core.sharedRepository` | as git |
//! | `core.alternateRefsPrefixes` | as git; `core.alternateRefsCommand` is never run |
//! | `core.fsync`, `core.fsyncMethod` | not looked at: objects, refs and logs are always flushed |
//! | `core.filesRefLockTimeout`, `core.packedRefsTimeout` | not looked at: each lock is waited for one second |
//! | `core.compression`, `core.looseCompression`, other `core.*` and `repack.*`, `pack.*` | not looked at: they change how much is stored or sent, not what |
//! | `repack.useDeltaBaseOffset` | as git: whether pushes are offered `ofs-delta` |
//! | `lsrefs.unborn` | as git |
//! | `safe.directory` | as git, from the system's, the user's and the environment's settings alone |
//! | `uploadpack.hideRefs`, `receive.hideRefs`, `transfer.hideRefs` | as git |
//! | `uploadpack.allowTipSHA1InWant`, `…ReachableSHA1InWant`, `…AnySHA1InWant` | as git, so for versions 0 and 1 alone: in version 2 whatever is there may be wanted |
//! | `uploadpack.allowFilter`, `uploadpackfilter.*` | as git |
//! | `uploadpack.allowRefInWant`, `uploadpack.allowSidebandAll` | as git |
//! | `uploadpack.keepAlive`, `receive.keepAlive` | as git |
//! | `uploadpack.packObjectsHook` | never run |
//! | `uploadpack.advertiseBundleURIs`, `bundle.*`, `uploadpack.blobPackfileUri` | not offered, so that clients fetch everything here |
//! | `transfer.advertiseSID`, `transfer.advertiseObjectInfo` | as git |
//! | `receive.advertiseAtomic`, `receive.advertisePushOptions` | as git |
//! | `receive.certNonceSeed` | signed pushes are not offered, and refused with a clear answer |
//! | `receive.denyDeletes`, `…DeleteCurrent`, `…CurrentBranch`, `…NonFastForwards` | as git, branches of linked worktrees too; `updateInstead` refuses with a word, since no work tree is touched here |
//! | `receive.fsckObjects`, `transfer.fsckObjects` | without them faults that do no harm pass; those that do are refused in any case |
//! | `receive.fsck.<msg-id>`, `receive.fsck.skipList` | as git, but what does harm can't be tolerated; the pusher reads at most 100 warnings |
//! | `fsck.<msg-id>`, `fsck.skipList` | not looked at, as in git: they are those of `git fsck` |
//! | `receive.maxInputSize`, `receive.unpackLimit`, `transfer.unpackLimit` | as git |
//! | `receive.shallowUpdate`, `receive.updateServerInfo` | as git |
//! | `receive.procReceiveRefs` | as git, if hooks run |
//! | `receive.autogc` | nothing is ever packed anew; run `git gc` |
//! | `http.uploadarchive` | `git archive` over HTTP is not served, as with git by default |
//! | `http.getanyfile`, `http.uploadpack`, `http.receivepack`, `http.maxRequestBuffer` | as git |
//! | `committer.*`, `user.*` | who moves refs, in their logs |
//!
//! Source: git-upload-pack(1), git-receive-pack(1), git-http-backend(1), git-config(1).
//! Bounds: one conversation a process; memory as in `git`, and the refs.
//! Invariant: nothing here knows `store`, `hosting` or `policy`: who may read or write a folder is
//! for whoever starts the program to decide, as it is with git.

mod config;
mod dialogue;
mod error;
mod fetch;
mod folder;
mod hidden;
mod http_backend;
mod push;
mod refs;
mod server_info;

use std::{
    fs::File,
    io::{Read, Write},
    os::fd::AsFd as _,
    path::PathBuf,
    time::Duration,
};

use packhorse_protocol::{Transport, Version};

use self::{
    config::Config,
    dialogue::{Dialogue, Watch},
    folder::Folder,
};
pub use self::{error::BareError, http_backend::http_backend};

/// How git's programs end when they end badly.
pub const FATAL: u8 = 128;

/// What one of the two programs is asked to do.
#[derive(Debug)]
pub struct Program {
    /// The repository.
    pub directory: PathBuf,
    /// The folder must be one itself; no other names are tried.
    pub strict: bool,
    /// Ends after so much silence.
    pub timeout: Option<Duration>,
    /// One request, one answer.
    pub stateless_rpc: bool,
    /// The advertisement alone, for HTTP.
    pub advertise_refs: bool,
}

/// How a conversation is held.
#[derive(Debug, Clone, Copy)]
struct Conversation {
    version: Version,
    transport: Transport,
    /// An advertisement begins with the line that smart HTTP has there; git's programs leave it to
    /// `git-http-backend`.
    headed: bool,
}

impl Conversation {
    /// Takes the line off what was appended at the start, if it is not wanted.
    fn behead(self, output: &mut Vec<u8>) {
        let end = output.windows(5).position(|bytes| bytes == b"\n0000");
        if let Some(end) = end
            && !self.headed
            && self.transport == Transport::Advertisement
            && output
                .get(4..)
                .is_some_and(|line| line.starts_with(b"# service="))
        {
            output.drain(..end + 5);
        }
    }
}

impl Program {
    /// Holds a conversation of `git-upload-pack` on standard input and output.
    ///
    /// # Errors
    /// When the folder can't be served or the conversation breaks; a peer that could be told was.
    pub fn upload_pack(&self) -> Result<(), BareError> {
        self.run(fetch::upload_pack)
    }

    /// Holds a conversation of `git-receive-pack` on standard input and output. The repository's
    /// hooks are run only if `hooks` says so.
    ///
    /// # Errors
    /// When the folder can't be served or the conversation breaks; a peer that could be told was.
    pub fn receive_pack(&self, hooks: bool) -> Result<(), BareError> {
        self.run(|folder, conversation, dialogue| {
            let pusher = push::Pusher {
                hooks,
                ..push::Pusher::default()
            };
            push::receive_pack(folder, conversation, &pusher, dialogue)
        })
    }

    fn run(
        &self,
        serve: impl FnOnce(&Folder, Conversation, &mut Dialogue<'_>) -> Result<(), BareError>,
    ) -> Result<(), BareError> {
        let (input, output) = standard_streams()?;
        let watch = Watch::begin(self.timeout).map_err(BareError::io("unable to watch", ""))?;
        let (mut input, mut output) = (watch.over(input), watch.over(output));
        let folder = Folder::open(&self.directory, self.strict)?;
        let conversation = Conversation {
            version: version(),
            transport: match (self.advertise_refs, self.stateless_rpc) {
                (true, _) => Transport::Advertisement,
                (false, true) => Transport::Stateless,
                (false, false) => Transport::Stateful,
            },
            headed: false,
        };
        serve(
            &folder,
            conversation,
            &mut Dialogue::new(&mut input, &mut output),
        )
    }
}

/// Without the buffers that the standard library has around them.
fn standard_streams() -> Result<(impl Read + Send, impl Write), BareError> {
    let file = |fd: std::io::Result<std::os::fd::OwnedFd>| {
        fd.map(File::from)
            .map_err(BareError::io("unable to use", "standard input or output"))
    };
    Ok((
        file(std::io::stdin().as_fd().try_clone_to_owned())?,
        file(std::io::stdout().as_fd().try_clone_to_owned())?,
    ))
}

/// What `GIT_PROTOCOL` asks for.
fn version() -> Version {
    let asked = std::env::var("GIT_PROTOCOL").unwrap_or_default();
    Version::from_git_protocol(asked.as_bytes())
}

/// Names this conversation, if `transfer.advertiseSID` says so.
fn session_id(config: &Config) -> Result<Option<String>, BareError> {
    if !config.flag("transfer.advertiseSID", false)? {
        return Ok(None);
    }
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let nanos = now.unwrap_or_default().as_nanos();
    Ok(Some(format!("{nanos:x}-{:x}", std::process::id())))
}
