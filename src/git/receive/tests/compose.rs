//! Objects made by the server itself.

use gix_object::Kind;

use super::{
    Limits, Target,
    build::{commit, tree},
};
use crate::{
    git::{
        fixture::Stock,
        receive::{Composer, Limited, ReceiveError},
    },
    model::ObjectFormat,
};

#[test]
fn composed_objects_are_checked_and_published_like_pushed_ones() {
    let target = Target::new(ObjectFormat::Sha1);
    let limits = Limits::default();
    let mut composer = Composer::new(&target.repository, &limits);
    let blob = composer.add(Kind::Blob, b"text\n").unwrap();
    assert_eq!(composer.add(Kind::Blob, b"text\n").unwrap(), blob);
    let folder = composer.add(Kind::Tree, &tree(&[("100644", "a", blob)]));
    let tip = composer.add(Kind::Commit, &commit(&folder.unwrap(), &[]));
    composer.finish().unwrap().publish().unwrap();
    let stock = target.as_stock();
    let id = tip.unwrap().to_string();
    assert_eq!(stock.git(["cat-file", "blob", &format!("{id}:a")]), "text");
    stock.git(["fsck", "--strict"]);

    let mut again = Composer::new(&target.repository, &limits);
    assert_eq!(again.add(Kind::Blob, b"text\n").unwrap(), blob);
    let nothing = again.finish().unwrap();
    assert_eq!(nothing.new_objects().len(), 0, "the repository has it");

    let mut bad = Composer::new(&target.repository, &limits);
    let refused = bad.add(Kind::Tree, &tree(&[("40000", "..", blob)]));
    assert!(refused.unwrap_err().to_string().contains("hasDotdot"));

    let mut loose = Composer::new(&target.repository, &limits);
    let absent = gix_hash::ObjectId::from_bytes_or_panic(&[7; 20]);
    loose
        .add(Kind::Tree, &tree(&[("100644", "a", absent)]))
        .unwrap();
    let refused = loose.finish().unwrap_err();
    assert!(matches!(refused, ReceiveError::MissingObject { id, .. } if id == absent));
}

#[test]
fn a_blob_in_pieces_is_the_blob_that_git_makes_of_it() {
    let target = Target::new(ObjectFormat::Sha1);
    let stock = Stock::new(ObjectFormat::Sha1);
    let mut composer = Composer::new(&target.repository, &Limits::default());
    let mut trees = Vec::new();
    for (number, length) in [0_usize, 1, 256 << 10, (256 << 10) + 1, 9 << 20]
        .into_iter()
        .enumerate()
    {
        let bytes: Vec<u8> = (0..length)
            .map(|at| u8::try_from((at * 7 + at / 251) % 251).unwrap())
            .collect();
        let mut blob = composer.blob_in_pieces();
        for piece in bytes.chunks(100_000) {
            blob.append(piece).unwrap();
        }
        let id = composer.add_pieces(blob).unwrap();
        let expected = stock.git_with_input(["hash-object", "--stdin"], &bytes);
        assert_eq!(
            format!("{id}\n").as_bytes(),
            expected,
            "a blob of {length} bytes"
        );
        trees.push((format!("f{number}"), id));
    }
    let entries: Vec<_> = trees
        .iter()
        .map(|(name, id)| ("100644", name.as_str(), *id))
        .collect();
    composer.add(Kind::Tree, &tree(&entries)).unwrap();
    composer.finish().unwrap().publish().unwrap();
    target.as_stock().git(["fsck", "--strict"]);
    let incoming = target.folder.path().join("incoming");
    assert_eq!(std::fs::read_dir(incoming).unwrap().count(), 0);
}

#[test]
fn limits_hold_for_composed_objects_on_both_sides() {
    let target = Target::new(ObjectFormat::Sha1);
    let limits = Limits {
        object_bytes: 1000,
        objects: 2,
        pack_bytes: 12 + 100,
        ..Limits::default()
    };
    let mut composer = Composer::new(&target.repository, &limits);
    let mut blob = composer.blob_in_pieces();
    blob.append(&[b'a'; 1000]).unwrap();
    let what = |error: ReceiveError| match error {
        ReceiveError::Limit { what, .. } => what,
        other => panic!("{other}"),
    };
    let error = blob.append(b"a").unwrap_err();
    assert_eq!(what(error), Limited::ObjectBytes);
    composer.add_pieces(blob).unwrap();
    let error = composer.add(Kind::Blob, &[b'b'; 1001]).unwrap_err();
    assert_eq!(what(error), Limited::ObjectBytes);
    let noise: Vec<u8> = (0..200_u64)
        .map(|at| (at * at * 2_654_435_761).to_le_bytes()[2])
        .collect();
    let error = composer.add(Kind::Blob, &noise).unwrap_err();
    assert_eq!(what(error), Limited::PackBytes);
    let mut composer = Composer::new(&target.repository, &limits);
    composer.add(Kind::Blob, b"1").unwrap();
    composer.add(Kind::Blob, b"2").unwrap();
    let error = composer.add(Kind::Blob, b"3").unwrap_err();
    assert_eq!(what(error), Limited::Objects);
}
