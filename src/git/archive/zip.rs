//! The zip format as `git archive` writes it.
//!
//! Source: PKWARE APPNOTE 6.3, with the extended-timestamp extra field and Zip64 where sizes need it;
//! git-archive(1).
//! Bounds: the directory at the end is held, some 60 bytes and a path for each entry, up to
//! [`DIRECTORY_BYTES_MAX`]; content that was not held before passes through.
//! Invariant: times are those of UTC, so that equal trees give equal bytes wherever they are made.
//! Not here: which entries there are (the parent module).

use gix_zlib::Compression;

use super::{
    ArchiveError, Content, Entry, EntryKind,
    deflate::{Deflate, Sink},
};
use crate::model::ObjectId;

const STORED: u16 = 0;
const DEFLATED: u16 = 8;
/// Sizes follow the content.
const STREAMED: u16 = 1 << 3;
/// The name is UTF-8.
const UTF8: u16 = 1 << 11;
/// Made on Unix, so that modes count.
const UNIX: u16 = 0x0317;
/// Bytes at the beginning of a file that tell whether it is text.
const LOOKED_AT: usize = 8000;

/// Bytes of the directory: half a million entries with long paths.
const DIRECTORY_BYTES_MAX: usize = 64 << 20;

/// An archive being written.
pub(super) struct Zip<'s> {
    sink: Sink<'s>,
    deflate: Option<Deflate>,
    deflated: Vec<u8>,
    time: u32,
    /// As DOS has them: time, then date.
    clock: (u16, u16),
    offset: u64,
    directory: Vec<u8>,
    entries: u64,
    creator: u16,
    commit: Option<ObjectId>,
}

/// What the directory tells of an entry.
struct Listed {
    creator: u16,
    version: u16,
    flags: u16,
    method: u16,
    crc: u32,
    compressed: u64,
    size: u64,
    is_text: bool,
    attributes: u32,
    offset: u64,
}

impl<'s> Zip<'s> {
    pub(super) fn begin(
        sink: Sink<'s>,
        level: Compression,
        time: u64,
        commit: Option<ObjectId>,
    ) -> Self {
        Self {
            sink,
            deflate: (level != Compression::NONE).then(|| Deflate::new(level)),
            deflated: Vec::new(),
            time: u32::try_from(time).unwrap_or(u32::MAX),
            clock: dos_clock(time),
            offset: 0,
            directory: Vec::new(),
            entries: 0,
            creator: 0,
            commit,
        }
    }

    pub(super) fn entry(
        &mut self,
        entry: &Entry<'_>,
        content: Content<'_>,
    ) -> Result<(), ArchiveError> {
        let Ok(path_bytes) = u16::try_from(entry.path.len()) else {
            return Err(ArchiveError::PathTooLong(entry.path.len()));
        };
        let is_utf8 = !entry.path.is_ascii() && std::str::from_utf8(entry.path).is_ok();
        let (creator, attributes) = match entry.kind {
            EntryKind::Folder => (0, 16),
            EntryKind::Link => (UNIX, 0o120_777 << 16),
            EntryKind::File { executable: true } => (UNIX, 0o100_755 << 16),
            EntryKind::File { executable: false } => (0, 0),
        };
        let content = match entry.kind {
            EntryKind::Folder => Content::Whole(b""),
            EntryKind::Link | EntryKind::File { .. } => content,
        };
        let size = content.size();
        let may_deflate =
            matches!(entry.kind, EntryKind::File { .. }) && size > 0 && self.deflate.is_some();
        let mut listed = Listed {
            creator,
            version: 10,
            flags: if is_utf8 { UTF8 } else { 0 },
            method: STORED,
            crc: 0,
            compressed: size,
            size,
            is_text: false,
            attributes,
            offset: self.offset,
        };
        self.creator = self.creator.max(creator);
        match content {
            Content::Whole(bytes) => {
                listed.crc = crc32fast::hash(bytes);
                listed.is_text = entry.kind != EntryKind::Folder && is_text(bytes);
                let mut deflated = std::mem::take(&mut self.deflated);
                deflated.clear();
                let mut data = bytes;
                if let Some(deflate) = self.deflate.as_mut().filter(|_| may_deflate) {
                    let mut keep = |piece: &[u8]| {
                        deflated.extend_from_slice(piece);
                        Ok(())
                    };
                    deflate.write(bytes, &mut keep)?;
                    deflate.finish(&mut keep)?;
                    if deflated.len() < bytes.len() {
                        listed.method = DEFLATED;
                        listed.compressed = deflated.len() as u64;
                        data = &deflated;
                    }
                }
                self.put_head(entry.path, path_bytes, &listed)?;
                self.put(data)?;
                self.deflated = deflated;
            }
            Content::Pieces { .. } => {
                listed.flags |= STREAMED;
                if size > u64::from(u32::MAX >> 1) {
                    listed.version = 45;
                }
                if may_deflate {
                    listed.method = DEFLATED;
                    listed.compressed = 0;
                }
                self.put_head(entry.path, path_bytes, &listed)?;
                self.put_pieces(content, &mut listed)?;
            }
        }
        self.list(entry.path, path_bytes, &listed);
        if self.directory.len() > DIRECTORY_BYTES_MAX {
            return Err(ArchiveError::TooManyEntries);
        }
        Ok(())
    }

    fn put_pieces(
        &mut self,
        content: Content<'_>,
        listed: &mut Listed,
    ) -> Result<(), ArchiveError> {
        let begin = self.offset;
        let mut crc = crc32fast::Hasher::new();
        let mut looked = false;
        let mut deflate = match listed.method {
            DEFLATED => self.deflate.take(),
            _ => None,
        };
        content.pour(&mut |bytes| {
            crc.update(bytes);
            if !std::mem::replace(&mut looked, true) {
                listed.is_text = is_text(bytes);
            }
            match &mut deflate {
                Some(deflate) => {
                    let (sink, offset) = (&mut *self.sink, &mut self.offset);
                    deflate.write(bytes, &mut |piece| {
                        *offset += piece.len() as u64;
                        sink(piece)
                    })?;
                    Ok(())
                }
                None => self.put(bytes),
            }
        })?;
        if let Some(mut deflate) = deflate {
            let (sink, offset) = (&mut *self.sink, &mut self.offset);
            deflate.finish(&mut |piece| {
                *offset += piece.len() as u64;
                sink(piece)
            })?;
            self.deflate = Some(deflate);
        }
        listed.crc = crc.finalize();
        listed.compressed = self.offset - begin;
        let mut after = 0x0807_4b50_u32.to_le_bytes().to_vec();
        after.extend(listed.crc.to_le_bytes());
        let sizes = [listed.compressed, listed.size];
        if sizes.iter().any(|size| *size >= u64::from(u32::MAX)) {
            for size in sizes {
                after.extend(size.to_le_bytes());
            }
        } else {
            for size in sizes {
                after.extend(clamped(size).to_le_bytes());
            }
        }
        self.put(&after)
    }

    /// The header before the content.
    fn put_head(
        &mut self,
        path: &[u8],
        path_bytes: u16,
        listed: &Listed,
    ) -> Result<(), ArchiveError> {
        let narrow = u64::from(u32::MAX);
        let streamed = listed.flags & STREAMED != 0;
        let wide = listed.size > narrow
            || listed.compressed > narrow
            || streamed && listed.size > narrow >> 1;
        let mut head = 0x0403_4b50_u32.to_le_bytes().to_vec();
        let version = if wide { 45 } else { listed.version };
        for field in [
            version,
            listed.flags,
            listed.method,
            self.clock.0,
            self.clock.1,
        ] {
            head.extend(field.to_le_bytes());
        }
        head.extend(listed.crc.to_le_bytes());
        let told = |size: u64| if wide { u32::MAX } else { clamped(size) };
        head.extend(told(listed.compressed).to_le_bytes());
        head.extend(told(listed.size).to_le_bytes());
        head.extend(path_bytes.to_le_bytes());
        let extra_bytes: u16 = if wide { 9 + 20 } else { 9 };
        head.extend(extra_bytes.to_le_bytes());
        head.extend_from_slice(path);
        head.extend(self.timestamp());
        if wide {
            head.extend([1, 0, 16, 0]);
            head.extend(listed.size.to_le_bytes());
            head.extend(listed.compressed.to_le_bytes());
        }
        self.put(&head)
    }

    /// The extra field with the time.
    fn timestamp(&self) -> [u8; 9] {
        let [a, b, c, d] = self.time.to_le_bytes();
        [0x55, 0x54, 5, 0, 1, a, b, c, d]
    }

    fn list(&mut self, path: &[u8], path_bytes: u16, listed: &Listed) {
        let mut wide = Vec::new();
        for size in [listed.size, listed.compressed, listed.offset] {
            if size >= u64::from(u32::MAX) {
                wide.extend(size.to_le_bytes());
            }
        }
        let wide_bytes = u16::try_from(wide.len()).expect("three sizes at most");
        let extra_bytes = 9 + if wide.is_empty() { 0 } else { 4 + wide_bytes };
        let timestamp = self.timestamp();
        let directory = &mut self.directory;
        directory.extend(0x0201_4b50_u32.to_le_bytes());
        let fields = [
            listed.creator,
            listed.version,
            listed.flags,
            listed.method,
            self.clock.0,
            self.clock.1,
        ];
        for field in fields {
            directory.extend(field.to_le_bytes());
        }
        directory.extend(listed.crc.to_le_bytes());
        directory.extend(clamped(listed.compressed).to_le_bytes());
        directory.extend(clamped(listed.size).to_le_bytes());
        let fields = [path_bytes, extra_bytes, 0, 0, u16::from(listed.is_text)];
        for field in fields {
            directory.extend(field.to_le_bytes());
        }
        directory.extend(listed.attributes.to_le_bytes());
        directory.extend(clamped(listed.offset).to_le_bytes());
        directory.extend_from_slice(path);
        directory.extend(timestamp);
        if !wide.is_empty() {
            directory.extend([1, 0]);
            directory.extend(wide_bytes.to_le_bytes());
            directory.extend(wide);
        }
        self.entries += 1;
    }

    /// The directory, with the commit's id as a comment.
    pub(super) fn finish(mut self) -> Result<(), ArchiveError> {
        let directory = std::mem::take(&mut self.directory);
        let (offset, bytes) = (self.offset, directory.len() as u64);
        self.put(&directory)?;
        let entries = u16::try_from(self.entries).unwrap_or(u16::MAX);
        let mut end = Vec::new();
        if self.entries > u64::from(u16::MAX) || offset > u64::from(u32::MAX) {
            end.extend(0x0606_4b50_u32.to_le_bytes());
            end.extend(44_u64.to_le_bytes());
            end.extend(self.creator.to_le_bytes());
            end.extend(45_u16.to_le_bytes());
            end.extend([0; 8]);
            for field in [self.entries, self.entries, bytes, offset] {
                end.extend(field.to_le_bytes());
            }
            end.extend(0x0706_4b50_u32.to_le_bytes());
            end.extend([0; 4]);
            end.extend((offset + bytes).to_le_bytes());
            end.extend(1_u32.to_le_bytes());
        }
        let comment = self.commit.map(|id| id.to_string()).unwrap_or_default();
        end.extend(0x0605_4b50_u32.to_le_bytes());
        end.extend([0; 4]);
        end.extend(entries.to_le_bytes());
        end.extend(entries.to_le_bytes());
        end.extend(clamped(bytes).to_le_bytes());
        end.extend(clamped(offset).to_le_bytes());
        end.extend(
            u16::try_from(comment.len())
                .expect("an id is short")
                .to_le_bytes(),
        );
        end.extend_from_slice(comment.as_bytes());
        self.put(&end)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), ArchiveError> {
        self.offset += bytes.len() as u64;
        if !bytes.is_empty() {
            (self.sink)(bytes)?;
        }
        Ok(())
    }
}

fn clamped(size: u64) -> u32 {
    u32::try_from(size).unwrap_or(u32::MAX)
}

/// git's guess: no NUL near the beginning.
fn is_text(bytes: &[u8]) -> bool {
    !bytes[..bytes.len().min(LOOKED_AT)].contains(&0)
}

/// Time and date in two-second steps since 1980, UTC.
fn dos_clock(time: u64) -> (u16, u16) {
    let seconds = i64::try_from(time).unwrap_or(i64::MAX);
    let at = jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX);
    let at = at.to_zoned(jiff::tz::TimeZone::UTC);
    let narrow = |value: i32| u16::try_from(value).unwrap_or(0);
    let clock = narrow(
        i32::from(at.second()) / 2 + i32::from(at.minute()) * 32 + i32::from(at.hour()) * 2048,
    );
    let year = i32::from(at.year()) - 1980;
    let date = narrow(i32::from(at.day()) + i32::from(at.month()) * 32 + year * 512);
    (clock, date)
}
