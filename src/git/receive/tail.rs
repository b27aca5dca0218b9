//! Where the bytes of a pack on its way in end: in the hash over all of them and in the spool.
//!
//! Bounds: a long pack has a thread of its own here, besides the one that inflates and names its objects,
//! and [`PIECES`] pieces on the way between the two; it is flushed each [`FLUSH_BYTES`], so that little
//! is left to flush when its pusher waits for that.
//! Invariant: bytes are hashed and spooled once, in order; when this value goes, so has the thread.

use std::{
    io,
    sync::mpsc::{Receiver, SyncSender, sync_channel},
    thread::{self, JoinHandle},
};

use aws_lc_rs::digest;

use super::spool::{IN_MEMORY_BYTES, Spool};

/// Pieces that may wait to be hashed.
const PIECES: usize = 16;

/// Bytes between two flushes.
const FLUSH_BYTES: u64 = 16 << 20;

/// Takes a pack's bytes.
pub(super) struct Tail(State);

enum State {
    Here(Kept),
    Beside(Beside),
    /// The disk failed.
    Lost,
}

/// The hash so far and the bytes.
struct Kept {
    digest: digest::Context,
    spool: Spool,
}

struct Beside {
    pieces: SyncSender<Vec<u8>>,
    /// Pieces that were taken, to be filled again.
    spare: Receiver<Vec<u8>>,
    worker: JoinHandle<io::Result<Kept>>,
}

impl Tail {
    pub(super) fn new(algorithm: &'static digest::Algorithm, spool: Spool) -> Self {
        Self(State::Here(Kept {
            digest: digest::Context::new(algorithm),
            spool,
        }))
    }

    /// Takes the next bytes; an error may be that of bytes before.
    pub(super) fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.0 {
            State::Here(kept) => {
                kept.take(bytes)?;
                if kept.spool.length() > IN_MEMORY_BYTES as u64
                    && let State::Here(kept) = std::mem::replace(&mut self.0, State::Lost)
                {
                    self.0 = State::Beside(Beside::with(kept)?);
                }
                Ok(())
            }
            State::Beside(beside) => {
                if beside.take(bytes) {
                    return Ok(());
                }
                self.end().and_then(|_| Err(gone()))
            }
            State::Lost => Err(gone()),
        }
    }

    /// The hash of all bytes, and the spool that holds them.
    pub(super) fn finish(mut self) -> io::Result<(digest::Digest, Spool)> {
        let Kept { digest, spool } = self.end()?;
        Ok((digest.finish(), spool))
    }

    fn end(&mut self) -> io::Result<Kept> {
        match std::mem::replace(&mut self.0, State::Lost) {
            State::Here(kept) => Ok(kept),
            State::Beside(beside) => beside.end(),
            State::Lost => Err(gone()),
        }
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        // Whatever becomes of the push, its file is gone when the push is.
        if let State::Beside(beside) = std::mem::replace(&mut self.0, State::Lost) {
            drop(beside.end());
        }
    }
}

fn gone() -> io::Error {
    io::Error::other("the bytes before could not be kept")
}

impl Kept {
    fn take(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.digest.update(bytes);
        self.spool.append(bytes)
    }
}

impl Beside {
    fn with(mut kept: Kept) -> io::Result<Self> {
        let (pieces, full) = sync_channel::<Vec<u8>>(PIECES);
        let (empty, spare) = sync_channel(PIECES);
        let work = move || {
            let mut unflushed = 0;
            for mut piece in full {
                kept.take(&piece)?;
                unflushed += piece.len() as u64;
                if unflushed >= FLUSH_BYTES {
                    kept.spool.flush()?;
                    unflushed = 0;
                }
                piece.clear();
                // Nobody wants it when the pack has ended.
                empty.try_send(piece).ok();
            }
            Ok(kept)
        };
        let worker = thread::Builder::new()
            .name("packhorse-spool".to_owned())
            .spawn(work)?;
        Ok(Self {
            pieces,
            spare,
            worker,
        })
    }

    /// Answers whether there is still somebody to take it.
    fn take(&self, bytes: &[u8]) -> bool {
        let mut piece = self.spare.try_recv().unwrap_or_default();
        piece.extend_from_slice(bytes);
        self.pieces.send(piece).is_ok()
    }

    fn end(self) -> io::Result<Kept> {
        drop(self.pieces);
        self.worker.join().unwrap_or_else(|_| Err(gone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::receive::stream::pack_hash;

    #[test]
    fn long_and_short_packs_are_kept_and_hashed_alike_and_leave_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let algorithm = pack_hash(gix_hash::Kind::Sha1);
        let bytes: Vec<u8> = (0..=250).cycle().take(3 * IN_MEMORY_BYTES).collect();
        for length in [0, 1000, IN_MEMORY_BYTES, IN_MEMORY_BYTES + 1, bytes.len()] {
            let mut tail = Tail::new(algorithm, Spool::new(folder.path()));
            for piece in bytes[..length].chunks(70_000) {
                tail.take(piece).unwrap();
            }
            let (hash, spool) = tail.finish().unwrap();
            let expected = digest::digest(algorithm, &bytes[..length]);
            assert_eq!(hash.as_ref(), expected.as_ref(), "{length}");
            let mut scratch = Vec::new();
            let read = spool.read(0..length as u64, &mut scratch).unwrap();
            assert!(read == &bytes[..length], "{length}");
            drop(spool);
            let mut cut_off = Tail::new(algorithm, Spool::new(folder.path()));
            cut_off.take(&bytes[..length]).unwrap();
            cut_off.take(&bytes[..length]).unwrap();
            drop(cut_off);
            assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        }
    }

    #[test]
    fn a_disk_that_fails_fails_the_push() {
        let folder = tempfile::tempdir().unwrap();
        let nowhere = folder.path().join("nowhere");
        let mut tail = Tail::new(pack_hash(gix_hash::Kind::Sha1), Spool::new(&nowhere));
        let piece = vec![0; IN_MEMORY_BYTES];
        tail.take(&piece).unwrap();
        let error = tail.take(&piece).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
