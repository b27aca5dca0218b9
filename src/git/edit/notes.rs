//! The tree of a notes ref: one blob for each object that has a note, named by the object's id.
//!
//! Source: git-notes(1), "refs/notes/*": the id may be split into folders of two digits each, and
//! every split is to be understood.
//! Bounds: a folder gets folders of its own once it has [`FLAT_MAX`] entries.
//! Invariant: an object has one note; it stays where it was found.

use super::{EditError, FileMode, Found, TreeEditor};
use crate::model::ObjectId;

/// Entries of a folder before new notes go into folders below it.
const FLAT_MAX: usize = 256;

/// Where the note on an object lies, and its blob.
///
/// # Errors
/// When a tree can't be read.
pub fn find(
    editor: &mut TreeEditor,
    object: &ObjectId,
) -> Result<Option<(String, ObjectId)>, EditError> {
    let hex = object.to_string();
    for folders in 0..hex.len() / 2 {
        let path = split(&hex, folders);
        if let Some(Found::File { id, .. }) = editor.find(path.as_bytes())? {
            return Ok(Some((path, id)));
        }
        if folder(editor, &hex, folders + 1)?.is_none() {
            return Ok(None);
        }
    }
    Ok(None)
}

/// Puts a note on an object, in place of the one it has.
///
/// # Errors
/// When a tree can't be read.
pub fn put(editor: &mut TreeEditor, object: &ObjectId, note: ObjectId) -> Result<(), EditError> {
    let path = match find(editor, object)? {
        Some((path, _)) => path,
        None => place(editor, &object.to_string())?,
    };
    editor.put(path.as_bytes(), FileMode::Plain, note)
}

/// Removes the note on an object; whether there was one.
///
/// # Errors
/// When a tree can't be read.
pub fn remove(editor: &mut TreeEditor, object: &ObjectId) -> Result<bool, EditError> {
    match find(editor, object)? {
        Some((path, _)) => editor.remove(path.as_bytes()),
        None => Ok(false),
    }
}

/// Where a new note goes.
fn place(editor: &mut TreeEditor, hex: &str) -> Result<String, EditError> {
    let mut folders = 0;
    while folders + 1 < hex.len() / 2 {
        let is_full = |count: usize| count >= FLAT_MAX;
        let Some(count) = folder(editor, hex, folders)? else {
            break;
        };
        if folder(editor, hex, folders + 1)?.is_none() && !is_full(count) {
            break;
        }
        folders += 1;
    }
    Ok(split(hex, folders))
}

/// How many entries the folder has that `folders` pairs of digits lead to; `None` if there is none.
fn folder(editor: &mut TreeEditor, hex: &str, folders: usize) -> Result<Option<usize>, EditError> {
    let path = split(hex, folders);
    let path = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    editor.count(path.as_bytes())
}

/// The id with a slash behind each of its first pairs of digits.
fn split(hex: &str, folders: usize) -> String {
    let mut path = String::with_capacity(hex.len() + folders);
    for pair in 0..folders {
        path.push_str(&hex[2 * pair..2 * pair + 2]);
        path.push('/');
    }
    path.push_str(&hex[2 * folders..]);
    path
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        git::{
            fixture::Stock,
            receive::{Composer, Limits},
        },
        model::ObjectFormat,
    };

    #[test]
    fn notes_are_found_where_git_put_them_and_found_by_git_where_we_did() {
        let stock = Stock::new(ObjectFormat::Sha1).with_history(4);
        let objects = stock.all_ids();
        for object in &objects[..6] {
            let object = object.to_string();
            stock.git(["notes", "add", "-m", &object, &object]);
        }
        // Two of them deeper, as git has them in large trees.
        let tree = stock.git(["rev-parse", "refs/notes/commits^{tree}"]);
        stock.git(["repack", "-q", "-a", "-d"]);
        let (_folder, repository) = stock.opened();
        let tree: ObjectId = tree.parse().unwrap();
        let mut editor = TreeEditor::new(repository.packs(), Some(&tree)).unwrap();
        let (path, moved) = find(&mut editor, &objects[0]).unwrap().unwrap();
        assert_eq!(path, objects[0].to_string());
        assert!(editor.remove(path.as_bytes()).unwrap());
        let deep = split(&path, 2);
        editor.put(deep.as_bytes(), FileMode::Plain, moved).unwrap();
        assert_eq!(find(&mut editor, &objects[0]).unwrap(), Some((deep, moved)));
        let blob = stock.id("main:README");
        put(&mut editor, &objects[0], blob).unwrap();
        assert!(remove(&mut editor, &objects[1]).unwrap());
        assert!(!remove(&mut editor, &objects[1]).unwrap());
        assert_eq!(find(&mut editor, &objects[1]).unwrap(), None);
        for number in 0..400_u32 {
            let digest = number.wrapping_mul(2_654_435_761).to_be_bytes();
            let object = ObjectId::from_bytes_or_panic(&[&digest[..], &[7; 16]].concat());
            put(&mut editor, &object, blob).unwrap();
            assert!(find(&mut editor, &object).unwrap().is_some());
        }
        assert!(editor.count(b"").unwrap().unwrap() <= 2 * FLAT_MAX);
        let mut composer = Composer::new(&repository, &Limits::default());
        let written = editor.write(&mut composer).unwrap();
        composer.finish().unwrap().publish().unwrap();
        for file in std::fs::read_dir(repository.folder().join("objects/pack")).unwrap() {
            let file = file.unwrap();
            let target = stock.path().join("objects/pack").join(file.file_name());
            std::fs::copy(file.path(), target).ok();
        }
        let commit = stock.git(["commit-tree", &written.to_string(), "-m", "notes"]);
        stock.git(["update-ref", "refs/notes/commits", &commit]);
        assert_eq!(stock.git(["notes", "list"]).lines().count(), 405);
        let listed = stock.git(["notes", "list", &objects[0].to_string()]);
        assert_eq!(listed, blob.to_string());
    }
}
