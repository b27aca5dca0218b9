//! The second pass: builds what is stored as deltas, each base once, and completes thin packs.
//!
//! Source: gitformat-pack(5), "Deltified representation"; git-index-pack(1), `--fix-thin`.
//! Bounds: [`Limits`]; contents that wait for their next delta hold [`WAITING_BYTES`] and one more
//! object, others are built anew when it is their turn; there is no recursion.
//! Invariant: a delta is built when its base has a name, so a ring of deltas is never entered and
//! shows as deltas whose base is missing.

use std::ops::Range;

use gix_hash::ObjectId;
use gix_object::Kind;
use gix_zlib::{Compression, stream::deflate};

use super::{
    Progress, ReceiveError,
    children::Children,
    entry::{Base, Entry, write_whole_header},
    inspector::Inspector,
    limits::{Expense, Limited, Limits},
    pack::{BROKEN, Decoder, UnpublishedPack},
    scan::{Name, Scanned},
    stream::pack_hash,
};
use crate::git::packs::delta;

/// Contents that wait for their next delta hold this much together.
const WAITING_BYTES: usize = 64 << 20;
/// Buffers up to this size are kept to be used again, so many of them.
const SPARE_BYTES: usize = 1 << 20;
const SPARE_BUFFERS: usize = 64;
/// How many deltas pass between two words of progress.
const PROGRESS_DELTAS: usize = 4096;

/// Builds all objects of a scanned pack; returns the pack without open questions and how many of
/// its entries the pusher sent: those that were appended are the last.
pub(super) fn resolve(
    scanned: Scanned,
    inspector: &mut Inspector,
    expense: &mut Expense,
    limits: &Limits,
    progress: &mut dyn FnMut(Progress),
) -> Result<(UnpublishedPack, usize), ReceiveError> {
    let Scanned { pack, mut by_id } = scanned;
    let sent = pack.entries.len();
    let total = unresolved(&pack).count();
    if total == 0 {
        return Ok((pack, sent));
    }
    by_id.sort_unstable();
    let mut resolver = Resolver {
        by_offset: Children::of(&pack.entries),
        pack,
        by_id,
        waiting: Vec::new(),
        waiting_bytes: 0,
        dropped: 0,
        spare: Vec::new(),
        decoder: Decoder::new(),
        delta: Vec::new(),
        inspector,
        expense,
        limits,
        tally: Tally {
            total,
            done: 0,
            progress,
        },
    };
    for root in 0..sent {
        if resolver.pack.entries[root].base == Base::NONE {
            resolver.grow(number(root), None)?;
        }
    }
    resolver.complete()?;
    resolver.tally.say();
    Ok((resolver.pack, sent))
}

fn unresolved(pack: &UnpublishedPack) -> impl Iterator<Item = &Entry> {
    pack.entries.iter().filter(|entry| entry.kind.is_none())
}

struct Resolver<'a> {
    pack: UnpublishedPack,
    by_offset: Children,
    /// Deltas whose base is known by name, sorted by that name.
    by_id: Vec<(ObjectId, u32)>,
    waiting: Vec<Frame>,
    waiting_bytes: usize,
    /// So many of the first that wait have no content any more.
    dropped: usize,
    spare: Vec<Vec<u8>>,
    decoder: Decoder,
    delta: Vec<u8>,
    inspector: &'a mut Inspector,
    expense: &'a mut Expense,
    limits: &'a Limits,
    tally: Tally<'a>,
}

/// An object that deltas are based on, and which of them are still to be built.
struct Frame {
    entry: u32,
    kind: Kind,
    /// `None` when it had to make room.
    content: Option<Vec<u8>>,
    by_offset: Range<usize>,
    by_id: Range<usize>,
    depth: u32,
}

impl Frame {
    fn is_done(&self) -> bool {
        self.by_offset.is_empty() && self.by_id.is_empty()
    }
}

impl Resolver<'_> {
    /// Builds all deltas on this whole object, and those upon them, depth first.
    fn grow(&mut self, root: u32, content: Option<Vec<u8>>) -> Result<(), ReceiveError> {
        let Some(mut frame) = self.frame(root, 0) else {
            return Ok(());
        };
        frame.content = content;
        self.wait(frame);
        while let Some(mut frame) = self.next_waiting() {
            let Some(child) = self.next_child(&mut frame) else {
                self.recycle(frame.content);
                continue;
            };
            let base = match frame.content.take() {
                Some(content) => content,
                None => self.rebuild(frame.entry)?,
            };
            let result = self.build(child, &frame, &base)?;
            self.tally.one_more();
            let depth = frame.depth + 1;
            // An object with no further delta on it need not wait for those upon this one.
            if frame.is_done() {
                self.recycle(Some(base));
            } else {
                frame.content = Some(base);
                self.wait(frame);
            }
            match self.frame(child, depth) {
                Some(mut frame) => {
                    frame.content = Some(result);
                    self.wait(frame);
                }
                None => self.recycle(Some(result)),
            }
        }
        Ok(())
    }

    /// The deltas on a named object; `None` if there are none.
    fn frame(&self, number: u32, depth: u32) -> Option<Frame> {
        let entry = self.pack.entry(number);
        let by_id = match self.by_id.is_empty() {
            true => 0..0,
            false => {
                let start = self.by_id.partition_point(|(base, _)| *base < entry.id);
                let count = self.by_id[start..].partition_point(|(base, _)| *base == entry.id);
                start..start + count
            }
        };
        let frame = Frame {
            entry: number,
            kind: entry.kind?,
            content: None,
            by_offset: self.by_offset.range(number),
            by_id,
            depth,
        };
        (!frame.is_done()).then_some(frame)
    }

    /// The next delta on the frame's object that is not built yet; an object that is in the pack
    /// twice has had its deltas by name built the first time.
    fn next_child(&self, frame: &mut Frame) -> Option<u32> {
        if let Some(at) = frame.by_offset.next() {
            return Some(self.by_offset.delta(at));
        }
        frame
            .by_id
            .by_ref()
            .map(|at| self.by_id[at].1)
            .find(|child| self.pack.entry(*child).kind.is_none())
    }

    /// Builds a delta on the frame's object, names and checks the result.
    fn build(&mut self, child: u32, frame: &Frame, base: &[u8]) -> Result<Vec<u8>, ReceiveError> {
        let limits = self.limits;
        let depth = u64::from(frame.depth) + 1;
        ReceiveError::bound(Limited::DeltaDepth, limits.delta_depth.into(), depth)?;
        let mut delta = std::mem::take(&mut self.delta);
        self.decoder.entry(&self.pack, child, &mut delta)?;
        let offset = self.pack.entry(child).offset;
        let broken = ReceiveError::Entry {
            offset,
            reason: BROKEN,
        };
        let Some((_, size, _)) = delta::instructions(&delta) else {
            return Err(broken);
        };
        let size = size as u64;
        ReceiveError::bound(Limited::DeltaBytes, limits.delta_bytes, size)?;
        ReceiveError::bound(Limited::ObjectBytes, limits.object_bytes, size)?;
        if frame.kind != Kind::Blob {
            ReceiveError::bound(Limited::ParsedBytes, limits.parsed_bytes, size)?;
        }
        self.expense
            .charge(delta.len() as u64 + size, self.pack.end, limits)?;
        let mut result = self.spare.pop().unwrap_or_default();
        result.clear();
        delta::apply(base, &delta, &mut result).ok_or(broken)?;
        self.delta = delta;
        let mut name = Name::of(self.pack.format, frame.kind, size);
        name.update(&result);
        let id = name.finish(offset)?;
        let base = (&self.pack.entry(frame.entry).id, base);
        self.inspector.object(id, frame.kind, &result, Some(base))?;
        let entry = &mut self.pack.entries[child as usize];
        entry.id = id;
        entry.size = size;
        entry.kind = Some(frame.kind);
        entry.base = Base::entry(frame.entry);
        Ok(result)
    }

    /// The content of a named object, once more.
    fn rebuild(&mut self, number: u32) -> Result<Vec<u8>, ReceiveError> {
        let mut content = self.spare.pop().unwrap_or_default();
        let end = self.pack.end;
        self.decoder
            .object(&self.pack, number, &mut content, &mut |bytes| {
                self.expense.charge(bytes, end, self.limits)
            })?;
        Ok(content)
    }

    /// Puts a frame on top of the others, of which the lowest drop their contents if all of them
    /// hold too much.
    fn wait(&mut self, frame: Frame) {
        self.waiting_bytes += frame.content.as_ref().map_or(0, Vec::len);
        self.dropped = self.dropped.min(self.waiting.len());
        self.waiting.push(frame);
        while self.waiting_bytes > WAITING_BYTES && self.dropped + 1 < self.waiting.len() {
            let content = self.waiting[self.dropped].content.take();
            self.waiting_bytes -= content.as_ref().map_or(0, Vec::len);
            self.dropped += 1;
        }
    }

    fn next_waiting(&mut self) -> Option<Frame> {
        let frame = self.waiting.pop()?;
        self.waiting_bytes -= frame.content.as_ref().map_or(0, Vec::len);
        Some(frame)
    }

    fn recycle(&mut self, content: Option<Vec<u8>>) {
        if let Some(buffer) = content
            && buffer.capacity() <= SPARE_BYTES
            && self.spare.len() < SPARE_BUFFERS
        {
            self.spare.push(buffer);
        }
    }

    /// Appends bases from the repository for the deltas that are left.
    fn complete(&mut self) -> Result<(), ReceiveError> {
        let mut open: Vec<(u32, ObjectId)> = self
            .by_id
            .iter()
            .map(|(base, delta)| (*delta, *base))
            .filter(|(delta, _)| self.pack.entry(*delta).kind.is_none())
            .collect();
        if open.is_empty() {
            return Ok(());
        }
        // In the order of the pack, where bases come first: so none is appended that comes to be
        // known as another delta's result.
        open.sort_unstable();
        let sent = self.pack.entries.len();
        let mut missing = None;
        for (delta, base) in open {
            if self.pack.entry(delta).kind.is_some() {
                continue;
            }
            match self.inspector.base(&base, self.limits)? {
                Some((kind, content)) => {
                    let appended = self.append(base, kind, &content)?;
                    self.grow(appended, Some(content))?;
                }
                None => missing = missing.or(Some(base)),
            }
        }
        if let Some(base) = missing {
            let count = unresolved(&self.pack).count();
            return Err(ReceiveError::MissingBase { base, count });
        }
        if self.pack.entries.len() > sent {
            self.seal()?;
        }
        Ok(())
    }

    /// Adds a whole object at the pack's end.
    fn append(&mut self, id: ObjectId, kind: Kind, content: &[u8]) -> Result<u32, ReceiveError> {
        use std::io::Write as _;
        let offset = self.pack.end;
        let size = content.len() as u64;
        let mut bytes = Vec::new();
        write_whole_header(kind, size, &mut bytes);
        let mut deflate = deflate::Write::new(bytes, Compression::BEST_SPEED);
        deflate
            .write_all(content)
            .and_then(|()| deflate.flush())
            .map_err(ReceiveError::Storage)?;
        let bytes = deflate.into_inner();
        let spool = &mut self.pack.spool;
        spool
            .truncate(offset)
            .and_then(|()| spool.append(&bytes))
            .map_err(ReceiveError::Storage)?;
        self.pack.end += bytes.len() as u64;
        let appended = number(self.pack.entries.len());
        self.pack.entries.push(Entry {
            offset,
            size,
            id,
            crc32: crc32fast::hash(&bytes),
            base: Base::NONE,
            kind: Some(kind),
        });
        Ok(appended)
    }

    /// Puts the new count and hash into a pack that has grown.
    fn seal(&mut self) -> Result<(), ReceiveError> {
        const COUNT_OFFSET: usize = 8;
        const PIECE_BYTES: u64 = 1 << 20;
        let mut hash = aws_lc_rs::digest::Context::new(pack_hash(self.pack.format));
        let UnpublishedPack {
            entries,
            spool,
            end,
            trailer,
            ..
        } = &mut self.pack;
        spool
            .overwrite(COUNT_OFFSET, &number(entries.len()).to_be_bytes())
            .map_err(ReceiveError::Storage)?;
        let (mut at, mut scratch) = (0, Vec::new());
        while at < *end {
            let next = (*end).min(at + PIECE_BYTES);
            let piece = spool.read(at..next, &mut scratch);
            hash.update(piece.map_err(ReceiveError::Storage)?);
            at = next;
        }
        *trailer = hash.finish().as_ref().to_vec();
        spool.append(trailer).map_err(ReceiveError::Storage)
    }
}

/// How far it is, for the pusher.
struct Tally<'a> {
    total: usize,
    done: usize,
    progress: &'a mut dyn FnMut(Progress),
}

impl Tally<'_> {
    fn one_more(&mut self) {
        self.done += 1;
        if self.done.is_multiple_of(PROGRESS_DELTAS) {
            self.say();
        }
    }

    fn say(&mut self) {
        (self.progress)(Progress::Resolving {
            deltas: number(self.done),
            total: number(self.total),
        });
    }
}

/// Entries are counted by 32 bits in the pack's header, and appended ones are fewer than those.
fn number(count: usize) -> u32 {
    u32::try_from(count).expect("a pack holds less than 2^32 objects")
}
