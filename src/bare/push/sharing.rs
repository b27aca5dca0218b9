//! Permissions of files that several users of one machine share.
//!
//! Source: git-config(1), `core.sharedRepository`.

use std::{fs, io, os::unix::fs::PermissionsExt as _, path::Path};

use crate::bare::{BareError, config::Config};

/// What is added to, or put in place of, the permissions that the umask leaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sharing {
    /// As the umask says.
    Umask,
    /// These bits besides.
    Also(u32),
    /// These bits instead.
    Exactly(u32),
}

impl Sharing {
    pub(super) fn of(config: &Config) -> Result<Self, BareError> {
        const KEY: &str = "core.sharedRepository";
        const GROUP: u32 = 0o660;
        const EVERYBODY: u32 = 0o664;
        let Some(value) = config.texts(KEY).pop() else {
            return Ok(Self::Umask);
        };
        Ok(match value.as_str() {
            "umask" | "0" => Self::Umask,
            "group" | "1" => Self::Also(GROUP),
            "all" | "world" | "everybody" | "2" | "3" => Self::Also(EVERYBODY),
            octal if octal.starts_with('0') => {
                let mode = u32::from_str_radix(octal, 8)
                    .ok()
                    .filter(|mode| mode & 0o600 == 0o600);
                let mode = mode.ok_or_else(|| BareError::Config {
                    place: KEY.to_owned(),
                    reason: format!("problem with filemode value ({octal}): the owner must be able to read and write"),
                })?;
                Self::Exactly(mode & 0o666)
            }
            _ if config.flag(KEY, false)? => Self::Also(GROUP),
            _ => Self::Umask,
        })
    }

    /// Gives a file or folder its permissions.
    pub(super) fn apply(self, path: &Path) -> io::Result<()> {
        let facts = fs::metadata(path)?;
        let old = facts.permissions().mode() & 0o7777;
        let new = self.mode(old, facts.is_dir());
        if new != old {
            fs::set_permissions(path, fs::Permissions::from_mode(new))?;
        }
        Ok(())
    }

    fn mode(self, old: u32, is_folder: bool) -> u32 {
        let (mut bits, replaces) = match self {
            Self::Umask => return old,
            Self::Also(bits) => (bits, false),
            Self::Exactly(bits) => (bits, true),
        };
        if old & 0o200 == 0 {
            bits &= !0o222;
        }
        if old & 0o100 != 0 {
            // Whoever may read may also run, or enter.
            bits |= (bits & 0o444) >> 2;
        }
        let new = if replaces {
            (old & !0o777) | bits
        } else {
            old | bits
        };
        if is_folder {
            // What is made inside belongs to the same group.
            new | 0o2000 | ((new & 0o444) >> 2)
        } else {
            new
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_are_added_as_git_adds_them() {
        let (group, exact) = (Sharing::Also(0o660), Sharing::Exactly(0o640));
        for (sharing, old, is_folder, new) in [
            (Sharing::Umask, 0o444, false, 0o444),
            (group, 0o444, false, 0o444),
            (group, 0o400, false, 0o440),
            (group, 0o600, false, 0o660),
            (group, 0o700, true, 0o2770),
            (Sharing::Also(0o664), 0o755, true, 0o2775),
            (exact, 0o644, false, 0o640),
            (exact, 0o444, false, 0o440),
            (exact, 0o755, true, 0o2750),
        ] {
            assert_eq!(sharing.mode(old, is_folder), new, "{sharing:?} {old:o}");
        }
    }
}
