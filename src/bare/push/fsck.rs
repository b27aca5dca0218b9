//! The keys of `receive.fsck.*`: what becomes of each fault of an object.
//!
//! Source: git-config(1) `receive.fsck.<msg-id>`, `receive.fsck.skipList`; git-fsck(1), "FSCK MESSAGES".
//! Invariant: a key that can't be honoured is a warning on standard error, as it is with git, and
//! changes nothing; a value that can't be, and a list that can't be read, are errors.
//! Not here: the faults themselves (`git::receive`).

use std::{
    collections::HashSet,
    env, fs,
    path::{Path, PathBuf},
};

use gix_object::bstr::ByteSlice as _;

use crate::{
    bare::{BareError, folder::Folder},
    git::receive::{Severity, Strictness},
    model::ObjectId,
};

/// Names that git knows and that no object of a push can have here: they are about refs, or a check
/// of ours has another name for them.
const OF_NO_PUSH: &[&str] = &[
    "badGpgsig",
    "badHeadTarget",
    "badHeaderContinuation",
    "badPackedRefEntry",
    "badPackedRefHeader",
    "badRefContent",
    "badRefFiletype",
    "badRefName",
    "badRefOid",
    "badReferentName",
    "badReftableTableName",
    "emptyName",
    "emptyPackedRefsFile",
    "gitattributesMissing",
    "gitmodulesMissing",
    "packedRefEntryNotTerminated",
    "packedRefUnsorted",
    "refMissingNewline",
    "symlinkRef",
    "symrefTargetIsNotARef",
    "trailingRefContent",
    "unknownType",
];

/// Reads them for a folder whose pushes are checked.
pub(super) fn strictness(folder: &Folder) -> Result<Strictness, BareError> {
    let (mut strictness, mut excused) = (Strictness::strict(), HashSet::new());
    for (name, value) in folder.config.section("receive", Some("fsck")) {
        if name == "skiplist" {
            read_skip_list(&value, folder, &mut excused)?;
            continue;
        }
        // The largest length is git's own; only the answer can be chosen.
        let word = match name.as_str() {
            "largepathname" => value.split(':').next().unwrap_or_default(),
            _ => &value,
        };
        let severity = match word {
            "ignore" => Severity::Ignore,
            "warn" => Severity::Warn,
            "error" => Severity::Error,
            other => {
                return Err(BareError::Config {
                    place: format!("receive.fsck.{name}"),
                    reason: format!("Unknown fsck message type: '{other}'"),
                });
            }
        };
        match strictness.clone().with(&name, severity) {
            Ok(changed) => strictness = changed,
            Err(_)
                if OF_NO_PUSH
                    .iter()
                    .any(|known| known.eq_ignore_ascii_case(&name)) => {}
            Err(error) => eprintln!("warning: receive.fsck.{name} is passed over: {error}"),
        }
    }
    Ok(strictness.excusing(excused))
}

/// One object a line; `#` begins a comment.
fn read_skip_list(
    value: &str,
    folder: &Folder,
    excused: &mut HashSet<ObjectId>,
) -> Result<(), BareError> {
    let path = interpolated(value, &folder.git_dir);
    let text = fs::read(&path).map_err(BareError::io("could not open object name list:", &path))?;
    for line in text.lines() {
        let line = line.split(|byte| *byte == b'#').next().unwrap_or_default();
        let name = line.trim();
        if name.is_empty() {
            continue;
        }
        let id = ObjectId::from_hex(name)
            .ok()
            .filter(|id| id.kind() == folder.format.kind());
        excused.insert(id.ok_or_else(|| BareError::Config {
            place: path.display().to_string(),
            reason: format!("invalid object name: {}", name.escape_ascii()),
        })?);
    }
    Ok(())
}

/// `~/` is the user's home; what is relative is so to the repository.
fn interpolated(value: &str, git_dir: &Path) -> PathBuf {
    match (value.strip_prefix("~/"), env::var_os("HOME")) {
        (Some(rest), Some(home)) => PathBuf::from(home).join(rest),
        _ => git_dir.join(value),
    }
}
