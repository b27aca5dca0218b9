//! Between the engine's blocking threads and the peer: framed chunks through a bounded channel.
//!
//! Source: gitprotocol-capabilities(5), "side-band-64k": at most 65,520 bytes a packet.
//! Bounds: [`CHUNKS_IN_FLIGHT`] chunks of [`CHUNK_BYTES`]; a stalled peer holds that and a slot.
//! [`Buffers::IDLE_MAX`] buffers wait to be used again.
//! Invariant: a byte of the pack is copied once, from where it lies into the chunk that is sent.

use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use packhorse_protocol::Sideband;
use tokio::sync::mpsc;

use crate::git::fetch::Stopped;

/// Chunks that may wait for the peer.
pub(super) const CHUNKS_IN_FLIGHT: usize = 2;
/// Size that chunks grow to before they are sent: two packets of `side-band-64k`.
const CHUNK_BYTES: usize = 2 * 65_520;

/// What a blocking thread has for the peer.
#[derive(Debug)]
pub(super) enum Piece {
    /// Bytes ready for the wire.
    Framed(Bytes),
    /// A line for the user's terminal.
    Progress(String),
}

/// Memory of chunks that were sent. Chunks are made on one thread and dropped on another, which is what
/// allocators are worst at: 64 clones at once left half a gigabyte with the threads that made them.
#[derive(Debug, Clone, Default)]
pub(super) struct Buffers(Arc<Mutex<Vec<Vec<u8>>>>);

impl Buffers {
    /// Most buffers that wait.
    const IDLE_MAX: usize = 64;

    fn take(&self) -> Chunk {
        Chunk {
            bytes: self
                .lock()
                .pop()
                .unwrap_or_else(|| Vec::with_capacity(CHUNK_BYTES)),
            home: self.clone(),
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Vec<u8>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A buffer that goes home when whoever sends it is done with it.
struct Chunk {
    bytes: Vec<u8>,
    home: Buffers,
}

impl AsRef<[u8]> for Chunk {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Chunk {
    fn drop(&mut self) {
        let mut bytes = std::mem::take(&mut self.bytes);
        bytes.clear();
        let mut idle = self.home.lock();
        if idle.len() < Buffers::IDLE_MAX {
            idle.push(bytes);
        }
    }
}

/// Takes a pack's bytes as they come and hands them on in packets.
pub(super) struct PackFramer {
    sideband: Sideband,
    pieces: mpsc::Sender<Piece>,
    buffers: Buffers,
    chunk: Chunk,
    /// Where the header of the packet being filled stands in `chunk`.
    packet: Option<usize>,
}

impl PackFramer {
    pub(super) fn new(sideband: Sideband, buffers: Buffers, pieces: mpsc::Sender<Piece>) -> Self {
        Self {
            sideband,
            pieces,
            chunk: buffers.take(),
            buffers,
            packet: None,
        }
    }

    /// Takes more of the pack.
    pub(super) fn write(&mut self, mut bytes: &[u8]) -> Result<(), Stopped> {
        while !bytes.is_empty() {
            let room = self.room();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.chunk.bytes.extend_from_slice(now);
            bytes = later;
            if self.room_left() == 0 {
                self.close_packet();
                if CHUNK_BYTES - self.chunk.bytes.len() < PACKET_HEADER + 1 {
                    self.send()?;
                }
            }
        }
        Ok(())
    }

    /// Sends what is left.
    pub(super) fn finish(mut self) -> Result<(), Stopped> {
        self.close_packet();
        self.send()
    }

    /// Bytes that fit into the packet being filled, begun if there is none.
    fn room(&mut self) -> usize {
        if self.packet.is_none() {
            self.packet = Some(self.chunk.bytes.len());
            if self.sideband != Sideband::None {
                self.chunk.bytes.extend_from_slice(&[0; PACKET_HEADER]);
            }
        }
        self.room_left()
    }

    fn room_left(&self) -> usize {
        let Some(start) = self.packet else { return 0 };
        let header = if self.sideband == Sideband::None {
            0
        } else {
            PACKET_HEADER
        };
        let filled = self.chunk.bytes.len() - start - header;
        let in_packet = self.sideband.chunk_max() - filled;
        in_packet.min(CHUNK_BYTES.saturating_sub(self.chunk.bytes.len()))
    }

    fn close_packet(&mut self) {
        let Some(start) = self.packet.take() else {
            return;
        };
        if self.sideband == Sideband::None {
            return;
        }
        let length = self.chunk.bytes.len() - start - PACKET_HEADER;
        let header = self.sideband.data_header(length);
        if let (Some(header), Some(place)) = (
            header,
            self.chunk.bytes.get_mut(start..start + PACKET_HEADER),
        ) {
            place.copy_from_slice(&header);
        }
    }

    fn send(&mut self) -> Result<(), Stopped> {
        if self.chunk.bytes.is_empty() {
            return Ok(());
        }
        let chunk = std::mem::replace(&mut self.chunk, self.buffers.take());
        self.pieces
            .blocking_send(Piece::Framed(Bytes::from_owner(chunk)))
            .map_err(|_| Stopped)
    }
}

/// Four digits and the band.
const PACKET_HEADER: usize = 5;

#[cfg(test)]
mod tests {
    use packhorse_protocol::pkt_line::{self, PktLine};

    use super::*;

    /// Frames `lengths` in turn and returns the payload as a client would read it.
    fn through(sideband: Sideband, lengths: &[usize]) -> (Vec<u8>, Vec<u8>) {
        let (sender, mut receiver) = mpsc::channel(1000);
        let mut framer = PackFramer::new(sideband, Buffers::default(), sender);
        let mut sent = Vec::new();
        for (at, length) in lengths.iter().enumerate() {
            let bytes = vec![u8::try_from(at % 251).unwrap(); *length];
            framer.write(&bytes).unwrap();
            sent.extend(bytes);
        }
        framer.finish().unwrap();
        let mut wire = Vec::new();
        while let Ok(Piece::Framed(chunk)) = receiver.try_recv() {
            assert!(chunk.len() <= CHUNK_BYTES);
            wire.extend_from_slice(&chunk);
        }
        if sideband == Sideband::None {
            return (sent, wire);
        }
        let mut input = wire.as_slice();
        let mut read = Vec::new();
        while let Some(PktLine::Data(data)) = pkt_line::decode(&mut input).unwrap() {
            assert_eq!(data[0], 1);
            assert!(
                data.len() > 1,
                "an empty packet is a keepalive, not a piece of a pack"
            );
            read.extend_from_slice(&data[1..]);
        }
        assert!(input.is_empty());
        (sent, read)
    }

    #[test]
    fn whatever_the_pieces_the_payload_is_the_same() {
        for sideband in [Sideband::None, Sideband::Small, Sideband::Large] {
            for lengths in [
                &[][..],
                &[1],
                &[65_515],
                &[65_516],
                &[995, 1, 994],
                &[200_000, 3, 70_000],
                &[2 * 65_515],
                &[2 * 65_515 + 1],
                &[1; 3000],
            ] {
                let (sent, read) = through(sideband, lengths);
                assert!(sent == read, "{sideband:?} {lengths:?}");
            }
        }
    }
}
