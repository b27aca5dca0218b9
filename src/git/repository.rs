//! Repositories on disk, opened once and shared.
//!
//! Source: the folder layout is git's own (`objects/pack`, `objects/info`), an `incoming` folder for
//! pushes under way, and in forks a folder of `borrowed` packs.
//! Bounds: [`Repositories`] keeps as many repositories open as its capacity says, besides those in use.
//! Invariant: there is at most one live [`Repository`] for a folder, so that a pack published
//! through it is seen by everybody who asks after that; readers keep the [`PackSet`] they began with.
//! Not here: refs, names, rights (`store`); making packs (`receive`).

use std::{
    collections::HashMap,
    fs,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, Weak},
};

use lru::LruCache;

use super::{
    fetch::VisibleSets,
    memory::Memory,
    packs::{BORROWED, OpenError, Pack, PackSet, indices},
    receive::sweep,
    scratch::Scratch,
};
use crate::{
    disk,
    model::{ObjectFormat, ObjectId},
};

/// Listings of the folders of an ordinary repository, one after the other, while somebody packs it.
const LISTINGS_MAX: usize = 5;

/// One open repository; cheap to clone.
#[derive(Debug, Clone)]
pub struct Repository(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    folder: PathBuf,
    incoming: PathBuf,
    format: ObjectFormat,
    packs: RwLock<Arc<PackSet>>,
    /// Held while a pack is added, so that two pushes at once lose none.
    adding: Mutex<()>,
    visible: VisibleSets,
    clones: VisibleSets,
}

impl Repository {
    /// Makes the folders of an empty repository, flushed to disk, and opens it.
    ///
    /// # Errors
    /// When a folder can't be made; those made so far stay.
    pub fn create(folder: &Path, format: ObjectFormat) -> Result<Self, OpenError> {
        Self::make_folders(folder)?;
        Self::open(folder, format)
    }

    fn make_folders(folder: &Path) -> Result<(), OpenError> {
        let objects = folder.join("objects");
        let made = [
            objects.join("pack"),
            objects.join("info"),
            folder.join("incoming"),
        ];
        for path in &made {
            fs::create_dir_all(path).map_err(|source| io(path, source))?;
        }
        for path in made.iter().map(PathBuf::as_path).chain([&*objects, folder]) {
            flush_folder(path)?;
        }
        if let Some(parent) = folder.parent() {
            flush_folder(parent)?;
        }
        Ok(())
    }

    /// Opens all packs of a repository.
    ///
    /// # Errors
    /// When the folder is not one, or a pack with an index can't be used.
    pub fn open(folder: &Path, format: ObjectFormat) -> Result<Self, OpenError> {
        Self::open_sharing(folder, format, &Memory::default())
    }

    /// As [`Self::open`]; readers share this memory.
    fn open_sharing(
        folder: &Path,
        format: ObjectFormat,
        memory: &Memory,
    ) -> Result<Self, OpenError> {
        let packs = Self::open_packs(folder, format, memory)?;
        Ok(Self::of(folder, folder.join("incoming"), packs))
    }

    fn open_packs(
        folder: &Path,
        format: ObjectFormat,
        memory: &Memory,
    ) -> Result<PackSet, OpenError> {
        let packs = PackSet::open(format, &own_and_borrowed(folder)?)?;
        Ok(packs
            .building_in(Scratch::of(folder.join("incoming")))
            .sharing(memory.clone()))
    }

    /// Opens all packs once more, for everybody who asks from now on.
    ///
    /// # Errors
    /// When a pack with an index can't be used; the packs seen so far stay.
    pub(super) fn reread(&self) -> Result<(), OpenError> {
        let _adding = lock(&self.0.adding);
        let memory = self.packs().memory().clone();
        let packs = Self::open_packs(&self.0.folder, self.0.format, &memory)?;
        *self.0.packs.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(packs);
        Ok(())
    }

    /// Opens the packs and loose objects of an ordinary repository: of its own `objects` folder,
    /// which comes first, and of those it borrows from. The commits in `shallow` have no parents
    /// here. Packs under way lie in `incoming`; large objects are built where the system keeps temporary
    /// files, since who reads the folder need not be allowed to write there.
    ///
    /// Nobody keeps others from packing it anew meanwhile. What they move goes from loose objects into
    /// packs, so in that order it is met once at least; and a pack that vanishes between being listed
    /// and being opened is looked for again.
    ///
    /// # Errors
    /// When a folder can't be read, or a pack with an index can't be used.
    pub fn open_plain(
        objects: &[PathBuf],
        shallow: &[ObjectId],
        incoming: &Path,
        format: ObjectFormat,
    ) -> Result<Self, OpenError> {
        let list = || {
            let loose = objects
                .iter()
                .map(|folder| Pack::of_loose_objects(folder, format))
                .collect::<Result<_, _>>()?;
            PackSet::open_with_loose(format, &settled_indices(objects)?, loose)
        };
        let mut opened = list();
        for _ in 1..LISTINGS_MAX {
            if !matches!(opened, Err(OpenError::Pack { .. })) {
                break;
            }
            opened = list();
        }
        let folder = objects.first().and_then(|own| own.parent());
        Ok(Self::of(
            folder.unwrap_or(incoming),
            incoming.to_owned(),
            opened?.cut_at(shallow),
        ))
    }

    fn of(folder: &Path, incoming: PathBuf, packs: PackSet) -> Self {
        Self(Arc::new(Inner {
            folder: folder.to_owned(),
            incoming,
            format: packs.format(),
            packs: RwLock::new(Arc::new(packs)),
            adding: Mutex::new(()),
            visible: VisibleSets::default(),
            clones: VisibleSets::default(),
        }))
    }

    /// The hash that names the objects.
    pub fn format(&self) -> ObjectFormat {
        self.0.format
    }

    /// Where it lies.
    pub fn folder(&self) -> &Path {
        &self.0.folder
    }

    /// Where packs under way lie until they are published.
    pub(super) fn incoming(&self) -> &Path {
        &self.0.incoming
    }

    /// The packs as of now; later pushes do not change this value.
    pub fn packs(&self) -> Arc<PackSet> {
        let packs = self.0.packs.read().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(&packs)
    }

    /// What callers may see, remembered for the sets of refs asked about last.
    pub(super) fn visible(&self) -> &VisibleSets {
        &self.0.visible
    }

    /// What whole clones consist of, remembered for the wants asked for last.
    pub(super) fn clones(&self) -> &VisibleSets {
        &self.0.clones
    }

    /// Opens a pack that was moved into `objects/pack` and lets everybody see it from now on.
    ///
    /// A pack that is known already changes nothing.
    ///
    /// # Errors
    /// When the pack can't be opened; the packs seen so far stay.
    pub fn add_pack(&self, index_path: &Path) -> Result<(), OpenError> {
        let _adding = lock(&self.0.adding);
        let packs = self.packs();
        let known = |pack: &Arc<Pack>| pack.index_path() == index_path;
        if packs.packs().iter().any(known) {
            return Ok(());
        }
        let packs = packs.with(Pack::open(index_path, self.0.format)?)?;
        *self.0.packs.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(packs);
        Ok(())
    }

    /// Says from now on of these commits, and of no others, that their parents are not here.
    pub fn cut_at(&self, shallow: &[ObjectId]) {
        let _adding = lock(&self.0.adding);
        let packs = PackSet::clone(&self.packs()).cut_at(shallow);
        *self.0.packs.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(packs);
    }

    /// Lets everybody see the loose objects below one more `objects` folder from now on.
    ///
    /// # Errors
    /// When the folder can't be read; what was seen so far stays.
    pub fn add_loose(&self, objects: &Path) -> Result<(), OpenError> {
        let _adding = lock(&self.0.adding);
        let loose = Pack::of_loose_objects(objects, self.0.format)?;
        let packs = self.packs().with(loose)?;
        *self.0.packs.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(packs);
        Ok(())
    }
}

/// Why a repository can't be had.
#[derive(Debug, thiserror::Error)]
pub enum RepositoryError {
    /// The name of a folder is 32 lower-case hexadecimal digits, nothing else.
    #[error("repository folder name {0:?} is not 32 hexadecimal digits")]
    NotAUuid(String),
    /// Its packs can't be opened or its folders not be made.
    #[error("cannot open repository {uuid}")]
    Open {
        /// Which repository.
        uuid: String,
        /// Why.
        #[source]
        source: OpenError,
    },
    /// Its folder can't be removed.
    #[error("cannot delete repository {uuid}")]
    Delete {
        /// Which repository.
        uuid: String,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
}

/// All repositories below one folder; the latest used stay open.
#[derive(Debug)]
pub struct Repositories {
    root: PathBuf,
    memory: Memory,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    recent: LruCache<String, Repository>,
    /// Every repository that somebody may hold, so that none is opened twice.
    live: HashMap<String, Arc<Mutex<Weak<Inner>>>>,
}

impl Repositories {
    /// Looks for repositories below `root` and keeps up to `capacity` unused ones open.
    pub fn new(root: &Path, capacity: NonZeroUsize) -> Self {
        Self {
            root: root.to_owned(),
            memory: Memory::default(),
            state: Mutex::new(State {
                recent: LruCache::new(capacity),
                live: HashMap::new(),
            }),
        }
    }

    /// The same, whose readers share this memory.
    pub fn sharing(self, memory: Memory) -> Self {
        Self { memory, ..self }
    }

    /// The repository of this name, opened if it is not open.
    ///
    /// Whoever pushes holds the repository, so there is no push while it is being opened: that is
    /// when what a crash left of earlier pushes is removed.
    ///
    /// # Errors
    /// When the name is no name or the repository can't be opened.
    pub fn get(&self, uuid: &str, format: ObjectFormat) -> Result<Repository, RepositoryError> {
        self.get_or(uuid, |folder| {
            sweep(folder).map_err(|source| io(folder, source))?;
            Repository::open_sharing(folder, format, &self.memory)
        })
    }

    /// Makes a repository, or opens the one that is there.
    ///
    /// # Errors
    /// When the name is no name or a folder can't be made.
    pub fn create(&self, uuid: &str, format: ObjectFormat) -> Result<Repository, RepositoryError> {
        self.get_or(uuid, |folder| {
            let parent = folder.parent().unwrap_or(&self.root);
            disk::make_folder(parent).map_err(|source| io(parent, source))?;
            // Somebody else may have made the shelf a moment ago and not have flushed it yet.
            flush_folder(&self.root)?;
            Repository::make_folders(folder)?;
            Repository::open_sharing(folder, format, &self.memory)
        })
    }

    /// Removes a repository and all its files; who reads from it goes on reading.
    ///
    /// # Errors
    /// When the name is no name or a file can't be removed. A repository that is not there is no error.
    pub fn delete(&self, uuid: &str) -> Result<(), RepositoryError> {
        let folder = self.folder(uuid)?;
        {
            let mut state = lock(&self.state);
            state.recent.pop(uuid);
            state.live.remove(uuid);
        }
        match fs::remove_dir_all(&folder) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                Err(RepositoryError::Delete {
                    uuid: uuid.to_owned(),
                    source,
                })
            }
            _ => Ok(()),
        }
    }

    fn folder(&self, uuid: &str) -> Result<PathBuf, RepositoryError> {
        let hexadecimal = |byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        if uuid.len() != 32 || !uuid.bytes().all(hexadecimal) {
            return Err(RepositoryError::NotAUuid(uuid.to_owned()));
        }
        Ok(self.root.join(&uuid[..2]).join(uuid))
    }

    fn get_or(
        &self,
        uuid: &str,
        open: impl FnOnce(&Path) -> Result<Repository, OpenError>,
    ) -> Result<Repository, RepositoryError> {
        let slot = {
            let mut state = lock(&self.state);
            if let Some(repository) = state.recent.get(uuid) {
                return Ok(repository.clone());
            }
            state.slot(uuid)
        };
        // Only those who want this very repository wait while it is being opened.
        let mut live = lock(&slot);
        let repository = match live.upgrade() {
            Some(inner) => Repository(inner),
            None => {
                let folder = self.folder(uuid)?;
                let repository = open(&folder).map_err(|source| RepositoryError::Open {
                    uuid: uuid.to_owned(),
                    source,
                })?;
                *live = Arc::downgrade(&repository.0);
                repository
            }
        };
        lock(&self.state)
            .recent
            .put(uuid.to_owned(), repository.clone());
        Ok(repository)
    }
}

impl State {
    fn slot(&mut self, uuid: &str) -> Arc<Mutex<Weak<Inner>>> {
        // Forget the dead ones whenever there may be more of them than of the living. A slot with
        // a second holder may be locked, by one who waits for this state: don't wait for it.
        if self.live.len() > 2 * self.recent.cap().get() {
            self.live
                .retain(|_, slot| Arc::strong_count(slot) > 1 || lock(slot).strong_count() > 0);
        }
        Arc::clone(self.live.entry(uuid.to_owned()).or_default())
    }
}

/// The indices of all packs in these `objects` folders, once two listings in a row agree.
///
/// One listing alone may miss a pack that was made while it was read, and with it all that the new
/// pack took over from one that was removed in the same moment.
fn settled_indices(objects: &[PathBuf]) -> Result<Vec<PathBuf>, OpenError> {
    let list = || {
        let mut all = Vec::new();
        for folder in objects {
            let pack_folder = folder.join("pack");
            if pack_folder.is_dir() {
                all.append(&mut indices(&pack_folder)?);
            }
        }
        all.retain(|index| index.with_extension("pack").exists());
        all.sort_unstable();
        Ok(all)
    };
    let mut listed = list()?;
    for _ in 1..LISTINGS_MAX {
        let again = list()?;
        if again == listed {
            break;
        }
        listed = again;
    }
    Ok(listed)
}

/// The indices of all packs of a repository.
fn own_and_borrowed(folder: &Path) -> Result<Vec<PathBuf>, OpenError> {
    let mut all = indices(&folder.join("objects/pack"))?;
    let borrowed = folder.join(BORROWED);
    if borrowed
        .try_exists()
        .map_err(|source| io(&borrowed, source))?
    {
        all.append(&mut indices(&borrowed)?);
    }
    Ok(all)
}

fn io(path: &Path, source: std::io::Error) -> OpenError {
    OpenError::Io {
        path: path.to_owned(),
        source,
    }
}

/// Makes the entries of a folder survive a power cut.
fn flush_folder(path: &Path) -> Result<(), OpenError> {
    disk::flush_folder(path).map_err(|source| io(path, source))
}

/// No code panics while it holds one of these locks and leaves half a change behind.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::{ObjectReader, fixture::Stock};

    const UUID: &str = "0123456789abcdef0123456789abcdef";

    fn copy_packs(stock: &Stock, repository: &Repository) -> Vec<PathBuf> {
        let pack_folder = repository.folder().join("objects/pack");
        let copy = |index: &PathBuf| {
            let target = pack_folder.join(index.file_name().unwrap());
            fs::copy(index.with_extension("pack"), target.with_extension("pack")).unwrap();
            fs::copy(index, &target).unwrap();
            target
        };
        stock.indices().iter().map(copy).collect()
    }

    #[test]
    fn a_pack_added_is_seen_by_everybody_but_not_in_a_snapshot_taken_before() {
        for stock in Stock::each() {
            let stock = stock.with_history(12);
            let root = tempfile::TempDir::new().unwrap();
            let repositories = Repositories::new(root.path(), NonZeroUsize::MIN);
            let repository = repositories.create(UUID, stock.format()).unwrap();
            let before = repository.packs();
            let indices = copy_packs(&stock, &repository);
            for index in indices.iter().chain(&indices) {
                repository.add_pack(index).unwrap();
            }
            let ids = stock.all_ids();
            let other = repositories.get(UUID, stock.format()).unwrap().packs();
            assert_eq!(other.pack_count(), indices.len());
            assert!(ids.iter().all(|id| other.contains(id)));
            assert!(!ids.iter().any(|id| before.contains(id)));
            let reopened = Repository::open(repository.folder(), stock.format()).unwrap();
            assert_eq!(reopened.packs().object_count(), ids.len() as u64);
        }
    }

    #[test]
    fn a_repository_pushed_out_of_the_cache_is_still_the_same_while_somebody_holds_it() {
        let root = tempfile::TempDir::new().unwrap();
        let repositories = Repositories::new(root.path(), NonZeroUsize::MIN);
        let format = ObjectFormat::Sha1;
        let held = repositories.create(UUID, format).unwrap();
        for n in 0..10 {
            repositories.create(&format!("{n:032x}"), format).unwrap();
        }
        let again = repositories.get(UUID, format).unwrap();
        assert!(Arc::ptr_eq(&held.0, &again.0));
        assert!(lock(&repositories.state).live.len() <= 4);
    }

    #[test]
    fn what_a_crash_left_goes_when_the_repository_is_opened_and_not_while_it_is_open() {
        let root = tempfile::TempDir::new().unwrap();
        let format = ObjectFormat::Sha1;
        let open = || Repositories::new(root.path(), NonZeroUsize::MIN);
        let repositories = open();
        let repository = repositories.create(UUID, format).unwrap();
        let left = repository.folder().join("incoming/push-1");
        fs::write(&left, "left").unwrap();
        repositories.get(UUID, format).unwrap();
        assert!(left.exists());
        open().get(UUID, format).unwrap();
        assert!(!left.exists());
    }

    #[test]
    fn readers_go_on_when_a_repository_is_deleted() {
        let stock = Stock::new(ObjectFormat::Sha1).with_history(12);
        let root = tempfile::TempDir::new().unwrap();
        let repositories = Repositories::new(root.path(), NonZeroUsize::MIN);
        let repository = repositories.create(UUID, stock.format()).unwrap();
        for index in copy_packs(&stock, &repository) {
            repository.add_pack(&index).unwrap();
        }
        let mut reader = ObjectReader::new(repository.packs());
        repositories.delete(UUID).unwrap();
        repositories.delete(UUID).unwrap();
        assert!(!repository.folder().exists());
        assert!(repositories.get(UUID, stock.format()).is_err());
        let mut buffer = Vec::new();
        for id in stock.all_ids() {
            assert!(reader.find(&id, &mut buffer).unwrap().is_some());
        }
    }

    #[test]
    fn a_name_that_could_leave_the_root_is_refused() {
        let root = tempfile::TempDir::new().unwrap();
        let repositories = Repositories::new(root.path(), NonZeroUsize::MIN);
        for name in [
            "",
            "..",
            "../../etc",
            &UUID.to_uppercase(),
            &UUID[1..],
            "/0123456789abcdef0123456789abcde",
        ] {
            let refused = repositories.create(name, ObjectFormat::Sha1);
            assert!(
                matches!(refused, Err(RepositoryError::NotAUuid(_))),
                "{name:?}"
            );
        }
    }
}
