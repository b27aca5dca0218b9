//! One file of which there are three versions.
//!
//! Source: git-merge(1) and gitattributes(5), "merge", without any attributes: texts are merged by lines, other
//! files can't be merged at all.
//! Bounds: [`TEXT_BYTES_MAX`] and [`TEXT_LINES_MAX`]; larger files are taken for binary ones.
//! Invariant: a file that only one side changed is that side's; a merge base made of several never conflicts.

use std::rc::Rc;

use gix_object::Kind;

use super::{
    MergeError, Pass,
    collect::{BASE, Path},
    objects::{LINK, REGULAR, SUBMODULE, Version},
    text::{self, Markers},
};
use crate::git::diff::is_binary;

/// Largest text that is merged.
const TEXT_BYTES_MAX: u64 = 32 << 20;
/// Most lines of a text that is merged.
const TEXT_LINES_MAX: usize = 500_000;

impl Pass<'_> {
    /// Merges three versions of a file, the first of which may be missing, and says whether that went without a
    /// conflict. Markers are so much longer than usual.
    pub(super) fn merge_versions(
        &mut self,
        versions: [Version; 3],
        paths: [&Path; 3],
        longer: usize,
    ) -> Result<(Version, bool), MergeError> {
        let [base, ours, theirs] = versions;
        let (mode, mut clean) = if ours.mode == theirs.mode || ours.mode == base.mode {
            (theirs.mode, true)
        } else {
            (ours.mode, theirs.mode == base.mode)
        };
        let mut merged = Version { mode, id: ours.id };
        if ours.id == theirs.id || ours.id == base.id {
            merged.id = theirs.id;
            return Ok((merged, clean));
        }
        if theirs.id == base.id {
            return Ok((merged, clean));
        }
        let no_base = base.kind() != ours.kind();
        match ours.kind() {
            kind if kind != theirs.kind() => clean = false,
            REGULAR => {
                let base = if no_base {
                    self.objects.nothing()
                } else {
                    base
                };
                let (id, merges) = self.merge_texts([base, ours, theirs], paths, longer)?;
                merged.id = id;
                clean &= merges;
            }
            SUBMODULE => {
                // What leads from one commit to the other lies in another repository.
                clean = false;
                if self.depth > 0 {
                    merged.id = base.id;
                    if no_base {
                        merged.mode = base.mode;
                    }
                }
            }
            LINK => {
                clean = false;
                if self.depth > 0 {
                    merged = base;
                }
            }
            _ => clean = false,
        }
        Ok((merged, clean))
    }

    fn merge_texts(
        &mut self,
        versions: [Version; 3],
        paths: [&Path; 3],
        longer: usize,
    ) -> Result<(crate::model::ObjectId, bool), MergeError> {
        let mut too_large = false;
        for version in versions.iter().filter(|version| version.is_there()) {
            too_large |= self.objects.size(&version.id)? > TEXT_BYTES_MAX;
        }
        let [base, ours, theirs] = versions;
        let mut texts = None;
        if !too_large {
            let blobs = [
                self.objects.blob(&base.id)?,
                self.objects.blob(&ours.id)?,
                self.objects.blob(&theirs.id)?,
            ];
            let is_text = |blob: &Rc<[u8]>| {
                !is_binary(blob) && memchr::memchr_iter(b'\n', blob).count() < TEXT_LINES_MAX
            };
            texts = Some(blobs).filter(|blobs| blobs.iter().all(is_text));
        }
        let Some([base_text, our_text, their_text]) = texts else {
            if self.depth == 0 {
                return Ok((ours.id, false));
            }
            let id = match base.is_there() {
                true => base.id,
                false => self.objects.make(Kind::Blob, Vec::new())?,
            };
            return Ok((id, true));
        };
        let moved = paths[BASE] != paths[1] || paths[1] != paths[2];
        let label = |side: usize| match moved {
            true => [self.labels[side - 1], b":", paths[side]].concat(),
            false => self.labels[side - 1].to_vec(),
        };
        let markers = Markers {
            length: text::MARKER + longer,
            ours: &label(1),
            theirs: &label(2),
        };
        let merged = text::merge(&base_text, &our_text, &their_text, markers);
        let id = self.objects.make(Kind::Blob, merged.text)?;
        Ok((id, merged.conflicts == 0))
    }
}
