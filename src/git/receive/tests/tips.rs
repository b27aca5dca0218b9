//! What refs may point to once a push is published.

use gix_object::Kind;

use super::{
    Limits, Target,
    build::{PERSON, commit, tree},
};
use crate::{
    git::{
        fixture::Stock,
        receive::{Composer, Quarantine, TipError},
    },
    model::{ObjectFormat, ObjectId, RefName},
};

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

#[test]
fn a_branch_names_a_commit_and_a_tag_anything_that_exists() {
    let target = Target::new(ObjectFormat::Sha1);
    let mut composer = Composer::new(&target.repository);
    let empty = composer.add(Kind::Tree, b"").unwrap();
    let tip = composer.add(Kind::Commit, &commit(&empty, &[])).unwrap();
    let tag = format!("object {tip}\ntype commit\ntag v\ntagger {PERSON}\n\n-\n");
    let tag = composer.add(Kind::Tag, tag.as_bytes()).unwrap();
    let quarantine = composer.finish(&Limits::default()).unwrap();
    let mut reader = quarantine.reader();
    let branch = RefName::branch("main").unwrap();
    let release = RefName::tag("v").unwrap();
    assert_eq!(reader.tip(&branch, &tip).unwrap().peeled, None);
    assert_eq!(reader.tip(&release, &tag).unwrap().peeled, Some(tip));
    assert_eq!(reader.tip(&release, &empty).unwrap().kind, Kind::Tree);
    for (id, kind) in [(tag, "tag"), (empty, "tree")] {
        let refused = reader.tip(&branch, &id).unwrap_err();
        assert_eq!(
            refused.to_string(),
            format!("cannot update ref 'refs/heads/main': it would name a {kind}, not a commit")
        );
    }
    let nobody = ObjectId::from_bytes_or_panic(&[5; 20]);
    let refused = reader.tip(&release, &nobody);
    assert!(matches!(refused, Err(TipError::Missing)));
    drop(reader);
    quarantine.publish().unwrap();
    let nothing = Quarantine::empty(&target.repository);
    assert_eq!(
        nothing.reader().tip(&branch, &tip).unwrap().kind,
        Kind::Commit
    );
    nothing.publish().unwrap();
    assert_eq!(target.repository.packs().pack_count(), 1);
}

#[test]
fn ancestry_is_what_git_says_between_all_pairs_of_commits() {
    let source = Stock::new(ObjectFormat::Sha1).with_history(24);
    // A commit older than its parent, and one from the future.
    let past = ["commit-tree", "-p", "main", "-m", "past", "main^{tree}"];
    let past = source.git(past);
    source.git(["update-ref", "refs/heads/past", &past]);
    let target = Target::new(source.format());
    let revisions = source.git(["for-each-ref", "--format=%(objectname)"]);
    let command = ["pack-objects", "--stdout", "--revs", "-q"];
    let half = source.git_with_input(command, b"main~3\n");
    target.publish(&half);
    let rest = source.git_with_input(command, format!("{revisions}\n^main~3\n").as_bytes());
    let quarantine = target.ingest(&rest).unwrap();
    let mut reader = quarantine.reader();
    let commits = source.git(["rev-list", "--all"]);
    let commits: Vec<ObjectId> = commits.lines().map(|id| id.parse().unwrap()).collect();
    let mut pairs = 0;
    for new in &commits {
        let reachable = source.git(["rev-list", &new.to_string()]);
        for old in &commits {
            let expected = reachable.contains(&old.to_string());
            assert_eq!(
                reader.is_ancestor(old, new).unwrap(),
                expected,
                "{old} {new}"
            );
            pairs += usize::from(expected);
        }
    }
    assert!(pairs > commits.len());
}
