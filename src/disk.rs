//! Names and files that outlive a power cut, and room kept free.
//!
//! Source: fsync(2): flushing a file does not flush the folder's entry that names it.
//! Invariant: what a function here has made is on disk, name and content, when it returns; a file
//! is seen whole or not at all.
//! Bounds: [`Reserve`] says how much of the disk is left alone.
//! Not here: the store's own file (`store`) and packs (`git`), which order their flushes themselves.

use std::{
    fs::{self, File},
    io::{self, Write as _},
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
};

/// Makes a folder, and those above it that are missing. One that is there stays as it is.
///
/// # Errors
/// When a folder can't be made or flushed; those made so far stay.
pub(crate) fn make_folder(path: &Path) -> io::Result<()> {
    let above = parent(path);
    match fs::create_dir(path) {
        Ok(()) => flush_folder(above),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
        Err(error) if error.kind() == io::ErrorKind::NotFound && above != path => {
            make_folder(above)?;
            make_folder(path)
        }
        Err(error) => Err(error),
    }
}

/// Flushes the names in a folder.
///
/// # Errors
/// When it can't be opened or flushed.
pub(crate) fn flush_folder(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

/// Writes a file, in place of the one that may be there, with these permission bits. Its draft lies
/// beside it, with the extension `new`.
///
/// # Errors
/// When it can't be written; the file that was there is still there.
pub(crate) fn write_file(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let draft = path.with_extension("new");
    let mut file = File::options()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(&draft)?;
    file.write_all(content)?;
    file.sync_all()?;
    fs::rename(&draft, path)?;
    flush_folder(parent(path))
}

/// Room on the disk that is left to those who need it more.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Reserve {
    /// What packs leave: rows can still be written, such as those that remove a repository.
    FromPacks,
    /// What rows leave: the store never learns what a full disk is, which would break it.
    FromRows,
}

impl Reserve {
    fn bytes(self) -> u64 {
        match self {
            Self::FromPacks => 64 << 20,
            Self::FromRows => 16 << 20,
        }
    }

    /// Makes sure that the disk under this path has that room.
    ///
    /// # Errors
    /// [`io::ErrorKind::StorageFull`] when it has not; otherwise when the disk can't be asked.
    pub(crate) fn check(self, path: &Path) -> io::Result<()> {
        let disk = rustix::fs::statvfs(path)?;
        if disk.f_bavail.saturating_mul(disk.f_frsize) < self.bytes() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        Ok(())
    }
}

/// The folder that names the path; a bare name is named by the current one.
fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(above) if above.as_os_str().is_empty() => Path::new("."),
        Some(above) => above,
        None => path,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn folders_are_made_at_any_depth_and_found_again() {
        let root = tempfile::tempdir().unwrap();
        let deep = root.path().join("one/two/three");
        for _ in 0..2 {
            make_folder(&deep).unwrap();
            assert!(deep.is_dir());
        }
        let file = root.path().join("file");
        fs::write(&file, "").unwrap();
        let refused = make_folder(&file).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AlreadyExists);
        assert!(make_folder(&file.join("below")).is_err());
    }

    #[test]
    fn a_file_is_replaced_whole_and_leaves_no_draft() {
        let root = tempfile::tempdir().unwrap();
        let file = root.path().join("secret");
        for content in [b"first".as_slice(), b"second"] {
            write_file(&file, content, 0o600).unwrap();
            assert_eq!(fs::read(&file).unwrap(), content);
        }
        assert_eq!(
            fs::metadata(&file).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(fs::read_dir(root.path()).unwrap().count(), 1);
    }
}
