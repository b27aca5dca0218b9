//! Somebody has been at the files: an object lies in a pack under a name that is not its own.

use std::{
    fs,
    path::{Path, PathBuf},
};

use gix_object::Kind;

use super::{
    pack::{Pack, compress, id, replaces, tree},
    packs::commit_of,
    scene::{NOTHING, Victim, commands},
};

/// What the first commit holds, and what is put in its place: as long, deflated too.
const TRUE: &[u8] = b"1\n";
const FALSE: &[u8] = b"7\n";

/// All files of packs, with their bytes.
fn packs(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let (mut files, mut folders) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            match path.is_dir() {
                true => folders.push(path),
                false => files.push((path.clone(), fs::read(&path).unwrap())),
            }
        }
    }
    files.sort();
    files
}

/// Puts one content in place of the other in the pack that holds it.
fn swap(folder: &Path, before: &[u8], after: &[u8]) {
    let deflated = |content: &[u8]| {
        // What git deflates to is not always what we do, but for two bytes there is one way.
        let deflated = compress(content);
        let (_, body) = deflated.split_at(2);
        body.to_vec()
    };
    let (before, after) = (deflated(before), deflated(after));
    assert_eq!(before.len(), after.len());
    let mut swapped = 0;
    for (path, mut bytes) in packs(folder) {
        let found: Vec<_> = memchr::memmem::find_iter(&bytes, &before).collect();
        for at in &found {
            bytes[*at..at + after.len()].copy_from_slice(&after);
        }
        if !found.is_empty() {
            fs::remove_file(&path).unwrap();
            fs::write(&path, bytes).unwrap();
            swapped += found.len();
        }
    }
    assert_eq!(swapped, 1, "the content lies in one place");
}

/// A stored object was replaced by another. Who pushes the true one again must hear of it: were it
/// taken as known, a tree that names it would stand for something else than was pushed; were it
/// stored, what is read would depend on which pack is looked at first.
#[test]
fn an_object_that_is_stored_with_other_bytes_is_refused() {
    let mut lying = Vec::new();
    let victim = Victim::new().tampered_with(|folder| {
        swap(folder, TRUE, FALSE);
        lying = packs(folder);
    });
    let folder = victim.repositories();
    let blob = id(Kind::Blob, TRUE);
    let listed = tree(&[("100644", "again", blob)]);
    let commit = commit_of(&id(Kind::Tree, &listed));
    let whole = Pack::new()
        .whole(Kind::Blob, TRUE)
        .whole(Kind::Tree, &listed)
        .whole(Kind::Commit, &commit)
        .finish();
    let tip = id(Kind::Commit, &commit).to_string();
    let made = Pack::new()
        .whole(Kind::Blob, b"another")
        .on_offset(12, &replaces(7, TRUE))
        .whole(Kind::Tree, &listed)
        .whole(Kind::Commit, &commit)
        .finish();
    for pack in [whole, made] {
        let mut body = commands(&[(NOTHING, &tip, "refs/heads/evil")]);
        body.extend(pack);
        let answer = victim.posts("receive-pack", "", &body);
        let words = format!("the object {blob} exists with other content");
        assert!(answer.contains(&words), "{answer}");
        assert!(
            answer.contains("ng refs/heads/evil unpacker error"),
            "{answer}"
        );
        assert!(packs(&folder) == lying, "nothing was stored");
        let listed = victim.source().git("ls-remote origin").succeeds();
        assert!(!listed.contains("evil"), "{listed}");
    }

    // What does not touch the object is taken as ever, and once it is mended all is well.
    let victim = victim.tampered_with(|folder| swap(folder, FALSE, TRUE));
    let mut body = commands(&[(NOTHING, &tip, "refs/heads/good")]);
    body.extend(
        Pack::new()
            .whole(Kind::Blob, TRUE)
            .whole(Kind::Tree, &listed)
            .whole(Kind::Commit, &commit)
            .finish(),
    );
    let answer = victim.posts("receive-pack", "", &body);
    assert!(answer.contains("ok refs/heads/good"), "{answer}");
    victim.source().git("push --quiet origin :good").succeeds();
    victim.is_unharmed("a forgery");
}
