//! Which paths somebody is interested in, by patterns to take and patterns to leave out.
//!
//! Source: gitignore(5) for what a pattern without a slash means; braces as shells have them.
//! Bounds: [`PathGlobs::COUNT_MAX`] patterns of [`PathGlobs::BYTES_MAX`] each; all of them together are one
//! automaton, so a path costs its length.
//! Invariant: a pattern without a slash matches a name at any depth, one with a slash from the root; `*`
//! stays within a segment, `**` does not; what matches a folder takes all that the folder holds.
//! Not here: git's own pattern files (`patterns`) and pathspecs (`archive`).

use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _, path::Path};

use globset::{Candidate, GlobBuilder, GlobSet, GlobSetBuilder};

/// Paths taken and paths left out; all are taken when nothing says which.
#[derive(Debug, Clone, Default)]
pub struct PathGlobs {
    taken: Option<GlobSet>,
    left_out: Option<GlobSet>,
}

/// Why patterns are not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GlobsError {
    /// There are more than anybody needs.
    #[error("more than {max} patterns", max = PathGlobs::COUNT_MAX)]
    TooMany,
    /// One is longer than a path can be.
    #[error("a pattern of {0} bytes, at most {max} allowed", max = PathGlobs::BYTES_MAX)]
    TooLong(usize),
    /// One is no pattern.
    #[error("pattern {glob:?} is not understood: {reason}")]
    Malformed {
        /// As it was given.
        glob: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl PathGlobs {
    /// Patterns in one list.
    pub const COUNT_MAX: usize = 256;
    /// Bytes of one pattern.
    pub const BYTES_MAX: usize = 1024;

    /// Takes what matches one of `include`, or everything if there are none, without what matches one
    /// of `exclude`.
    ///
    /// # Errors
    /// When there are too many patterns, or one is too long or malformed.
    pub fn new(include: &[String], exclude: &[String]) -> Result<Self, GlobsError> {
        Ok(Self {
            taken: set(include)?,
            left_out: set(exclude)?,
        })
    }

    /// Whether the file at this path is wanted.
    pub fn take(&self, path: &[u8]) -> bool {
        if self.taken.is_none() && self.left_out.is_none() {
            return true;
        }
        let path = Candidate::new(Path::new(OsStr::from_bytes(path)));
        let matches = |set: &GlobSet| set.is_match_candidate(&path);
        self.taken.as_ref().is_none_or(matches) && !self.left_out.as_ref().is_some_and(matches)
    }
}

fn set(globs: &[String]) -> Result<Option<GlobSet>, GlobsError> {
    if globs.len() > PathGlobs::COUNT_MAX {
        return Err(GlobsError::TooMany);
    }
    if globs.is_empty() {
        return Ok(None);
    }
    let mut set = GlobSetBuilder::new();
    for glob in globs {
        if glob.len() > PathGlobs::BYTES_MAX {
            return Err(GlobsError::TooLong(glob.len()));
        }
        let malformed = |error: globset::Error| GlobsError::Malformed {
            glob: glob.clone(),
            reason: error.kind().to_string(),
        };
        let bare = glob.trim_end_matches('/');
        let anchored = match bare.strip_prefix('/') {
            Some(rest) => rest.to_owned(),
            None if bare.contains('/') => bare.to_owned(),
            None => format!("**/{bare}"),
        };
        let mut add = |text: &str| -> Result<(), GlobsError> {
            let mut builder = GlobBuilder::new(text);
            builder.literal_separator(true).backslash_escape(true);
            set.add(builder.build().map_err(malformed)?);
            Ok(())
        };
        add(&format!("{anchored}/**"))?;
        if bare.len() == glob.len() {
            add(&anchored)?;
        }
    }
    let built = set.build().map_err(|error| GlobsError::Malformed {
        glob: error.glob().unwrap_or_default().to_owned(),
        reason: error.kind().to_string(),
    });
    built.map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn globs(include: &[&str], exclude: &[&str]) -> Result<PathGlobs, GlobsError> {
        let owned = |list: &[&str]| {
            list.iter()
                .map(|text| (*text).to_owned())
                .collect::<Vec<_>>()
        };
        PathGlobs::new(&owned(include), &owned(exclude))
    }

    #[test]
    fn patterns_mean_what_they_do_in_a_list_of_ignored_files() {
        for (pattern, taken, not_taken) in [
            (
                "*.rs",
                &["a.rs", "src/b/a.rs"][..],
                &["a.rsx", "a.rs.txt"][..],
            ),
            (
                "README.md",
                &["README.md", "docs/README.md"],
                &["XREADME.md"],
            ),
            ("src/*.rs", &["src/a.rs"], &["src/b/a.rs", "x/src/a.rs"]),
            ("/a.rs", &["a.rs"], &["src/a.rs"]),
            ("src/**", &["src/a", "src/b/c"], &["src", "x/src/a"]),
            ("src/", &["src/a", "x/src/b"], &["src"]),
            (
                "vendor",
                &["vendor/a/b", "x/vendor/a", "vendor"],
                &["vendors/a"],
            ),
            ("**/*.{ts,tsx}", &["a.ts", "b/c.tsx"], &["a.tsy"]),
            ("a[0-9]?", &["a1x", "d/a9y"], &["a1", "ab2"]),
            ("\\*.rs", &["*.rs"], &["a.rs"]),
        ] {
            let globs = globs(&[pattern], &[]).unwrap();
            for path in taken {
                assert!(globs.take(path.as_bytes()), "{pattern} takes {path}");
            }
            for path in not_taken {
                assert!(!globs.take(path.as_bytes()), "{pattern} takes no {path}");
            }
        }
        let both = globs(&["*.rs", "docs"], &["vendor/**", "*_test.rs"]).unwrap();
        for (path, taken) in [
            ("src/a.rs", true),
            ("docs/b.txt", true),
            ("src/a_test.rs", false),
            ("vendor/x/a.rs", false),
            ("other.txt", false),
        ] {
            assert_eq!(both.take(path.as_bytes()), taken, "{path}");
        }
        assert!(globs(&[], &[]).unwrap().take(b"any\xff/thing"));
        assert!(globs(&["*"], &[]).unwrap().take(b"any\xff/thing"));
    }

    #[test]
    fn bounds_hold_on_both_sides_and_what_is_no_pattern_is_refused() {
        let many = vec!["a"; PathGlobs::COUNT_MAX];
        assert!(globs(&many, &many).is_ok());
        let more = vec!["a"; PathGlobs::COUNT_MAX + 1];
        assert_eq!(globs(&[], &more).unwrap_err(), GlobsError::TooMany);
        let long = "a".repeat(PathGlobs::BYTES_MAX);
        assert!(globs(&[&long], &[]).is_ok());
        assert_eq!(
            globs(&[&format!("{long}a")], &[]).unwrap_err(),
            GlobsError::TooLong(PathGlobs::BYTES_MAX + 1)
        );
        for broken in ["a[", "{a", "[z-a]", "a\\"] {
            let error = globs(&[broken], &[]).unwrap_err();
            assert!(matches!(error, GlobsError::Malformed { .. }), "{broken}");
        }
    }
}
