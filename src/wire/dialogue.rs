//! The two directions of one conversation, with patience that ends.
//!
//! Bounds: idle time each way; the buffer holds one answer of the protocol, never a pack.
//! Invariant: what the protocol appended is sent before anything is waited for.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use packhorse_protocol::ProtocolError;
use tokio::{
    io::{AsyncBufRead, AsyncBufReadExt as _, AsyncRead, ReadBuf},
    time::{Instant, Sleep},
};

use super::{Input, Output, WireError};

/// What the server calls itself in capabilities.
pub(super) const AGENT: &str = concat!("packhorse/", env!("CARGO_PKG_VERSION"));
/// Longest silence of ours while the peer waits, before an empty packet says that we are alive.
pub(super) const KEEPALIVE: Duration = Duration::from_secs(5);
/// Answers up to this size are sent together with what is waiting already.
const TOGETHER_BYTES: usize = 64 << 10;

/// One conversation's input, output and what waits to be sent.
pub(super) struct Dialogue<'a, O> {
    pub(super) input: Input,
    pub(super) output: &'a mut O,
    pub(super) buffer: Vec<u8>,
    idle: Duration,
}

impl<'a, O: Output> Dialogue<'a, O> {
    pub(super) fn new(input: Input, output: &'a mut O, idle: Duration) -> Self {
        Self {
            input: Box::pin(Impatient::new(input, idle)),
            output,
            buffer: Vec::new(),
            idle,
        }
    }

    /// Sends bytes that need no copy.
    pub(super) async fn send(&mut self, bytes: Bytes) -> Result<(), WireError> {
        match tokio::time::timeout(self.idle, self.output.send(bytes)).await {
            Ok(sent) => Ok(sent?),
            Err(_) => Err(WireError::Disconnected),
        }
    }

    /// Sends what the protocol appended.
    pub(super) async fn flush(&mut self) -> Result<(), WireError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let bytes = Bytes::from(std::mem::take(&mut self.buffer));
        self.send(bytes).await
    }

    /// Sends a ready-made answer after what waits, in one write if it is small.
    pub(super) async fn answer(&mut self, answer: Bytes) -> Result<(), WireError> {
        if self.buffer.is_empty() {
            return self.send(answer).await;
        }
        if answer.len() <= TOGETHER_BYTES {
            self.buffer.extend_from_slice(&answer);
            return self.flush().await;
        }
        self.flush().await?;
        self.send(answer).await
    }

    /// Reads once and takes the protocol a step further.
    pub(super) async fn receive<S>(
        &mut self,
        step: impl FnOnce(&[u8]) -> Result<S, ProtocolError>,
    ) -> Result<S, WireError> {
        let bytes = self
            .input
            .fill_buf()
            .await
            .map_err(|error| unreadable(&error))?;
        let length = bytes.len();
        let next = step(bytes);
        self.input.consume(length);
        self.told(next).await
    }

    /// Passes a step on, or tells the peer in the protocol what it did wrong.
    pub(super) async fn told<S>(&mut self, step: Result<S, ProtocolError>) -> Result<S, WireError> {
        match step {
            Ok(next) => Ok(next),
            Err(error) => {
                error.write_to(&mut self.buffer);
                self.flush().await?;
                Err(error.into())
            }
        }
    }

    /// Ends a conversation whose last words are in the buffer.
    pub(super) async fn refused<S>(&mut self, last: S, reason: &str) -> Result<(), WireError> {
        drop(last);
        self.flush().await?;
        Err(WireError::Failed(reason.to_owned()))
    }
}

/// What a failure to read means for the conversation.
pub(super) fn unreadable(error: &io::Error) -> WireError {
    tracing::debug!(%error, "peer can't be read from");
    match error.kind() {
        io::ErrorKind::FileTooLarge => WireError::TooLarge,
        _ => WireError::Disconnected,
    }
}

/// A reader that fails once the peer was silent for too long.
struct Impatient {
    input: Input,
    patience: Duration,
    deadline: Pin<Box<Sleep>>,
    waiting: bool,
}

impl Impatient {
    fn new(input: Input, patience: Duration) -> Self {
        Self {
            input,
            patience,
            deadline: Box::pin(tokio::time::sleep(patience)),
            waiting: false,
        }
    }

    /// Pending only while patience lasts; the clock starts anew with every wait.
    fn wait<T>(
        &mut self,
        context: &mut Context<'_>,
        polled: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if polled.is_ready() {
            self.waiting = false;
            return polled;
        }
        if !self.waiting {
            self.waiting = true;
            self.deadline.as_mut().reset(Instant::now() + self.patience);
        }
        ready!(self.deadline.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Impatient {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let polled = this.input.as_mut().poll_read(context, buffer);
        this.wait(context, polled)
    }
}

impl AsyncBufRead for Impatient {
    fn poll_fill_buf(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<&[u8]>> {
        let this = self.get_mut();
        // The slice borrows the input, so readiness is found first and the slice taken again.
        let polled = this.input.as_mut().poll_fill_buf(context).map_ok(|_| ());
        ready!(this.wait(context, polled))?;
        this.input.as_mut().poll_fill_buf(context)
    }

    fn consume(self: Pin<&mut Self>, amount: usize) {
        self.get_mut().input.as_mut().consume(amount);
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncReadExt as _;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_silent_peer_is_given_up_and_a_slow_one_is_not() {
        let (mut peer, ours) = tokio::io::duplex(64);
        let patience = Duration::from_secs(10);
        let mut input = Impatient::new(Box::pin(tokio::io::BufReader::new(ours)), patience);
        let slow = tokio::spawn(async move {
            for _ in 0..3 {
                tokio::time::sleep(Duration::from_secs(8)).await;
                tokio::io::AsyncWriteExt::write_all(&mut peer, b"x")
                    .await
                    .unwrap();
            }
            std::future::pending::<()>().await;
        });
        let mut read = [0; 3];
        input.read_exact(&mut read).await.unwrap();
        assert_eq!(&read, b"xxx");
        let error = input.read_exact(&mut read).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        slow.abort();
    }
}
