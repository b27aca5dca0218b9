//! The server's own key: made at first start, the same ever after.
//!
//! Invariant: the file is readable by its owner only, and it is on disk before it is used, so that
//! no client ever remembers a key that a crash then loses.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use russh::keys::{Algorithm, PrivateKey, ssh_key::LineEnding};

use crate::disk;

/// Why there is no host key.
#[derive(Debug, thiserror::Error)]
pub enum HostKeyError {
    /// The file or its folder can't be read or written.
    #[error("can't read or write the host key {path:?}")]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The file holds no unencrypted OpenSSH private key, or none could be made.
    #[error("host key {path:?} is unusable")]
    Unusable {
        /// Which file.
        path: PathBuf,
        /// What the key library said.
        #[source]
        source: russh::keys::ssh_key::Error,
    },
}

/// Reads `DATA/ssh/host_ed25519_key`, making it if there is none.
///
/// # Errors
/// When it can't be read, made or used. A key that is there is never overwritten.
pub fn host_key(data: &Path) -> Result<PrivateKey, HostKeyError> {
    let path = data.join("ssh").join("host_ed25519_key");
    let io = |source| HostKeyError::Io {
        path: path.clone(),
        source,
    };
    let unusable = |source| HostKeyError::Unusable {
        path: path.clone(),
        source,
    };
    match fs::read_to_string(&path) {
        Ok(text) => return PrivateKey::from_openssh(text).map_err(unusable),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(io(error)),
    }
    let mut seed = [0; 32];
    aws_lc_rs::rand::fill(&mut seed).map_err(|_| io(io::Error::other("no randomness")))?;
    let pair = russh::keys::ssh_key::private::Ed25519Keypair::from_seed(&seed);
    let key = PrivateKey::from(pair);
    debug_assert_eq!(key.algorithm(), Algorithm::Ed25519);
    let text = key.to_openssh(LineEnding::LF).map_err(unusable)?;
    let public = key.public_key().to_openssh().map_err(unusable)?;
    let public = format!("{public} packhorse\n");
    disk::make_folder(&data.join("ssh")).map_err(io)?;
    // The private half goes last: once it is there, both are.
    disk::write_file(&path.with_extension("pub"), public.as_bytes(), 0o644).map_err(io)?;
    disk::write_file(&path, text.as_bytes(), 0o600).map_err(io)?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn made_once_readable_by_its_owner_only_and_kept() {
        let data = tempfile::tempdir().unwrap();
        let first = host_key(data.path()).unwrap();
        let second = host_key(data.path()).unwrap();
        assert_eq!(first.public_key(), second.public_key());
        let path = data.path().join("ssh/host_ed25519_key");
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        fs::write(&path, "no key").unwrap();
        assert!(matches!(
            host_key(data.path()),
            Err(HostKeyError::Unusable { .. })
        ));
        assert_eq!(fs::read_to_string(&path).unwrap(), "no key");
    }
}
