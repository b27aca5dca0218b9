//! The second pass: builds what is stored as deltas, each base once, and completes thin packs.
//!
//! Source: gitformat-pack(5), "Deltified representation"; git-index-pack(1), `--fix-thin`.
//! Bounds: [`Limits`]; contents that wait for their next delta hold [`WAITING_BYTES`], or less where no
//! more is lent, and one more object, others are built anew when it is their turn; large blobs are built in files (`content`);
//! there is no recursion.
//! Invariant: a delta is built when its base has a name, so a ring of deltas is never entered and
//! shows as deltas whose base is missing.

use std::{
    io::{self, Write as _},
    ops::Range,
};

use gix_hash::ObjectId;
use gix_object::Kind;
use gix_zlib::{Compression, stream::deflate};

use super::{
    Progress, ReceiveError,
    children::Children,
    entry::{Base, Entry, write_whole_header},
    inspector::{Inspector, held_max},
    limits::{Expense, Limited, Limits},
    pack::{Decoder, UnpublishedPack},
    scan::{Name, Scanned},
    spool::Spool,
    stream::pack_hash,
};
use crate::git::{memory::Loan, packs::Content};

/// Contents that wait for their next delta hold this much together.
const WAITING_BYTES: u64 = 32 << 20;
/// Buffers up to this size are kept to be used again, so many of them.
const SPARE_BYTES: usize = 1 << 20;
const SPARE_BUFFERS: usize = 16;
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
        loan: inspector.loan(),
        dropped: 0,
        spare: Vec::new(),
        decoder: Decoder::new(),
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
    waiting_bytes: u64,
    loan: Loan,
    /// So many of the first that wait have no content any more.
    dropped: usize,
    spare: Vec<Vec<u8>>,
    decoder: Decoder,
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
    content: Option<Content>,
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
    fn grow(&mut self, root: u32, content: Option<Content>) -> Result<(), ReceiveError> {
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
                None => self.rebuild(&frame)?,
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
    fn build(
        &mut self,
        child: u32,
        frame: &Frame,
        base: &Content,
    ) -> Result<Content, ReceiveError> {
        let limits = self.limits;
        let depth = u64::from(frame.depth) + 1;
        ReceiveError::bound(Limited::DeltaDepth, limits.delta_depth.into(), depth)?;
        let (expense, end, format) = (&mut *self.expense, self.pack.end, self.pack.format);
        let mut begin = |delta, size| {
            ReceiveError::bound(Limited::DeltaBytes, limits.delta_bytes, size)?;
            ReceiveError::bound(Limited::ObjectBytes, limits.object_bytes, size)?;
            if frame.kind != Kind::Blob {
                ReceiveError::bound(Limited::ParsedBytes, limits.parsed_bytes, size)?;
            }
            expense.charge(size.saturating_add(delta), end, limits)?;
            Ok(Some(Name::of(format, frame.kind, size)))
        };
        let spare = self.spare.pop().unwrap_or_default();
        let held_max = held_max(frame.kind);
        let (result, name) =
            self.decoder
                .build((&self.pack, child), base, held_max, spare, &mut begin)?;
        let name = name.expect("it was begun");
        let id = name.finish(self.pack.entry(child).offset)?;
        match result.held() {
            Some(held) => {
                let base_id = &self.pack.entry(frame.entry).id;
                let base = base.held().map(|base| (base_id, base));
                self.inspector.object(id, frame.kind, held, base)?;
            }
            None => self.inspector.large_blob(id, result.length())?,
        }
        let entry = &mut self.pack.entries[child as usize];
        entry.id = id;
        entry.size = result.length();
        entry.kind = Some(frame.kind);
        entry.base = Base::entry(frame.entry);
        Ok(result)
    }

    /// The content of a named object, once more.
    fn rebuild(&mut self, frame: &Frame) -> Result<Content, ReceiveError> {
        let (expense, limits, end) = (&mut *self.expense, self.limits, self.pack.end);
        let mut charge = |bytes| expense.charge(bytes, end, limits);
        self.decoder
            .object(&self.pack, frame.entry, held_max(frame.kind), &mut charge)
    }

    /// Puts a frame on top of the others, of which the lowest drop their contents if all of them
    /// hold too much.
    fn wait(&mut self, frame: Frame) {
        self.waiting_bytes += frame.content.as_ref().map_or(0, Content::length);
        self.dropped = self.dropped.min(self.waiting.len());
        self.waiting.push(frame);
        while self.dropped + 1 < self.waiting.len() && !self.may_wait() {
            let content = self.waiting[self.dropped].content.take();
            self.waiting_bytes -= content.as_ref().map_or(0, Content::length);
            self.dropped += 1;
        }
    }

    /// Whether the contents that wait take no more than they may.
    fn may_wait(&mut self) -> bool {
        let bytes = usize::try_from(self.waiting_bytes).unwrap_or(usize::MAX);
        self.waiting_bytes <= WAITING_BYTES && self.loan.covers(bytes)
    }

    fn next_waiting(&mut self) -> Option<Frame> {
        let frame = self.waiting.pop()?;
        self.waiting_bytes -= frame.content.as_ref().map_or(0, Content::length);
        Some(frame)
    }

    fn recycle(&mut self, content: Option<Content>) {
        if let Some(Content::Held(buffer)) = content
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
    fn append(&mut self, id: ObjectId, kind: Kind, content: &Content) -> Result<u32, ReceiveError> {
        let (offset, size) = (self.pack.end, content.length());
        let mut header = Vec::new();
        write_whole_header(kind, size, &mut header);
        let spool = &mut self.pack.spool;
        let crc32 = spool
            .truncate(offset)
            .and_then(|()| compress_onto(spool, &header, content))
            .map_err(ReceiveError::Storage)?;
        self.pack.end = spool.length();
        let appended = number(self.pack.entries.len());
        self.pack.entries.push(Entry {
            offset,
            size,
            id,
            crc32,
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

/// Appends an entry to the pack's bytes; answers its checksum.
fn compress_onto(spool: &mut Spool, header: &[u8], content: &Content) -> io::Result<u32> {
    struct Counted<'a>(&'a mut Spool, crc32fast::Hasher);

    impl io::Write for Counted<'_> {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.append(bytes)?;
            self.1.update(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    let mut counted = Counted(spool, crc32fast::Hasher::new());
    counted.write_all(header)?;
    let mut deflate = deflate::Write::new(counted, Compression::BEST_SPEED);
    io::copy(&mut *content.reader()?, &mut deflate)?;
    deflate.flush()?;
    Ok(deflate.into_inner().1.finalize())
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
