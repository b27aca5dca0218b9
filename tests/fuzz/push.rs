//! Packs composed from what a fuzzer says, and a repository that they are pushed to.
//!
//! Source: gitformat-pack(5).
//! Bounds: [`limits`], far below those of a server.
//! Invariant: counts, checksums and compressed data are right unless a target wants them wrong, so that what lies
//! behind them is reached.
//! Not here: what a target makes of the answer.
#![allow(dead_code, reason = "each target uses a part of this")]

use std::{fs, io::Write as _};

use gix_hash::{Kind as Hash, ObjectId};
use gix_zlib::{Compression, stream::deflate};
use packhorse::{
    git::{
        ObjectKind, Repository,
        receive::{Limits, Quarantine, ReceiveError, ingest},
    },
    model::ObjectFormat,
};
use tempfile::TempDir;

/// Bytes of an object; a fuzzer gains nothing by larger ones.
pub const OBJECT_BYTES_MAX: u64 = 1 << 20;

pub fn limits() -> Limits {
    Limits {
        pack_bytes: 1 << 20,
        objects: 64,
        inflated_bytes: 8 << 20,
        object_bytes: OBJECT_BYTES_MAX,
        delta_bytes: OBJECT_BYTES_MAX,
        parsed_bytes: OBJECT_BYTES_MAX,
        delta_depth: 8,
        tree_entries: 1_000,
        ..Limits::default()
    }
}

/// An empty repository.
pub struct Target {
    folder: TempDir,
    repository: Repository,
}

impl Target {
    pub fn new(format: ObjectFormat) -> Self {
        let folder = tempfile::tempdir().expect("there is room");
        let repository = Repository::create(folder.path(), format).expect("the folder is empty");
        Self { folder, repository }
    }

    /// Pushes a pack; one that is refused leaves nothing, one that is taken holds what it names.
    pub fn push(&self, pack: &[u8]) -> Result<Quarantine, ReceiveError> {
        let taken = ingest(&self.repository, &mut &*pack, &limits(), &mut |_| {});
        match &taken {
            Ok(quarantine) => self.check(quarantine),
            Err(error) => {
                assert!(!matches!(
                    error,
                    ReceiveError::Storage(_) | ReceiveError::Repository(_)
                ));
                let left = fs::read_dir(self.folder.path().join("incoming"));
                assert_eq!(left.expect("the folder is there").count(), 0);
            }
        }
        taken
    }

    fn check(&self, quarantine: &Quarantine) {
        let (mut reader, mut content) = (quarantine.reader(), Vec::new());
        for object in quarantine.new_objects() {
            let kind = reader.find(&object.id, &mut content);
            assert_eq!(
                kind.expect("what was built once can be again"),
                Some(object.kind)
            );
            assert_eq!(content.len() as u64, object.size);
            assert_eq!(
                id(self.repository.format().kind(), object.kind, &content),
                object.id
            );
        }
    }
}

pub fn id(format: Hash, kind: ObjectKind, content: &[u8]) -> ObjectId {
    let mut hasher = gix_hash::hasher(format);
    hasher.update(&gix_object::encode::loose_header(
        kind,
        content.len() as u64,
    ));
    hasher.update(content);
    hasher
        .try_finalize()
        .expect("no fuzzer finds an attack on SHA-1")
}

/// A pack in the making.
pub struct Pack {
    format: Hash,
    bytes: Vec<u8>,
    count: u32,
}

impl Pack {
    pub fn new(format: Hash) -> Self {
        Self {
            format,
            bytes: b"PACK\0\0\0\x02\0\0\0\0".to_vec(),
            count: 0,
        }
    }

    /// Where the next entry begins.
    pub fn offset(&self) -> usize {
        self.bytes.len()
    }

    /// An entry of these bytes, headers and all.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
        self.count += 1;
    }

    /// An entry of type `code` that says it has `size` bytes, with `base` between header and content.
    pub fn entry(&mut self, code: u8, size: usize, base: &[u8], content: &[u8]) {
        let mut byte = (code & 7) << 4 | low(size, 0x0f);
        let mut rest = size >> 4;
        while rest > 0 {
            self.bytes.push(byte | 0x80);
            byte = low(rest, 0x7f);
            rest >>= 7;
        }
        self.bytes.push(byte);
        self.bytes.extend_from_slice(base);
        let mut deflate = deflate::Write::new(Vec::new(), Compression::BEST_SPEED);
        let done = deflate.write_all(content).and_then(|()| deflate.flush());
        done.expect("memory takes everything");
        self.bytes.extend(deflate.into_inner());
        self.count += 1;
    }

    pub fn finish(mut self) -> Vec<u8> {
        self.bytes[8..12].copy_from_slice(&self.count.to_be_bytes());
        let mut hasher = gix_hash::hasher(self.format);
        hasher.update(&self.bytes);
        let trailer = hasher
            .try_finalize()
            .expect("no fuzzer finds an attack on SHA-1");
        self.bytes.extend_from_slice(trailer.as_slice());
        self.bytes
    }
}

/// The type that stands for objects of this kind.
pub fn code(kind: ObjectKind) -> u8 {
    match kind {
        ObjectKind::Commit => 1,
        ObjectKind::Tree => 2,
        ObjectKind::Blob => 3,
        ObjectKind::Tag => 4,
    }
}

/// How far back a base is, as an entry says it.
pub fn distance(mut value: usize) -> Vec<u8> {
    let mut bytes = vec![low(value, 0x7f)];
    while value > 0x7f {
        value = (value >> 7) - 1;
        bytes.insert(0, low(value, 0x7f) | 0x80);
    }
    bytes
}

fn low(value: usize, mask: u8) -> u8 {
    value.to_le_bytes()[0] & mask
}
