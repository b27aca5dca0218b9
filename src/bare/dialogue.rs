//! The two directions of one conversation, blocking, and the watch over its silence.
//!
//! Source: git-upload-pack(1) `--timeout`.
//! Bounds: one buffer of [`READ_BYTES`] each way.
//! Invariant: what the protocol appended is sent before anything is waited for.

use std::{
    io::{self, Read, Write},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use packhorse_protocol::ProtocolError;

use super::BareError;

/// What the server calls itself in capabilities.
pub(super) const AGENT: &str = concat!("packhorse/", env!("CARGO_PKG_VERSION"));
/// Bytes read at once.
const READ_BYTES: usize = 64 << 10;

/// One conversation's input, output and what waits to be sent.
pub(super) struct Dialogue<'a> {
    input: Option<&'a mut (dyn Read + Send)>,
    output: &'a mut dyn Write,
    pub(super) buffer: Vec<u8>,
    chunk: Vec<u8>,
}

impl<'a> Dialogue<'a> {
    pub(super) fn new(input: &'a mut (dyn Read + Send), output: &'a mut dyn Write) -> Self {
        Self {
            input: Some(input),
            output,
            buffer: Vec::new(),
            chunk: vec![0; READ_BYTES],
        }
    }

    /// Sends what the protocol appended.
    pub(super) fn flush(&mut self) -> Result<(), BareError> {
        let sent = self.output.write_all(&self.buffer);
        self.buffer.clear();
        sent.and_then(|()| self.output.flush())
            .map_err(|_| BareError::HungUp)
    }

    /// Sends what waits, then reads once and takes the protocol a step further.
    pub(super) fn receive<S>(
        &mut self,
        step: impl FnOnce(&[u8]) -> Result<S, ProtocolError>,
    ) -> Result<S, BareError> {
        self.flush()?;
        let length = loop {
            let input = self.input.as_mut().ok_or(BareError::HungUp)?;
            match input.read(&mut self.chunk) {
                Ok(length) => break length,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(BareError::HungUp),
            }
        };
        let next = step(&self.chunk[..length]);
        self.told(next)
    }

    /// Lends the input to another thread; without it, nothing can be received here. What was lent
    /// already is an input that has ended.
    pub(super) fn lend_input(&mut self) -> Option<&'a mut (dyn Read + Send)> {
        self.input.take()
    }

    /// Takes the input back.
    pub(super) fn give_back(&mut self, input: Option<&'a mut (dyn Read + Send)>) {
        self.input = input;
    }

    /// Passes a step on, or tells the peer in the protocol what it did wrong.
    pub(super) fn told<S>(&mut self, step: Result<S, ProtocolError>) -> Result<S, BareError> {
        match step {
            Ok(next) => Ok(next),
            Err(ProtocolError::UnexpectedEnd) => Err(BareError::HungUp),
            Err(error) => {
                error.write_to(&mut self.buffer);
                self.flush()?;
                Err(error.into())
            }
        }
    }

    /// Ends a conversation whose last words are in the buffer.
    pub(super) fn refused<S>(&mut self, last: S, reason: impl Into<String>) -> BareError {
        drop(last);
        match self.flush() {
            Ok(()) => BareError::Refused(reason.into()),
            Err(error) => error,
        }
    }
}

/// Bytes that come or go, each of which the watch hears of.
pub(super) struct Watched<T> {
    inner: T,
    watch: Watch,
}

/// When something happened last.
#[derive(Clone)]
pub(super) struct Watch {
    began: Instant,
    last_millis: Arc<AtomicU64>,
}

impl Watch {
    /// Ends the process, from a thread of its own, once nothing happened for this long.
    pub(super) fn begin(patience: Option<Duration>) -> io::Result<Self> {
        let watch = Self {
            began: Instant::now(),
            last_millis: Arc::new(AtomicU64::new(0)),
        };
        if let Some(patience) = patience {
            let watched = watch.clone();
            std::thread::Builder::new().spawn(move || {
                loop {
                    let last = Duration::from_millis(watched.last_millis.load(Ordering::Relaxed));
                    let left = (last + patience).saturating_sub(watched.began.elapsed());
                    if left.is_zero() {
                        eprintln!("fatal: no activity for {} seconds", patience.as_secs());
                        std::process::exit(super::FATAL.into());
                    }
                    std::thread::park_timeout(left);
                }
            })?;
        }
        Ok(watch)
    }

    pub(super) fn over<T>(&self, inner: T) -> Watched<T> {
        Watched {
            inner,
            watch: self.clone(),
        }
    }

    fn tick(&self) {
        let millis = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.last_millis.store(millis, Ordering::Relaxed);
    }
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer);
        self.watch.tick();
        read
    }
}

impl<W: Write> Write for Watched<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes);
        self.watch.tick();
        written
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
