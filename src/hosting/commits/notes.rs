//! Notes on objects: each write is a commit onto the notes ref.
//!
//! Source: git-notes(1).
//! Bounds: [`NOTE_BYTES_MAX`] a note, what was there before included.
//! Invariant: a note is never lost to another: adding refuses where one is, appending keeps it.

use super::{Base, CommitError, Onto, Start};
use crate::{
    git::{
        ObjectKind, ObjectReader,
        edit::{CommitText, TreeEditor, notes},
    },
    hosting::{Hosting, HostingError},
    model::{ObjectId, RefName},
    policy::{self, Authorized},
};

/// Longest note, in bytes.
const NOTE_BYTES_MAX: usize = 1 << 20;

/// What happens to the note on an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoteChange {
    /// It is made; there is none yet.
    Add(String),
    /// This is put behind it, after an empty line.
    Append(String),
    /// It goes.
    Remove,
}

/// A note that was written or removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoteWritten {
    /// Where the notes ref was.
    pub old: Option<ObjectId>,
    /// Where it is.
    pub new: ObjectId,
}

impl Hosting {
    /// Changes the note on an object; `expected` is where the caller knows the notes ref to be.
    ///
    /// # Errors
    /// [`CommitError::Conflict`] when the note to be added is there; [`CommitError::NoNote`] when the
    /// one to be removed is not.
    pub async fn write_note(
        &self,
        authorized: Authorized<policy::Push>,
        notes_ref: RefName,
        object: ObjectId,
        change: NoteChange,
        text: CommitText,
        expected: Option<ObjectId>,
    ) -> Result<NoteWritten, CommitError> {
        let onto = Onto {
            name: notes_ref,
            start: Start::Root,
            expected,
        };
        let draft = self.draft(authorized, onto).await?;
        let committed = draft
            .commit(text, move |base| edit(base, &object, &change))
            .await?;
        Ok(NoteWritten {
            old: committed.old,
            new: committed.id,
        })
    }
}

fn edit(
    base: &mut Base<'_>,
    object: &ObjectId,
    change: &NoteChange,
) -> Result<ObjectId, CommitError> {
    let mut editor = TreeEditor::new(base.packs.clone(), base.tree.as_ref())?;
    let found = notes::find(&mut editor, object)?;
    let note = match (change, found) {
        (NoteChange::Remove, None) => return Err(CommitError::NoNote(*object)),
        (NoteChange::Remove, Some(_)) => None,
        (NoteChange::Add(_), Some(_)) => {
            return Err(CommitError::Conflict(format!(
                "{object} has a note already"
            )));
        }
        (NoteChange::Add(note) | NoteChange::Append(note), None) => Some(note.clone().into_bytes()),
        (NoteChange::Append(more), Some((_, before))) => {
            let mut note = Vec::new();
            ObjectReader::new(base.packs.clone())
                .require(&before, &mut note)
                .map_err(HostingError::from)?;
            if !note.ends_with(b"\n") {
                note.push(b'\n');
            }
            note.push(b'\n');
            note.extend_from_slice(more.as_bytes());
            Some(note)
        }
    };
    match note {
        None => drop(notes::remove(&mut editor, object)?),
        Some(note) if note.len() > NOTE_BYTES_MAX => {
            return Err(CommitError::Invalid(format!(
                "the note has more than {NOTE_BYTES_MAX} bytes"
            )));
        }
        Some(note) => {
            let id = base.composer.add(ObjectKind::Blob, &note)?;
            notes::put(&mut editor, object, id)?;
        }
    }
    Ok(editor.write(base.composer)?)
}
