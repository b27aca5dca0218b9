//! A pack that was found good and waits to be published or dropped.
//!
//! Invariant: publishing makes pack and index durable before their names appear, the index last, so
//! a crash leaves either the whole pack or files that [`sweep`] removes.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs,
    io::{self, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    sync::Arc,
};

use gix_hash::ObjectId;
use gix_object::Kind;
use gix_zlib::{Compression, stream::deflate};
use tempfile::NamedTempFile;

use super::{
    ReceiveError,
    check::Notices,
    index::{self, Order},
    inspector::held_max,
    pack::{Decoder, UnpublishedPack},
    reader::QuarantineReader,
    spool::{self, Spool},
};
use crate::git::{
    ObjectReader, PackSet, Repository,
    packs::{Content, roots::Roots},
};

/// An object that a push brings.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewObject {
    /// Its name.
    pub id: ObjectId,
    /// Commit, tree, blob or tag.
    pub kind: Kind,
    /// Bytes of its content.
    pub size: u64,
}

/// Checked objects that nobody else sees yet. Dropped, it leaves nothing behind.
#[derive(Debug)]
pub struct Quarantine {
    repository: Repository,
    packs: Arc<PackSet>,
    pack: UnpublishedPack,
    order: Order,
    sent: usize,
    roots: Option<Roots>,
    notices: Notices,
}

impl Quarantine {
    pub(super) fn new(
        repository: &Repository,
        packs: Arc<PackSet>,
        pack: UnpublishedPack,
        order: Order,
        sent: usize,
    ) -> Self {
        Self {
            repository: repository.clone(),
            packs,
            pack,
            order,
            sent,
            roots: None,
            notices: Notices::default(),
        }
    }

    /// Says what is known of the roots of the pack.
    pub(super) fn hanging_on(self, roots: Option<Roots>) -> Self {
        Self { roots, ..self }
    }

    /// The same with something to say about its objects.
    pub(super) fn telling(self, notices: Notices) -> Self {
        Self { notices, ..self }
    }

    /// No objects at all, for pushes that bring none.
    pub fn empty(repository: &Repository) -> Self {
        let pack = UnpublishedPack {
            format: repository.format().kind(),
            entries: Vec::new(),
            spool: Spool::new(&incoming(repository)),
            end: 0,
            trailer: Vec::new(),
        };
        let order = Order::of(&pack.entries).expect("no objects, no duplicates");
        Self::new(repository, repository.packs(), pack, order, 0)
    }

    /// What the pusher should hear of objects that are taken all the same.
    pub fn notices(&self) -> &Notices {
        &self.notices
    }

    /// What was sent, in the order of the pack; some of it the repository may have had already.
    pub fn new_objects(&self) -> impl ExactSizeIterator<Item = NewObject> {
        self.pack.entries[..self.sent]
            .iter()
            .map(|entry| NewObject {
                id: entry.id,
                kind: entry.kind.expect("every delta is resolved"),
                size: entry.size,
            })
    }

    /// Whether the object is among them.
    pub fn contains(&self, id: &ObjectId) -> bool {
        self.find(id).is_some_and(|at| (at as usize) < self.sent)
    }

    /// Bytes of the pack that [`Self::publish`] will add.
    pub fn pack_bytes(&self) -> u64 {
        self.pack.spool.length()
    }

    /// Reads what is here and what was in the repository when the push began.
    pub fn reader(&self) -> QuarantineReader<'_> {
        QuarantineReader::new(self, ObjectReader::new(Arc::clone(&self.packs)))
    }

    /// Makes the objects part of the repository, durably.
    ///
    /// No objects make no pack. A pack that is there already is left as it is.
    ///
    /// # Errors
    /// When the disk or the repository fails; the objects may or may not be published then, which
    /// harms nobody as long as no ref names them.
    pub fn publish(mut self) -> Result<(), ReceiveError> {
        if self.sent == 0 {
            return Ok(());
        }
        let repository = self.repository.clone();
        let folder = repository.folder().join("objects/pack");
        let storage = ReceiveError::Storage;
        let roots = self.roots.take();
        let index_path = self.store_pack(&folder)?;
        if let Some(roots) = roots
            && let Err(error) = store_roots(&roots, &index_path, &incoming(&repository))
        {
            tracing::warn!(%error, "clones will be walked");
        }
        fs::File::open(&folder)
            .and_then(|folder| folder.sync_all())
            .map_err(storage)?;
        repository
            .add_pack(&index_path)
            .map_err(|error| ReceiveError::Repository(Box::new(error)))
    }

    /// Writes pack and index, flushed, into a folder on the disk on which the quarantine lies; answers
    /// where the index is. The names themselves are left to the caller to flush.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn store_pack(self, folder: &Path) -> Result<PathBuf, ReceiveError> {
        let incoming = incoming(&self.repository);
        let trailer = ObjectId::from_bytes_or_panic(&self.pack.trailer);
        let pack_path = folder.join(format!("pack-{trailer}.pack"));
        let index_path = pack_path.with_extension("idx");
        let storage = ReceiveError::Storage;
        if !index_path.try_exists().map_err(storage)? {
            let mut index = spool::temporary(&incoming).map_err(storage)?;
            index::write(&self.pack, &self.order, index.as_file_mut()).map_err(storage)?;
            let pack = self.pack.spool.into_file().map_err(storage)?;
            make_durable(&pack).map_err(storage)?;
            make_durable(&index).map_err(storage)?;
            rename(pack, &pack_path).map_err(storage)?;
            rename(index, &index_path).map_err(storage)?;
        }
        Ok(index_path)
    }

    /// Writes each object that the repository lacks as a file of its own, flushed, below an `objects`
    /// folder on the disk on which the quarantine lies.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn store_loose(&self, objects: &Path) -> Result<(), ReceiveError> {
        let incoming = incoming(&self.repository);
        let mut decoder = Decoder::new();
        for object in self.new_objects() {
            if self.packs.contains(&object.id) {
                continue;
            }
            let number = self.find(&object.id).expect("it was listed");
            let held_max = held_max(object.kind);
            let content = decoder.object(&self.pack, number, held_max, &mut |_| Ok(()))?;
            let hex = object.id.to_string();
            let (shelf, rest) = hex.split_at(2);
            let shelf = objects.join(shelf);
            write_loose(&incoming, &object, &content, &shelf, rest)
                .map_err(ReceiveError::Storage)?;
        }
        Ok(())
    }

    pub(super) fn find(&self, id: &ObjectId) -> Option<u32> {
        self.order.find(&self.pack.entries, id)
    }

    pub(super) fn object(&self, number: u32) -> NewObject {
        let entry = self.pack.entry(number);
        NewObject {
            id: entry.id,
            kind: entry.kind.expect("every delta is resolved"),
            size: entry.size,
        }
    }

    pub(super) fn read(
        &self,
        number: u32,
        decoder: &mut Decoder,
        out: &mut Vec<u8>,
    ) -> Result<(), ReceiveError> {
        match decoder.object(&self.pack, number, u64::MAX, &mut |_| Ok(()))? {
            Content::Held(bytes) => *out = bytes,
            Content::Filed { .. } => unreachable!("no object is larger than that"),
        }
        Ok(())
    }
}

/// Removes what pushes left behind that a crash cut off: everything in `incoming`, drafts, and packs
/// and what belongs to them that lack their other half, since a power cut may keep either name without the other.
///
/// To be called while nobody pushes to the repository.
///
/// # Errors
/// When a file can't be removed.
pub(in crate::git) fn sweep(repository_folder: &Path) -> io::Result<()> {
    let incoming = repository_folder.join("incoming");
    for file in fs::read_dir(&incoming)? {
        let file = file?;
        let removed = match file.file_type()?.is_dir() {
            true => fs::remove_dir_all(file.path()),
            false => fs::remove_file(file.path()),
        };
        // A push that was refused may be removing its file at this moment.
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    let mut files = BTreeSet::new();
    for file in fs::read_dir(repository_folder.join("objects/pack"))? {
        files.insert(file?.path());
    }
    for path in &files {
        let other_half = match path.extension().map(OsStr::as_encoded_bytes) {
            Some(b"pack") => Some(path.with_extension("idx")),
            Some(b"idx" | b"roots") => Some(path.with_extension("pack")),
            _ => None,
        };
        let alone = other_half.is_some_and(|other| !files.contains(&other));
        let draft = path
            .file_name()
            .is_some_and(|name| name.as_encoded_bytes().starts_with(b"tmp_"));
        if alone || draft {
            tracing::info!(?path, "removing what a crash left");
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// Where unpublished packs lie.
pub(super) fn incoming(repository: &Repository) -> PathBuf {
    repository.incoming().to_owned()
}

/// A loose object: head and content deflated together.
fn write_loose(
    incoming: &Path,
    object: &NewObject,
    content: &Content,
    shelf: &Path,
    name: &str,
) -> io::Result<()> {
    fs::create_dir_all(shelf)?;
    let head = gix_object::encode::loose_header(object.kind, object.size);
    let file = spool::temporary(incoming)?;
    let mut deflate = deflate::Write::new(file, Compression::DEFAULT);
    deflate.write_all(&head)?;
    io::copy(&mut *content.reader()?, &mut deflate)?;
    deflate.flush()?;
    let file = deflate.into_inner();
    make_durable(&file)?;
    rename(file, &shelf.join(name))
}

/// Writes what a pack hangs on beside it. A power cut may tear it, and whoever reads it sees that: so it
/// need not be flushed.
fn store_roots(roots: &Roots, index_path: &Path, incoming: &Path) -> io::Result<()> {
    let mut file = spool::temporary(incoming)?;
    file.write_all(&roots.encode(index_path))?;
    rename(file, &Roots::path(index_path))
}

fn make_durable(file: &NamedTempFile) -> io::Result<()> {
    file.as_file().flush()?;
    file.as_file()
        .set_permissions(fs::Permissions::from_mode(0o444))?;
    file.as_file().sync_all()
}

fn rename(file: NamedTempFile, path: &Path) -> io::Result<()> {
    file.persist(path).map(drop).map_err(|error| error.error)
}
