//! Turns at the processor for work that takes long.
//!
//! Bounds: so many computations at once as the configuration says, whoever asks; [`WAITING_MAX`] requests of
//! the management APIs wait for a turn, no longer than [`WAIT_MAX`]; [`STREAMS_MAX`] answers are made while
//! they are sent, each of which gives up on a client that takes nothing for [`STALL_MAX`].
//! Invariant: nobody holds a turn while waiting for a client.
//! Not here: slots of fetches and pushes (`wire`), which take turns from here too.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{
    runtime::Handle,
    sync::{OwnedSemaphorePermit, Semaphore, mpsc},
};

use super::{Hosting, HostingError, blocking};
use crate::git::fetch::Stopped;

/// Requests that may wait.
const WAITING_MAX: usize = 256;
/// Longest wait.
const WAIT_MAX: Duration = Duration::from_secs(30);
/// Answers under way that are made as they are sent; each has a thread.
const STREAMS_MAX: usize = 32;
/// Longest time in which a client takes nothing of its answer.
const STALL_MAX: Duration = Duration::from_secs(60);
/// Bytes of an answer handed on at once.
const CHUNK_BYTES: usize = 64 << 10;
/// Chunks that may wait for the client.
const CHUNKS_IN_FLIGHT: usize = 2;

/// Turns at the processor; cheap to clone.
#[derive(Debug, Clone)]
pub struct Computations {
    turns: Arc<Semaphore>,
    waiting: Arc<Semaphore>,
    streams: Arc<Semaphore>,
}

/// An answer in pieces; it ends with the last one, or with why it does not go on.
pub type Pieces = mpsc::Receiver<Result<Bytes, HostingError>>;

/// As many as there are cores.
impl Default for Computations {
    fn default() -> Self {
        Self::new(std::thread::available_parallelism().map_or(1, usize::from))
    }
}

impl Computations {
    /// So many at once.
    pub fn new(at_once: usize) -> Self {
        Self {
            turns: Arc::new(Semaphore::new(at_once)),
            waiting: Arc::new(Semaphore::new(WAITING_MAX)),
            streams: Arc::new(Semaphore::new(STREAMS_MAX)),
        }
    }

    /// The turns, for those who have rules of their own on waiting.
    pub fn turns(&self) -> Arc<Semaphore> {
        Arc::clone(&self.turns)
    }

    async fn turn(&self) -> Result<OwnedSemaphorePermit, HostingError> {
        let free = Arc::clone(&self.turns).try_acquire_owned();
        if let Ok(turn) = free {
            return Ok(turn);
        }
        let _waiting = self.waiting.try_acquire().map_err(|_| HostingError::Busy)?;
        let turn = Arc::clone(&self.turns).acquire_owned();
        match tokio::time::timeout(WAIT_MAX, turn).await {
            Ok(Ok(turn)) => Ok(turn),
            Ok(Err(_)) | Err(_) => Err(HostingError::Busy),
        }
    }
}

impl Hosting {
    /// The turns of this server.
    pub fn computations(&self) -> &Computations {
        &self.computations
    }

    /// Runs `work`, which may block and compute, when its turn has come.
    ///
    /// # Errors
    /// [`HostingError::Busy`] when too many wait or the wait was too long; what `work` fails with.
    pub async fn compute<T, E>(
        &self,
        work: impl FnOnce() -> Result<T, E> + Send + 'static,
    ) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<HostingError> + Send + 'static,
    {
        let turn = self.computations.turn().await?;
        let done = blocking(move || {
            let done = work();
            drop(turn);
            Ok(done)
        });
        done.await?
    }

    /// Runs `work`, which writes an answer that is sent as it is made; it stops soon after the answer was
    /// dropped, or once the client takes nothing any more.
    ///
    /// # Errors
    /// [`HostingError::Busy`] when too many answers are under way; what `work` fails with before it has
    /// written anything. A later failure is the last of the pieces.
    pub async fn stream(
        &self,
        work: impl FnOnce(&mut dyn FnMut(&[u8]) -> Result<(), Stopped>) -> Result<(), HostingError>
        + Send
        + 'static,
    ) -> Result<(Result<Bytes, HostingError>, Pieces), HostingError> {
        let streams = Arc::clone(&self.computations.streams);
        let place = streams
            .try_acquire_owned()
            .map_err(|_| HostingError::Busy)?;
        let turn = self.computations.turn().await?;
        let (sender, mut pieces) = mpsc::channel(CHUNKS_IN_FLIGHT);
        let mut writer = Writer {
            computations: self.computations.clone(),
            runtime: Handle::current(),
            turn: Some(turn),
            sender,
            chunk: Vec::with_capacity(CHUNK_BYTES),
        };
        tokio::task::spawn_blocking(move || {
            let done = work(&mut |bytes| writer.write(bytes));
            let done = done.and_then(|()| Ok(writer.send()?));
            if let Err(error) = done {
                writer.fail(error);
            }
            drop(place);
        });
        match pieces.recv().await {
            Some(Ok(first)) => Ok((Ok(first), pieces)),
            Some(Err(error)) => Err(error),
            None => Ok((Ok(Bytes::new()), pieces)),
        }
    }
}

/// Gathers what is written into chunks and hands them on, giving its turn away while it waits.
struct Writer {
    computations: Computations,
    runtime: Handle,
    turn: Option<OwnedSemaphorePermit>,
    sender: mpsc::Sender<Result<Bytes, HostingError>>,
    chunk: Vec<u8>,
}

impl Writer {
    fn write(&mut self, mut bytes: &[u8]) -> Result<(), Stopped> {
        while !bytes.is_empty() {
            let room = CHUNK_BYTES - self.chunk.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.chunk.extend_from_slice(now);
            bytes = later;
            if self.chunk.len() == CHUNK_BYTES {
                self.send()?;
            }
        }
        Ok(())
    }

    fn send(&mut self) -> Result<(), Stopped> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        let chunk = std::mem::replace(&mut self.chunk, Vec::with_capacity(CHUNK_BYTES));
        self.hand_on(Ok(chunk.into()))
    }

    fn hand_on(&mut self, piece: Result<Bytes, HostingError>) -> Result<(), Stopped> {
        let piece = match self.sender.try_send(piece) {
            Ok(()) => return Ok(()),
            Err(mpsc::error::TrySendError::Closed(_)) => return Err(Stopped),
            Err(mpsc::error::TrySendError::Full(piece)) => piece,
        };
        self.turn = None;
        let sent = self.sender.send_timeout(piece, STALL_MAX);
        self.runtime.block_on(sent).map_err(|_| Stopped)?;
        let turn = self
            .runtime
            .block_on(self.computations.turns().acquire_owned());
        self.turn = Some(turn.map_err(|_| Stopped)?);
        Ok(())
    }

    fn fail(&mut self, error: HostingError) {
        // A client that is gone needs no reason.
        self.hand_on(Err(error)).ok();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hosting::tests::world;

    #[tokio::test(start_paused = true)]
    async fn a_turn_is_waited_for_but_not_for_ever() {
        let computations = Computations::new(1);
        let held = computations.turn().await.unwrap();
        let began = tokio::time::Instant::now();
        assert!(matches!(computations.turn().await, Err(HostingError::Busy)));
        assert_eq!(began.elapsed(), WAIT_MAX);
        let next = tokio::spawn({
            let computations = computations.clone();
            async move { computations.turn().await.map(drop) }
        });
        tokio::task::yield_now().await;
        drop(held);
        next.await.unwrap().unwrap();
        let _all = computations
            .waiting
            .acquire_many(u32::try_from(WAITING_MAX).unwrap());
        let _all = _all.await.unwrap();
        let free = computations.turn().await.unwrap();
        assert!(matches!(computations.turn().await, Err(HostingError::Busy)));
        drop(free);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_answer_comes_in_pieces_and_holds_no_turn_while_nobody_takes_them() {
        let world = world().await;
        let hosting = world.hosting.clone();
        let bytes: Vec<u8> = (0..1_000_003_u32).map(|at| at.to_le_bytes()[1]).collect();
        let expected = bytes.clone();
        let (first, mut pieces) = hosting
            .stream(move |sink| Ok(bytes.chunks(777).try_for_each(sink)?))
            .await
            .unwrap();
        // Everybody may compute although the answer stands still.
        let all = hosting.computations.turns();
        let count = u32::try_from(all.available_permits()).unwrap().max(1);
        drop(all.acquire_many(count).await.unwrap());
        let mut read = first.unwrap().to_vec();
        while let Some(piece) = pieces.recv().await {
            read.extend_from_slice(&piece.unwrap());
        }
        assert!(read == expected);

        let refused = hosting.stream(|_| Err(HostingError::Busy)).await;
        assert!(matches!(refused, Err(HostingError::Busy)));
        let (first, mut pieces) = hosting
            .stream(|sink| {
                sink(&[1; CHUNK_BYTES])?;
                Err(HostingError::Busy)
            })
            .await
            .unwrap();
        assert_eq!(first.unwrap().len(), CHUNK_BYTES);
        assert!(matches!(pieces.recv().await, Some(Err(HostingError::Busy))));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn an_answer_that_nobody_wants_any_more_stops() {
        let world = world().await;
        let (told, stopped) = tokio::sync::oneshot::channel();
        let (_, pieces) = world
            .hosting
            .stream(move |sink| {
                let error = loop {
                    if let Err(error) = sink(&[0; 4096]) {
                        break error;
                    }
                };
                told.send(()).ok();
                Err(error.into())
            })
            .await
            .unwrap();
        drop(pieces);
        stopped.await.unwrap();
    }
}
