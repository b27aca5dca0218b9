//! Which paths of a tree go into an archive.
//!
//! Source: gitglossary(7), "pathspec": a name, what a folder of this name holds, or a pattern in which
//! `*` matches slashes too. Magic words are not taken.
//! Bounds: [`PathLimits::COUNT_MAX`] of them.
//! Invariant: with limits, a folder is entered when something in it may match.

use std::sync::Arc;

use super::ArchiveError;
use crate::{
    git::{browse::Browser, packs::PackSet, patterns::Glob},
    model::ObjectId,
};

/// Paths to put into an archive; all of them if there is no limit.
#[derive(Debug, Clone, Default)]
pub struct PathLimits(Vec<Limit>);

#[derive(Debug, Clone)]
struct Limit {
    text: Vec<u8>,
    /// Without wildcards, or what comes before the first.
    literal: Vec<u8>,
    glob: Option<Glob>,
}

impl PathLimits {
    /// Limits for one archive.
    pub const COUNT_MAX: usize = 64;

    /// Takes these limits; nothing if there are too many or one has a magic word.
    pub fn new(texts: &[Vec<u8>]) -> Option<Self> {
        let taken =
            texts.len() <= Self::COUNT_MAX && !texts.iter().any(|text| text.starts_with(b":"));
        taken.then(|| Self(texts.iter().map(|text| Limit::new(text)).collect()))
    }

    /// Whether this path is to be looked at.
    pub(super) fn wants(&self, path: &[u8], is_folder: bool) -> bool {
        let wants = |limit: &Limit| limit.matches(path) || is_folder && limit.may_be_in(path);
        self.0.is_empty() || self.0.iter().any(wants)
    }

    /// Demands that each limit matches something, found by looking at no more than so many entries.
    pub(super) fn check(
        &self,
        packs: Arc<PackSet>,
        tree: &ObjectId,
        entries_max: u64,
    ) -> Result<(), ArchiveError> {
        let mut browser = Browser::new(packs);
        for limit in &self.0 {
            let mut left = Some(entries_max);
            let found = match &limit.glob {
                None => {
                    limit.literal.is_empty() || browser.at_path(tree, &limit.literal)?.is_some()
                }
                Some(_) => browser.any(tree, &mut |path, is_folder| {
                    left = left.and_then(|left| left.checked_sub(1));
                    if left.is_none() || limit.matches(path) {
                        std::ops::ControlFlow::Break(())
                    } else {
                        std::ops::ControlFlow::Continue(is_folder && limit.may_be_in(path))
                    }
                })?,
            };
            if left.is_none() {
                return Err(ArchiveError::TooManyEntries);
            }
            if !found {
                let text = limit.text.escape_ascii().to_string();
                return Err(ArchiveError::Unmatched(text));
            }
        }
        Ok(())
    }
}

impl Limit {
    fn new(text: &[u8]) -> Self {
        let plain = text.strip_suffix(b"/").unwrap_or(text);
        let plain = if plain == b"." { b"" } else { plain };
        let wildcard = |byte: &u8| matches!(byte, b'*' | b'?' | b'[' | b'\\');
        let first = plain.iter().position(wildcard);
        Self {
            text: text.to_vec(),
            literal: plain[..first.unwrap_or(plain.len())].to_vec(),
            glob: first.map(|_| Glob::compile(plain)),
        }
    }

    /// Whether the path is the one named, lies in it, or fits the pattern.
    fn matches(&self, path: &[u8]) -> bool {
        let Some(rest) = path.strip_prefix(&*self.literal) else {
            return false;
        };
        match &self.glob {
            None => rest.is_empty() || self.literal.is_empty() || rest[0] == b'/',
            Some(glob) => {
                // A folder that fits brings all that it holds.
                let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
                glob.matches(path) || slashes.into_iter().any(|(at, _)| glob.matches(&path[..at]))
            }
        }
    }

    /// Whether something in this folder may match.
    fn may_be_in(&self, folder: &[u8]) -> bool {
        let shared = self.literal.len().min(folder.len());
        self.literal[..shared] == folder[..shared]
            && (self.glob.is_some() || self.literal.get(shared) == Some(&b'/'))
    }
}
