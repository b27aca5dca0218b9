//! Objects made by the server itself.

use gix_object::Kind;

use super::{
    Limits, Target,
    build::{commit, tree},
};
use crate::{git::receive::Composer, model::ObjectFormat};

#[test]
fn composed_objects_are_checked_and_published_like_pushed_ones() {
    let target = Target::new(ObjectFormat::Sha1);
    let mut composer = Composer::new(&target.repository);
    let blob = composer.add(Kind::Blob, b"text\n").unwrap();
    assert_eq!(composer.add(Kind::Blob, b"text\n").unwrap(), blob);
    let folder = composer.add(Kind::Tree, &tree(&[("100644", "a", blob)]));
    let tip = composer.add(Kind::Commit, &commit(&folder.unwrap(), &[]));
    composer
        .finish(&Limits::default())
        .unwrap()
        .publish()
        .unwrap();
    let stock = target.as_stock();
    let id = tip.unwrap().to_string();
    assert_eq!(stock.git(["cat-file", "blob", &format!("{id}:a")]), "text");
    stock.git(["fsck", "--strict"]);

    let mut again = Composer::new(&target.repository);
    assert_eq!(again.add(Kind::Blob, b"text\n").unwrap(), blob);
    let nothing = again.finish(&Limits::default()).unwrap();
    assert_eq!(nothing.new_objects().len(), 0, "the repository has it");

    let mut bad = Composer::new(&target.repository);
    bad.add(Kind::Tree, &tree(&[("40000", "..", blob)]))
        .unwrap();
    let refused = bad.finish(&Limits::default()).unwrap_err();
    assert!(refused.to_string().contains("hasDotdot"));
}
