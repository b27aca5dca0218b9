//! `git archive --remote`: drives `protocol::UploadArchive`.
//!
//! Source: git-upload-archive(1), "SECURITY": only what a ref names may be archived, and paths below it.
//! Bounds: a slot of those for fetches, idle and total time, chunks in flight.
//! Invariant: the refs and packs of a conversation are those it began with.
//! Not here: the archive's bytes (`git`), the grammar (`packhorse_protocol`).

use std::sync::Arc;

use packhorse_protocol::{
    Limits, UploadArchive,
    upload_archive::{ArchiveOptions, ArchiveReply, Format},
};
use tokio::sync::mpsc;

use super::{
    Input, Output, WireError,
    dialogue::{Dialogue, KEEPALIVE},
    objects::{UNREADABLE, Work, named_ref},
    opened::{Opened, finish},
    stream::{CHUNKS_IN_FLIGHT, PackFramer, Piece},
};
use crate::{
    git::{
        self,
        archive::{ArchiveError, ArchiveRequest, FileLimits, PathLimits},
        browse::Browser,
    },
    model::{RefSnapshot, Timestamp},
    policy,
};

impl Opened<policy::Fetch> {
    /// Holds the conversation of `git archive --remote` to its end.
    ///
    /// # Errors
    /// When it ends badly; [`WireError::was_told`] says whether the peer knows already.
    pub async fn archive<O: Output>(self, input: Input, output: &mut O) -> Result<(), WireError> {
        let mut dialogue = self.dialogue(input, output);
        let total = self.wire.0.limits.total_timeout();
        finish(
            "packhorse_archives_total",
            total,
            self.converse_archive(&mut dialogue),
        )
        .await
    }

    async fn converse_archive<O: Output>(
        self,
        dialogue: &mut Dialogue<'_, O>,
    ) -> Result<(), WireError> {
        let mut state = UploadArchive::start(&Limits::default());
        loop {
            state = match state {
                UploadArchive::NeedsInput(wait) => {
                    dialogue.receive(|bytes| wait.receive(bytes)).await?
                }
                UploadArchive::Archive(options, reply) => {
                    reply.accept(&mut dialogue.buffer);
                    dialogue.flush().await?;
                    match options {
                        Ok(options) => self.make(options, reply, dialogue).await?,
                        Err(error) => {
                            let reason = error.to_string();
                            let last = reply.fail(&reason, &mut dialogue.buffer);
                            return dialogue.refused(last, &reason).await;
                        }
                    }
                }
                UploadArchive::Finished => return dialogue.flush().await,
            };
        }
    }

    async fn make<O: Output>(
        &self,
        options: ArchiveOptions,
        reply: ArchiveReply,
        dialogue: &mut Dialogue<'_, O>,
    ) -> Result<UploadArchive, WireError> {
        if options.list {
            let names = Format::NAMES.map(|name| format!("{name}\n")).concat();
            reply.chunk(names.as_bytes(), &mut dialogue.buffer);
            return Ok(reply.finish(&mut dialogue.buffer));
        }
        let hosting = &self.wire.0.hosting;
        let all = hosting.refs(&self.allowed).await.map_err(super::internal)?;
        let refs = self.remote.shows(&all);
        let mut work = None;
        let work = self.work(&mut work, &refs).await?;
        let verbose = options.verbose;
        match work.archive_request(options).await? {
            Ok(request) => work.send_archive(request, verbose, reply, dialogue).await,
            Err(reason) => {
                let last = reply.fail(&reason, &mut dialogue.buffer);
                dialogue.refused(last, &reason).await?;
                Ok(UploadArchive::Finished)
            }
        }
    }
}

impl Work {
    /// What is asked for in the engine's words, or why it can't be had.
    async fn archive_request(
        &self,
        options: ArchiveOptions,
    ) -> Result<Result<ArchiveRequest, String>, WireError> {
        let (packs, refs) = (Arc::clone(&self.packs), Arc::clone(&self.refs));
        self.compute(move || match request(packs, &refs, options) {
            Ok(request) => Ok(Ok(request)),
            Err(Refusal::Told(reason)) => Ok(Err(reason)),
            Err(Refusal::Unreadable(error)) => Err(error),
        })
        .await
    }

    /// Makes the archive and sends it.
    async fn send_archive<O: Output>(
        &self,
        request: ArchiveRequest,
        verbose: bool,
        reply: ArchiveReply,
        dialogue: &mut Dialogue<'_, O>,
    ) -> Result<UploadArchive, WireError> {
        let (packs, refs) = (Arc::clone(&self.packs), Arc::clone(&self.refs));
        let buffers = self.buffers();
        let (sender, mut pieces) = mpsc::channel(CHUNKS_IN_FLIGHT);
        let job = tokio::task::spawn_blocking(move || {
            let mut framer = PackFramer::new(ArchiveReply::SIDEBAND, buffers, sender.clone());
            let mut tell = |path: &[u8]| {
                if verbose {
                    let line = format!("{}\n", String::from_utf8_lossy(path));
                    // A peer that is gone is found out by the next bytes of the archive.
                    sender.blocking_send(Piece::Progress(line)).ok();
                }
            };
            let mut sink = |bytes: &[u8]| framer.write(bytes);
            git::archive::write(packs, &refs, &request, &mut sink, &mut tell)?;
            framer.finish()?;
            Ok::<_, ArchiveError>(())
        });
        loop {
            match tokio::time::timeout(KEEPALIVE, pieces.recv()).await {
                Ok(None) => break,
                Ok(Some(Piece::Framed(bytes))) => dialogue.send(bytes).await?,
                Ok(Some(Piece::Progress(line))) => {
                    reply.progress(&line, &mut dialogue.buffer);
                    dialogue.flush().await?;
                }
                Err(_) => {
                    reply.keepalive(&mut dialogue.buffer);
                    dialogue.flush().await?;
                }
            }
        }
        let reason = match job.await.map_err(super::internal)? {
            Ok(()) => return Ok(reply.finish(&mut dialogue.buffer)),
            Err(ArchiveError::Stopped(_)) => return Err(WireError::Disconnected),
            Err(ArchiveError::Read(error)) => {
                super::internal(error);
                UNREADABLE.to_owned()
            }
            Err(told) => told.to_string(),
        };
        let last = reply.fail(&reason, &mut dialogue.buffer);
        dialogue.refused(last, &reason).await?;
        Ok(UploadArchive::Finished)
    }
}

/// Why there is nothing to archive.
enum Refusal {
    Told(String),
    Unreadable(git::ReadError),
}

impl From<git::ReadError> for Refusal {
    fn from(error: git::ReadError) -> Self {
        Self::Unreadable(error)
    }
}

fn request(
    packs: Arc<git::PackSet>,
    refs: &RefSnapshot,
    options: ArchiveOptions,
) -> Result<ArchiveRequest, Refusal> {
    let told = |text: &str, name: &[u8]| Refusal::Told(format!("{text}: {}", name.escape_ascii()));
    let name = options.tree.unwrap_or_default();
    let colon = name.iter().position(|byte| *byte == b':');
    let named = &name[..colon.unwrap_or(name.len())];
    // Whoever sees a ref may have what it names, not what it leads to by other ways.
    let id = named_ref(refs, named).ok_or_else(|| told("no such ref", named))?;
    let mut browser = Browser::new(packs);
    let not_a_name = || told("not a valid object name", &name);
    let id = match colon {
        None => id,
        Some(colon) => {
            let path = &name[colon + 1..];
            let tree = browser.tree_of(&id)?.ok_or_else(not_a_name)?;
            match path {
                b"" => tree,
                path => browser.at_path(&tree, path)?.ok_or_else(not_a_name)?.id,
            }
        }
    };
    let tree = browser
        .tree_of(&id)?
        .ok_or_else(|| Refusal::Told(format!("not a tree object: {id}")))?;
    let commit = match browser.peel(&id)? {
        (id, git::ObjectKind::Commit) => Some(browser.commit(&id)?),
        _ => None,
    };
    let seconds = match &commit {
        Some(commit) => commit.committer.seconds,
        None => Timestamp::now().seconds(),
    };
    let paths = PathLimits::new(&options.paths).ok_or_else(|| {
        Refusal::Told("pathspecs with magic words are not served here".to_owned())
    })?;
    Ok(ArchiveRequest {
        tree,
        commit: commit.map(|commit| commit.id),
        time: options.time.unwrap_or(u64::try_from(seconds).unwrap_or(0)),
        prefix: options.prefix,
        paths,
        files: FileLimits::default(),
        format: match options.format {
            Format::Tar => git::archive::Format::Tar,
            Format::TarGz => git::archive::Format::TarGz(options.level),
            Format::Zip => git::archive::Format::Zip(options.level),
        },
    })
}
