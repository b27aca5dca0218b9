//! Bodies that are streams: newline-delimited JSON of any length, read line by line.
//!
//! Source: the NDJSON form of the Code Storage API's commit endpoints.
//! Bounds: [`LINE_BYTES_MAX`] a line, the configured bytes a body, [`UPLOADS`] at once, and
//! [`MEMORY_KIB`] for all long lines together; silence of the client by configuration.
//! Invariant: what a client still sends after a refusal is read and thrown away for a while, so that
//! the answer reaches it and is not lost in a reset.
//! Not here: what the lines mean.

use std::{sync::Arc, time::Duration};

use axum::body::Body;
use bytes::BytesMut;
use http_body_util::BodyExt as _;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

/// Longest line. A chunk of 4 MiB has some 5.6 million letters in base64.
const LINE_BYTES_MAX: usize = 8 << 20;
/// Lines up to this length take no share of the memory for long ones.
const SHORT_LINE_BYTES: usize = 64 << 10;
/// Memory that a long line takes while it is read and understood.
const LONG_LINE_KIB: u32 = 14 << 10;
/// Memory for all long lines.
const MEMORY_KIB: usize = 6 * LONG_LINE_KIB as usize;
/// Bodies that are read at once.
const UPLOADS: usize = 64;
/// Longest wait for one of these.
const WAIT: Duration = Duration::from_secs(30);
/// Longest time that is spent on the rest of a refused body.
const DRAIN_TIME: Duration = Duration::from_secs(30);

/// What a stream may cost.
#[derive(Debug, Clone, Copy)]
pub struct UploadLimits {
    /// Bytes of one body.
    pub bytes: u64,
    /// Files in one commit.
    pub files: usize,
    /// Longest silence of the client.
    pub idle: Duration,
    /// Longest time for one body.
    pub total: Duration,
}

/// Room for uploads; cheap to clone.
#[derive(Clone)]
pub(super) struct Uploads {
    pub(super) limits: UploadLimits,
    slots: Arc<Semaphore>,
    memory: Arc<Semaphore>,
}

/// Why a stream can't be read on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum UploadError {
    /// A line is too long.
    #[error("line {0} has more than {LINE_BYTES_MAX} bytes")]
    LongLine(u64),
    /// The body is too long.
    #[error("body is larger than {0} bytes")]
    TooLarge(u64),
    /// The client fell silent.
    #[error("nothing came for {0} seconds")]
    Silence(u64),
    /// The client takes too long.
    #[error("the upload took more than {0} seconds")]
    TooSlow(u64),
    /// The body ended in the middle.
    #[error("body can't be read")]
    Unreadable,
    /// Too many others are sending.
    #[error("too many uploads at once, try again later")]
    Busy,
}

impl Uploads {
    pub(super) fn new(limits: UploadLimits) -> Self {
        Self {
            limits,
            slots: Arc::new(Semaphore::new(UPLOADS)),
            memory: Arc::new(Semaphore::new(MEMORY_KIB)),
        }
    }

    /// Waits for the right to send a commit.
    ///
    /// # Errors
    /// When too many others do.
    pub(super) async fn slot(&self) -> Result<OwnedSemaphorePermit, UploadError> {
        permit(&self.slots, 1).await
    }

    /// Waits for memory for so many bytes beside the lines.
    ///
    /// # Errors
    /// When too many others hold it.
    pub(super) async fn room(&self, bytes: u64) -> Result<OwnedSemaphorePermit, UploadError> {
        let kib = u32::try_from(bytes.div_ceil(1024)).map_err(|_| UploadError::Busy)?;
        permit(&self.memory, kib).await
    }

    /// The lines of this body.
    pub(super) fn lines(&self, body: Body) -> Lines {
        Lines {
            body,
            buffer: BytesMut::new(),
            searched: 0,
            number: 0,
            bytes: 0,
            room: None,
            deadline: Instant::now() + self.limits.total,
            uploads: self.clone(),
        }
    }
}

async fn permit(of: &Arc<Semaphore>, many: u32) -> Result<OwnedSemaphorePermit, UploadError> {
    let permit = Arc::clone(of).acquire_many_owned(many);
    match tokio::time::timeout(WAIT, permit).await {
        Ok(Ok(permit)) => Ok(permit),
        Ok(Err(_)) | Err(_) => Err(UploadError::Busy),
    }
}

/// A line, and the memory it was allowed to take.
pub(super) struct Line {
    pub(super) bytes: BytesMut,
    /// Counts from one.
    pub(super) number: u64,
    _room: Option<OwnedSemaphorePermit>,
}

/// Reads a body line by line.
pub(super) struct Lines {
    body: Body,
    buffer: BytesMut,
    /// So many bytes of the buffer hold no end of a line.
    searched: usize,
    number: u64,
    bytes: u64,
    room: Option<OwnedSemaphorePermit>,
    deadline: Instant,
    uploads: Uploads,
}

impl Lines {
    /// The next line that is not blank; `None` at the end.
    ///
    /// # Errors
    /// Why the rest can't be read.
    pub(super) async fn next(&mut self) -> Result<Option<Line>, UploadError> {
        loop {
            if let Some(at) = memchr::memchr(b'\n', &self.buffer[self.searched..]) {
                let line = self.buffer.split_to(self.searched + at + 1);
                if let Some(line) = self.line(line) {
                    return Ok(Some(line));
                }
                continue;
            }
            self.searched = self.buffer.len();
            if self.searched > LINE_BYTES_MAX {
                return Err(UploadError::LongLine(self.number + 1));
            }
            if self.searched > SHORT_LINE_BYTES && self.room.is_none() {
                self.room = Some(permit(&self.uploads.memory, LONG_LINE_KIB).await?);
            }
            if !self.read().await? {
                let rest = self.buffer.split();
                return Ok(self.line(rest));
            }
        }
    }

    fn line(&mut self, bytes: BytesMut) -> Option<Line> {
        self.number += 1;
        self.searched = 0;
        let room = self.room.take();
        if room.is_some() {
            // What was made for a long line goes with it.
            self.buffer = BytesMut::from(&self.buffer[..]);
        }
        (!bytes.trim_ascii().is_empty()).then_some(Line {
            bytes,
            number: self.number,
            _room: room,
        })
    }

    /// Reads what comes next; whether there was anything.
    async fn read(&mut self) -> Result<bool, UploadError> {
        let UploadLimits { idle, total, .. } = self.uploads.limits;
        let late = |_| match Instant::now() < self.deadline {
            true => UploadError::Silence(idle.as_secs()),
            false => UploadError::TooSlow(total.as_secs()),
        };
        let patience = self.deadline.min(Instant::now() + idle);
        let frame = tokio::time::timeout_at(patience, self.body.frame());
        match frame.await.map_err(late)? {
            None => Ok(false),
            Some(Err(_)) => Err(UploadError::Unreadable),
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    self.bytes += data.len() as u64;
                    let most = self.uploads.limits.bytes;
                    if self.bytes > most {
                        return Err(UploadError::TooLarge(most));
                    }
                    self.buffer.extend_from_slice(data);
                }
                Ok(true)
            }
        }
    }

    /// Reads and throws away what still comes, within bounds, while the answer is on its way.
    pub(super) fn drain(self) {
        let Self {
            mut body,
            mut bytes,
            uploads,
            ..
        } = self;
        let rest = async move {
            while let Some(Ok(frame)) = body.frame().await {
                bytes += frame.data_ref().map_or(0, |data| data.len() as u64);
                if bytes > uploads.limits.bytes {
                    return;
                }
            }
        };
        // Whatever is left after the bounds is the client's loss.
        tokio::spawn(tokio::time::timeout(DRAIN_TIME, rest));
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use bytes::Bytes;
    use futures_util::stream;

    use super::*;

    fn uploads(bytes: u64) -> Uploads {
        Uploads::new(UploadLimits {
            bytes,
            files: 1,
            idle: Duration::from_secs(60),
            total: Duration::from_secs(90),
        })
    }

    fn body(pieces: &[&[u8]]) -> Body {
        let pieces: Vec<_> = pieces
            .iter()
            .map(|piece| Ok::<_, Infallible>(Bytes::copy_from_slice(piece)))
            .collect();
        Body::from_stream(stream::iter(pieces))
    }

    async fn read(pieces: &[&[u8]], most: u64) -> Result<Vec<(u64, String)>, UploadError> {
        let mut lines = uploads(most).lines(body(pieces));
        let mut found = Vec::new();
        while let Some(line) = lines.next().await? {
            let text = String::from_utf8_lossy(line.bytes.trim_ascii_end()).into_owned();
            found.push((line.number, text));
        }
        Ok(found)
    }

    #[tokio::test]
    async fn lines_may_be_cut_anywhere_and_the_last_need_not_end() {
        let expected = vec![
            (1, "one".to_owned()),
            (3, "two".to_owned()),
            (4, "3".to_owned()),
        ];
        let text = b"one\r\n \ntwo\n3";
        assert_eq!(read(&[text], 99).await.unwrap(), expected);
        let bytes: Vec<_> = text.chunks(1).collect();
        assert_eq!(read(&bytes, 99).await.unwrap(), expected);
        assert_eq!(read(&[], 99).await.unwrap(), []);
    }

    #[tokio::test]
    async fn the_bounds_hold_on_both_sides() {
        assert!(read(&[b"12\n45"], 5).await.is_ok());
        assert_eq!(read(&[b"12\n456"], 5).await, Err(UploadError::TooLarge(5)));
        let longest = vec![b'a'; LINE_BYTES_MAX];
        assert!(read(&[&longest, b"\n"], u64::MAX).await.is_ok());
        let longer = read(&[b"1\n", &longest, b"a"], u64::MAX).await;
        assert_eq!(longer, Err(UploadError::LongLine(2)));
    }

    #[tokio::test]
    async fn a_long_line_holds_its_memory_until_it_is_dropped() {
        let uploads = uploads(u64::MAX);
        let long = vec![b'a'; SHORT_LINE_BYTES + 1];
        let mut lines = uploads.lines(body(&[&long, b"\nb\n"]));
        let line = lines.next().await.unwrap().unwrap();
        let held = MEMORY_KIB - LONG_LINE_KIB as usize;
        assert_eq!(uploads.memory.available_permits(), held);
        let short = lines.next().await.unwrap().unwrap();
        drop(line);
        assert_eq!(uploads.memory.available_permits(), MEMORY_KIB);
        drop(short);
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_falls_silent_is_given_up() {
        let silent = Body::from_stream(stream::pending::<Result<Bytes, Infallible>>());
        let mut lines = uploads(9).lines(silent);
        let given_up = lines.next().await.err();
        assert_eq!(given_up, Some(UploadError::Silence(60)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_sends_a_byte_now_and_then_is_given_up_too() {
        let drops = stream::unfold((), async |()| {
            tokio::time::sleep(Duration::from_secs(50)).await;
            Some((Ok::<_, Infallible>(Bytes::from_static(b"x")), ()))
        });
        let mut lines = uploads(999).lines(Body::from_stream(drops));
        let given_up = lines.next().await.err();
        assert_eq!(given_up, Some(UploadError::TooSlow(90)));
    }
}
