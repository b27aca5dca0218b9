//! The loose objects of a plain folder, seen as one pack.
//!
//! Source: gitrepository-layout(5), `objects/[0-9a-f][0-9a-f]`; gitformat-pack(5) for the entries.
//! Bounds: 40 bytes an object, besides the entries that were asked for: [`ENTRIES_BYTES`] of those and
//! 64 KiB each are kept in memory, the others in temporary files without a name.
//! Invariant: the entry of position `n` begins at `n *` [`STRIDE`] and is made, from the object's
//! file, when first asked for; then it stays, whatever becomes of the file.
//! Not here: writing loose objects (`receive`).

use std::{
    fs::{self, File},
    io::{self, BufReader, Write as _},
    ops::Range,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use gix_hash::{Kind, ObjectId, oid};
use gix_pack::data;
use gix_zlib::{Compression, Decompress, stream};

use super::{HELD_BYTES, ObjectReader, PackSet, file::Stretch, indices};
use crate::model::ObjectFormat;

/// Between the beginnings of two entries: more than the head of any has. Reading may begin within a
/// head or right behind it, and what begins there is taken up to its end, however long it is; so
/// offsets stay small enough to be keys.
const STRIDE: u64 = 64;
/// Behind every entry, however long.
const END: u64 = u64::MAX >> 1;
/// Entries in memory, together.
const ENTRIES_BYTES: usize = 64 << 20;
/// An entry up to this size is kept in memory in any case, since a map costs more.
const SMALL_BYTES: usize = 64 << 10;
/// An entry beyond this size is not kept in memory in any case.
const LARGE_BYTES: usize = 4 << 20;
/// What stands before the first entry of a pack file.
const PACK_HEAD: &[u8] = b"PACK\0\0\0\x02\0\0\0\x01";
/// Objects are transcoded in pieces of this size.
const PIECE_BYTES: usize = 64 << 10;
/// git's fastest level: most entries are read here and never sent.
const DEFLATE_LEVEL: i32 = 1;

/// All loose objects below one `objects` folder.
pub(super) struct Loose {
    objects: PathBuf,
    format: ObjectFormat,
    ids: Vec<ObjectId>,
    entries: Vec<OnceLock<Option<EntryBytes>>>,
    held: AtomicUsize,
    /// Packs that came after the listing, for objects that somebody moved into them.
    packed: Mutex<Option<Arc<PackSet>>>,
}

/// An entry as a pack would hold it.
enum EntryBytes {
    Memory(Box<[u8]>),
    Mapped(data::File, File),
}

impl Loose {
    /// Lists what is there.
    pub(super) fn open(objects: &Path, format: ObjectFormat) -> io::Result<Self> {
        let mut ids = Vec::new();
        for shelf in 0..=u8::MAX {
            let shelf = format!("{shelf:02x}");
            let files = match fs::read_dir(objects.join(&shelf)) {
                Ok(files) => files,
                Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
                Err(error) => return Err(error),
            };
            for file in files {
                let name = file?.file_name();
                let hex = [shelf.as_bytes(), name.as_encoded_bytes()].concat();
                if hex.len() == format.kind().len_in_hex()
                    && let Ok(id) = ObjectId::from_hex(&hex)
                {
                    ids.push(id);
                }
            }
        }
        ids.sort_unstable();
        Ok(Self {
            objects: objects.to_owned(),
            format,
            entries: std::iter::repeat_with(OnceLock::new)
                .take(ids.len())
                .collect(),
            ids,
            held: AtomicUsize::new(0),
            packed: Mutex::new(None),
        })
    }

    pub(super) fn count(&self) -> u32 {
        u32::try_from(self.ids.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn path(&self) -> &Path {
        &self.objects
    }

    pub(super) fn hash(&self) -> Kind {
        self.format.kind()
    }

    pub(super) fn id_at(&self, position: u32) -> &oid {
        &self.ids[position as usize]
    }

    pub(super) fn offset_at(position: u32) -> u64 {
        u64::from(position) * STRIDE
    }

    pub(super) fn end() -> u64 {
        END
    }

    pub(super) fn positions_with_prefix(&self, prefix: gix_hash::Prefix) -> Range<u32> {
        let first = self.ids.partition_point(|id| prefix.cmp_oid(id).is_gt());
        let count = self.ids[first..].partition_point(|id| prefix.cmp_oid(id).is_eq());
        let number = |at: usize| u32::try_from(at).unwrap_or(u32::MAX);
        number(first)..number(first + count)
    }

    /// The bytes of a range that begins within an entry, up to the end of that entry at most.
    pub(super) fn bytes(&self, range: Range<u64>) -> Option<&[u8]> {
        let position = usize::try_from(range.start / STRIDE).ok()?;
        let entry = self.entry(position)?;
        let begin = range.start - range.start % STRIDE;
        let local = |offset: u64| usize::try_from(offset - begin).ok();
        entry.get(local(range.start)?..local(range.end)?.min(entry.len()))
    }

    /// Where the entry that begins here ends.
    pub(super) fn end_of(&self, offset: u64) -> Option<u64> {
        let entry = self.entry(usize::try_from(offset / STRIDE).ok()?)?;
        Some(offset + entry.len() as u64)
    }

    /// How to read what lies behind `start` in its entry, if that is in a file.
    pub(super) fn stretch(&self, start: u64) -> Option<Stretch> {
        let EntryBytes::Mapped(_, file) = self.made(usize::try_from(start / STRIDE).ok()?)? else {
            return None;
        };
        let begin = PACK_HEAD.len() as u64;
        Some(Stretch {
            file: file.try_clone().ok()?,
            begin: begin.checked_signed_diff(start - start % STRIDE)?,
        })
    }

    fn entry(&self, position: usize) -> Option<&[u8]> {
        match self.made(position)? {
            EntryBytes::Memory(bytes) => Some(bytes),
            EntryBytes::Mapped(pack, _) => {
                pack.entry_slice(PACK_HEAD.len() as u64..pack.pack_end() as u64)
            }
        }
    }

    fn made(&self, position: usize) -> Option<&EntryBytes> {
        let made = self
            .entries
            .get(position)?
            .get_or_init(|| match self.make(position) {
                Ok(made) => Some(made),
                Err(error) => {
                    tracing::warn!(id = %self.ids[position], %error, "loose object can't be read");
                    None
                }
            });
        made.as_ref()
    }

    /// Makes an entry out of the object's file: the same content with a head of another form, which
    /// a loose object has inside of what is deflated and an entry of a pack before it.
    fn make(&self, position: usize) -> io::Result<EntryBytes> {
        let hex = self.ids[position].to_string();
        let (shelf, rest) = hex.split_at(2);
        let file = match File::open(self.objects.join(shelf).join(rest)) {
            Err(gone) if gone.kind() == io::ErrorKind::NotFound => {
                return self.make_from_packs(position, gone);
            }
            other => other?,
        };
        let mut input = BufReader::new(file);
        let mut state = Decompress::new();
        let mut piece = vec![0; PIECE_BYTES];
        let length = stream::inflate::read(&mut input, &mut state, &mut piece)?;
        let head = piece[..length].iter().position(|byte| *byte == 0);
        let head = head.ok_or_else(|| malformed("it has no head"))?;
        let (kind, size) =
            parse_head(&piece[..head]).ok_or_else(|| malformed("its head does not parse"))?;
        let level = Compression::new(DEFLATE_LEVEL).unwrap_or_default();
        let mut sink = Sink::Memory(Vec::new());
        sink.put_head(kind, size)?;
        let mut deflate = stream::deflate::Write::new(sink, level);
        let (mut read, mut at, mut end) = (0, head + 1, length);
        loop {
            deflate.write_all(&piece[at..end])?;
            read += (end - at) as u64;
            if read > size {
                return Err(malformed("it is longer than its head says"));
            }
            at = 0;
            end = stream::inflate::read(&mut input, &mut state, &mut piece)?;
            if end == 0 {
                break;
            }
        }
        if read != size {
            return Err(malformed("it is shorter than its head says"));
        }
        deflate.flush()?;
        self.keep(deflate.into_inner())
    }

    /// Makes an entry of an object whose file is gone: if it is in a pack now, somebody packed it.
    fn make_from_packs(&self, position: usize, gone: io::Error) -> io::Result<EntryBytes> {
        let id = &self.ids[position];
        let mut packed = self.packed.lock().unwrap_or_else(PoisonError::into_inner);
        let packs = match packed.take().filter(|packs| packs.contains(id)) {
            Some(packs) => packs,
            None => {
                let indices = indices(&self.objects.join("pack")).map_err(io::Error::other)?;
                let set = PackSet::open(self.format, &indices);
                Arc::new(set.map_err(io::Error::other)?)
            }
        };
        *packed = Some(Arc::clone(&packs));
        drop(packed);
        let mut reader = ObjectReader::new(packs);
        let location = reader.packs().locate(id).ok_or(gone)?;
        let kind = match reader.kind_at(location).map_err(io::Error::other)? {
            gix_object::Kind::Commit => 1,
            gix_object::Kind::Tree => 2,
            gix_object::Kind::Blob => 3,
            gix_object::Kind::Tag => 4,
        };
        let content = reader.content(location, HELD_BYTES);
        let content = content.map_err(io::Error::other)?;
        let mut sink = Sink::Memory(Vec::new());
        sink.put_head(kind, content.length())?;
        let level = Compression::new(DEFLATE_LEVEL).unwrap_or_default();
        let mut deflate = stream::deflate::Write::new(sink, level);
        io::copy(&mut *content.reader()?, &mut deflate)?;
        deflate.flush()?;
        self.keep(deflate.into_inner())
    }

    fn keep(&self, sink: Sink) -> io::Result<EntryBytes> {
        let bytes = match sink {
            Sink::Memory(bytes) => {
                let length = bytes.len();
                if length <= SMALL_BYTES
                    || self.held.load(Ordering::Relaxed).saturating_add(length) <= ENTRIES_BYTES
                {
                    self.held.fetch_add(length, Ordering::Relaxed);
                    return Ok(EntryBytes::Memory(bytes.into_boxed_slice()));
                }
                let mut sink = Sink::Memory(bytes);
                sink.spill()?;
                sink
            }
            file @ Sink::File(_) => file,
        };
        let Sink::File(mut file) = bytes else {
            return Err(malformed("it can't be spilled"));
        };
        file.write_all(self.format.kind().null().as_slice())?;
        file.flush()?;
        // Map and file outlive the name, which goes with `file`.
        let map = data::File::at(file.path(), self.format.kind()).map_err(io::Error::other)?;
        Ok(EntryBytes::Mapped(map, file.into_file()))
    }
}

/// Takes an entry's bytes: in memory while they are few.
enum Sink {
    Memory(Vec<u8>),
    File(tempfile::NamedTempFile),
}

impl Sink {
    fn put_head(&mut self, kind: u8, size: u64) -> io::Result<()> {
        let mut byte = (kind << 4) | u8::try_from(size & 0x0f).unwrap_or_default();
        let mut rest = size >> 4;
        while rest > 0 {
            self.write_all(&[byte | 0x80])?;
            byte = u8::try_from(rest & 0x7f).unwrap_or_default();
            rest >>= 7;
        }
        self.write_all(&[byte])
    }

    fn spill(&mut self) -> io::Result<()> {
        if let Self::Memory(bytes) = self {
            let mut file = tempfile::NamedTempFile::new()?;
            file.write_all(PACK_HEAD)?;
            file.write_all(bytes)?;
            *self = Self::File(file);
        }
        Ok(())
    }
}

impl io::Write for Sink {
    fn write(&mut self, more: &[u8]) -> io::Result<usize> {
        if let Self::Memory(bytes) = self
            && bytes.len() + more.len() > LARGE_BYTES
        {
            self.spill()?;
        }
        match self {
            Self::Memory(bytes) => bytes.write(more),
            Self::File(file) => file.write(more),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Memory(_) => Ok(()),
            Self::File(file) => file.flush(),
        }
    }
}

/// `blob 12` as the number that packs use and the size.
fn parse_head(head: &[u8]) -> Option<(u8, u64)> {
    let space = head.iter().position(|byte| *byte == b' ')?;
    let kind = match &head[..space] {
        b"commit" => 1,
        b"tree" => 2,
        b"blob" => 3,
        b"tag" => 4,
        _ => return None,
    };
    let digits = std::str::from_utf8(&head[space + 1..]).ok()?;
    let size: u64 = digits.parse().ok()?;
    (size.to_string() == digits).then_some((kind, size))
}

fn malformed(reason: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::{ObjectReader, Repository, fixture::Stock};

    fn noise(length: usize) -> Vec<u8> {
        let mut state = 1u32;
        let mut byte = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            state.to_be_bytes()[0]
        };
        (0..length).map(|_| byte()).collect()
    }

    #[test]
    fn loose_objects_read_as_git_reads_them_whatever_their_size() {
        for stock in Stock::each() {
            let contents = [
                Vec::new(),
                b"short".to_vec(),
                noise(SMALL_BYTES),
                noise(PIECE_BYTES * 3 + 1),
                noise(LARGE_BYTES + 100_000),
                vec![b'x'; 10 << 20],
            ];
            let mut ids = Vec::new();
            for content in &contents {
                let id = stock.git_with_input(["hash-object", "-w", "--stdin"], content);
                ids.push(ObjectId::from_hex(id.trim_ascii_end()).unwrap());
            }
            let objects = stock.path().join("objects");
            let repository =
                Repository::open_plain(&[objects], &[], stock.path(), stock.format()).unwrap();
            let mut reader = ObjectReader::new(repository.packs());
            let mut buffer = Vec::new();
            for (id, content) in ids.iter().zip(&contents) {
                assert_eq!(reader.size(id), Ok(Some(content.len() as u64)));
                let found = reader.find(id, &mut buffer).unwrap().unwrap();
                assert!(found.data == content, "{id}");
                let prefix = gix_hash::Prefix::new(id, 12).unwrap();
                assert_eq!(repository.packs().with_prefix(&prefix, 9), [*id]);
            }
        }
    }

    #[test]
    fn a_damaged_loose_object_is_an_error_and_harms_no_other() {
        let stock = Stock::new(ObjectFormat::Sha1);
        let ids = [b"one".as_slice(), b"two"].map(|content| {
            let id = stock.git_with_input(["hash-object", "-w", "--stdin"], content);
            ObjectId::from_hex(id.trim_ascii_end()).unwrap()
        });
        let hex = ids[0].to_string();
        let path = stock.path().join("objects").join(&hex[..2]).join(&hex[2..]);
        fs::remove_file(&path).unwrap();
        fs::write(&path, b"not deflated at all").unwrap();
        let objects = stock.path().join("objects");
        let repository =
            Repository::open_plain(&[objects], &[], stock.path(), stock.format()).unwrap();
        let mut reader = ObjectReader::new(repository.packs());
        let mut buffer = Vec::new();
        assert!(reader.find(&ids[0], &mut buffer).is_err());
        assert_eq!(
            reader.find(&ids[1], &mut buffer).unwrap().unwrap().data,
            b"two"
        );
    }

    #[test]
    fn what_is_packed_after_it_was_listed_is_still_read() {
        for stock in Stock::each() {
            let ids = [b"one".as_slice(), b"two"].map(|content| {
                let id = stock.git_with_input(["hash-object", "-w", "--stdin"], content);
                ObjectId::from_hex(id.trim_ascii_end()).unwrap()
            });
            let objects = stock.path().join("objects");
            let open = || {
                Repository::open_plain(
                    std::slice::from_ref(&objects),
                    &[],
                    stock.path(),
                    stock.format(),
                )
            };
            let repository = open().unwrap();
            let listed = format!("{}\n{}\n", ids[0], ids[1]);
            stock.git_with_input(
                ["pack-objects", "-q", "objects/pack/pack"],
                listed.as_bytes(),
            );
            stock.git(["prune-packed", "-q"]);
            assert_eq!(open().unwrap().packs().pack_count(), 1);
            let mut reader = ObjectReader::new(repository.packs());
            let mut buffer = Vec::new();
            for (id, content) in ids.iter().zip([b"one", b"two"]) {
                assert_eq!(reader.find(id, &mut buffer).unwrap().unwrap().data, content);
            }
        }
    }
}
