//! Objects under way: a folder beside the others, seen by hooks, moved into place in the end.
//!
//! Source: git-receive-pack(1), "QUARANTINE ENVIRONMENT".
//! Invariant: a name appears among the repository's own only once its content is on disk, and an
//! index only after its pack; dropped, an incoming folder leaves nothing behind.
//! Not here: whether the objects are good (`git::receive`).

use std::{
    fs, io,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use tempfile::TempDir;

use super::sharing::Sharing;
use crate::{bare::BareError, disk};

/// `objects/tmp_objdir-incoming-XXXXXX`.
#[derive(Debug)]
pub(super) struct Incoming {
    folder: TempDir,
    objects: PathBuf,
    sharing: Sharing,
}

impl Incoming {
    /// Makes the folder.
    pub(super) fn make(objects: &Path, sharing: Sharing) -> Result<Self, BareError> {
        let folder = tempfile::Builder::new()
            .prefix("tmp_objdir-incoming-")
            .permissions(fs::Permissions::from_mode(0o700))
            .tempdir_in(objects)
            .map_err(BareError::io(
                "unable to create temporary object directory in",
                objects,
            ))?;
        let pack = folder.path().join("pack");
        fs::create_dir(&pack).map_err(BareError::io("unable to create", pack))?;
        Ok(Self {
            folder,
            objects: objects.to_owned(),
            sharing,
        })
    }

    pub(super) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Moves everything among the repository's own objects; what is there already stays as it is.
    pub(super) fn migrate(self) -> Result<(), BareError> {
        let from = self.folder.path();
        let failed = BareError::io("unable to migrate objects to", &self.objects);
        move_all(from, &self.objects, self.sharing).map_err(failed)
    }
}

/// Moves a file into a folder that others may remove as long as it is empty, as git does when it has
/// packed what was in it.
fn rename_into(source: &Path, folder: &Path, target: &Path, sharing: Sharing) -> io::Result<()> {
    /// Removals in a row that are taken for chance.
    const TRIES: usize = 10;
    for _ in 1..TRIES {
        match fs::rename(source, target) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => make_shared(folder, sharing)?,
            renamed => return renamed,
        }
    }
    fs::rename(source, target)
}

/// Makes a folder for all who share the repository; it may be gone again by then.
fn make_shared(folder: &Path, sharing: Sharing) -> io::Result<()> {
    disk::make_folder(folder)?;
    match sharing.apply(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        applied => applied,
    }
}

fn move_all(from: &Path, to: &Path, sharing: Sharing) -> io::Result<()> {
    let mut names: Vec<_> = fs::read_dir(from)?
        .map(|entry| entry.map(|entry| entry.file_name()))
        .collect::<Result<_, _>>()?;
    // Whoever sees an index looks for its pack.
    names.sort_by_key(|name| Path::new(name).extension().is_some_and(|end| end == "idx"));
    let mut moved = false;
    for name in names {
        let (source, target) = (from.join(&name), to.join(&name));
        if source.is_dir() {
            if !target.is_dir() {
                make_shared(&target, sharing)?;
            }
            move_all(&source, &target, sharing)?;
        } else if target.exists() {
            fs::remove_file(&source)?;
        } else {
            sharing.apply(&source)?;
            // A hook may have made it, and may not have flushed it.
            fs::File::open(&source)?.sync_all()?;
            rename_into(&source, to, &target, sharing)?;
            moved = true;
        }
    }
    if moved {
        disk::flush_folder(to)?;
    }
    Ok(())
}
