//! A connection whose first bytes must come in time, until a layer above can tell the version and has a
//! clock of its own.
//!
//! Source: RFC 9113 section 3.4, the preface that begins HTTP/2: 24 bytes and a SETTINGS frame.
//! Invariant: a peer that does not say in time which version it speaks is given up (a "slowloris" before
//! the first line).
//! Not here: the rest of a header, which hyper times.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Sleep,
};

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The preface and the head of the frame that must follow it.
const BEGINNING_BYTES: usize = PREFACE.len() + 9;

/// Reads as `stream` does, but fails when its beginning takes too long.
pub(super) struct Punctual<S> {
    stream: S,
    /// `None` once the peer has said what it speaks.
    deadline: Option<Pin<Box<Sleep>>>,
    seen: usize,
}

impl<S> Punctual<S> {
    /// The clock starts at once.
    pub(super) fn new(stream: S, patience: Duration) -> Self {
        Self {
            stream,
            deadline: Some(Box::pin(tokio::time::sleep(patience))),
            seen: 0,
        }
    }

    /// Looks at what came, and stops the clock when that is enough.
    fn note(&mut self, bytes: &[u8]) {
        let expected = PREFACE.iter().skip(self.seen);
        let http1 = expected.zip(bytes).any(|(expected, byte)| expected != byte);
        self.seen = self.seen.saturating_add(bytes.len());
        if http1 || self.seen >= BEGINNING_BYTES {
            self.deadline = None;
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Punctual<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        let Some(deadline) = &mut self.deadline else {
            return read;
        };
        if read.is_ready() {
            self.note(&buffer.filled()[before..]);
            return read;
        }
        std::task::ready!(deadline.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Punctual<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    /// Whether a peer that says this and no more is waited for.
    async fn is_waited_for(said: &[u8]) -> bool {
        let patience = Duration::from_secs(10);
        let (mut peer, ours) = tokio::io::duplex(64);
        peer.write_all(said).await.unwrap();
        let mut ours = Punctual::new(ours, patience);
        let mut read = vec![0; said.len()];
        ours.read_exact(&mut read).await.unwrap();
        assert_eq!(read, said);
        match tokio::time::timeout(2 * patience, ours.read(&mut read)).await {
            Err(_) => true,
            Ok(given_up) => {
                assert_eq!(given_up.unwrap_err().kind(), io::ErrorKind::TimedOut);
                false
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_clock_stops_when_the_version_is_known() {
        let settings = [PREFACE, &[0; 9]].concat();
        assert!(is_waited_for(b"G").await);
        assert!(is_waited_for(b"PO").await);
        assert!(is_waited_for(&settings).await);
        assert!(!is_waited_for(b"P").await);
        assert!(!is_waited_for(PREFACE).await);
        assert!(!is_waited_for(&settings[..32]).await);
    }
}
