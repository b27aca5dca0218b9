//! The tar format as `git archive` writes it: ustar, with pax headers where that is too narrow.
//!
//! Source: POSIX.1-2017 pax, "ustar Interchange Format" and "pax Extended Header"; git-archive(1).
//! Bounds: one header at a time; content passes through.
//! Invariant: equal trees give equal bytes, those of stock git.
//! Not here: which entries there are (the parent module).

use super::{
    ArchiveError, Content, Entry, EntryKind,
    deflate::{Gzip, Sink},
};
use crate::model::ObjectId;

/// Content is filled up to this.
const RECORD: usize = 512;
/// The archive is filled up to this.
const BLOCK: u64 = 20 * RECORD as u64;
/// What no entry allows, as git's `tar.umask` has it.
const UMASK: u32 = 0o002;
/// Sizes and times beyond this need a pax header.
const OCTAL_MAX: u64 = 0o77_777_777_777;

const NAME: usize = 100;
const LINK: usize = 100;
const PREFIX: usize = 155;

/// An archive being written.
pub(super) struct Tar<'s> {
    sink: Sink<'s>,
    gzip: Option<Gzip>,
    /// Bytes so far, modulo [`BLOCK`].
    offset: u64,
    time: u64,
}

impl<'s> Tar<'s> {
    /// Begins with the commit's id as a comment.
    pub(super) fn begin(
        sink: Sink<'s>,
        gzip: Option<Gzip>,
        time: u64,
        commit: Option<&ObjectId>,
    ) -> Result<Self, ArchiveError> {
        let mut tar = Self {
            sink,
            gzip,
            offset: 0,
            time: time.min(OCTAL_MAX),
        };
        let mut records = Vec::new();
        if let Some(commit) = commit {
            put_record(&mut records, "comment", commit.to_string().as_bytes());
        }
        if time > OCTAL_MAX {
            put_record(&mut records, "mtime", time.to_string().as_bytes());
        }
        if !records.is_empty() {
            let header = Header::new(b'g', b"pax_global_header", 0o666, records.len() as u64);
            tar.put(&header.sealed(tar.time))?;
            tar.put_filled(&records)?;
        }
        Ok(tar)
    }

    pub(super) fn entry(
        &mut self,
        entry: &Entry<'_>,
        content: Content<'_>,
    ) -> Result<(), ArchiveError> {
        let (kind, mode) = match entry.kind {
            EntryKind::Folder => (b'5', 0o777 & !UMASK),
            EntryKind::Link => (b'2', 0o777),
            EntryKind::File { executable: true } => (b'0', 0o777 & !UMASK),
            EntryKind::File { executable: false } => (b'0', 0o666 & !UMASK),
        };
        let mut records = Vec::new();
        let size = match entry.kind {
            EntryKind::File { .. } => content.size(),
            EntryKind::Folder | EntryKind::Link => 0,
        };
        let mut header = Header::new(kind, b"", mode, size);
        if !header.name(entry.path) {
            header.name(format!("{}.data", entry.id).as_bytes());
            put_record(&mut records, "path", entry.path);
        }
        if let (EntryKind::Link, Content::Whole(target)) = (entry.kind, &content) {
            if target.len() > LINK {
                header.link(format!("see {}.paxheader", entry.id).as_bytes());
                put_record(&mut records, "linkpath", target);
            } else {
                header.link(target);
            }
        }
        if size > OCTAL_MAX {
            header.size(0);
            put_record(&mut records, "size", size.to_string().as_bytes());
        }
        if !records.is_empty() {
            let name = format!("{}.paxheader", entry.id);
            let extended = Header::new(b'x', name.as_bytes(), 0o666, records.len() as u64);
            self.put(&extended.sealed(self.time))?;
            self.put_filled(&records)?;
        }
        self.put(&header.sealed(self.time))?;
        if matches!(entry.kind, EntryKind::File { .. }) {
            content.pour(&mut |bytes| self.put(bytes))?;
            self.fill(size)?;
        }
        Ok(())
    }

    /// Two empty records, and what fills the last block.
    pub(super) fn finish(mut self) -> Result<(), ArchiveError> {
        let mut left = BLOCK - self.offset;
        if left < 2 * RECORD as u64 {
            left += BLOCK;
        }
        let zeros = vec![0; usize::try_from(left).expect("two blocks at most")];
        self.put(&zeros)?;
        if let Some(gzip) = self.gzip.take() {
            gzip.finish(self.sink)?;
        }
        Ok(())
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        self.offset = (self.offset + bytes.len() as u64) % BLOCK;
        match &mut self.gzip {
            Some(gzip) => gzip.write(bytes, self.sink)?,
            None => (self.sink)(bytes)?,
        }
        Ok(())
    }

    fn put_filled(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        self.put(bytes)?;
        self.fill(bytes.len() as u64)
    }

    /// Fills the record that content of this size ends in.
    fn fill(&mut self, size: u64) -> Result<(), ArchiveError> {
        let left = (RECORD as u64 - size % RECORD as u64) % RECORD as u64;
        let left = usize::try_from(left).expect("less than a record");
        self.put(&[0; RECORD][..left])
    }
}

/// `length key=value` and a line feed, the length including its own digits.
fn put_record(records: &mut Vec<u8>, key: &str, value: &[u8]) {
    let bare = key.len() + value.len() + 3;
    let mut length = bare + 1;
    while bare + length.to_string().len() > length {
        length += 1;
    }
    records.extend_from_slice(format!("{length} {key}=").as_bytes());
    records.extend_from_slice(value);
    records.push(b'\n');
}

/// The record before an entry's content.
struct Header([u8; RECORD]);

impl Header {
    fn new(kind: u8, name: &[u8], mode: u32, size: u64) -> Self {
        let mut header = Self([0; RECORD]);
        header.put(0, name);
        header.put(100, format!("{mode:07o}").as_bytes());
        header.put(108, b"0000000");
        header.put(116, b"0000000");
        header.size(size);
        header.put(156, &[kind]);
        header.put(257, b"ustar\x0000");
        header.put(265, b"root");
        header.put(297, b"root");
        header.put(329, b"0000000");
        header.put(337, b"0000000");
        header
    }

    /// Answers whether the path fits, cut at a slash if need be.
    fn name(&mut self, path: &[u8]) -> bool {
        if path.len() <= NAME {
            self.put(0, path);
            return true;
        }
        let end = path.len() - usize::from(path.ends_with(b"/"));
        let end = end.min(PREFIX);
        let cut = path[..end].iter().rposition(|byte| *byte == b'/');
        match cut {
            Some(cut) if cut > 0 && path.len() - cut - 1 <= NAME => {
                self.put(345, &path[..cut]);
                self.put(0, &path[cut + 1..]);
                true
            }
            _ => false,
        }
    }

    fn link(&mut self, target: &[u8]) {
        self.put(157, target);
    }

    fn size(&mut self, size: u64) {
        self.put(124, format!("{:011o}", size.min(OCTAL_MAX)).as_bytes());
    }

    fn sealed(mut self, time: u64) -> [u8; RECORD] {
        self.put(136, format!("{time:011o}").as_bytes());
        self.put(148, b"        ");
        let sum: u32 = self.0.iter().map(|byte| u32::from(*byte)).sum();
        self.put(148, format!("{sum:07o}\0").as_bytes());
        self.0
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        self.0[at..at + bytes.len()].copy_from_slice(bytes);
    }
}
