//! Stock git makes the packs and judges what became of them.

use std::{collections::BTreeSet, fs, io::Read};

use gix_object::Kind;

use super::{Limits, Target, ingest};
use crate::git::fixture::Stock;

/// What git would send of these revisions, one a line.
fn pack(stock: &Stock, options: &[&str], revisions: &str) -> Vec<u8> {
    let command = [&["pack-objects", "--stdout", "--revs", "-q"], options].concat();
    stock.git_with_input(command, revisions.as_bytes())
}

/// The index that git makes of the only pack of `stock`, and ours.
fn compare_index(target: &Target, stock: &Stock) {
    let ours = stock.indices();
    assert_eq!(ours.len(), 1, "one push, one pack");
    let packed = ours[0].with_extension("pack");
    let again = stock.path().join("again.idx");
    stock.git([
        "index-pack".as_ref(),
        "--strict".as_ref(),
        "-o".as_ref(),
        again.as_os_str(),
        packed.as_os_str(),
    ]);
    assert!(fs::read(&again).unwrap() == fs::read(&ours[0]).unwrap());
    for file in fs::read_dir(target.folder.path().join("objects/pack")).unwrap() {
        let mode = file.unwrap().metadata().unwrap().permissions();
        assert!(mode.readonly(), "published packs never change");
    }
    stock.git(["verify-pack".as_ref(), ours[0].as_os_str()]);
    stock.git(["fsck", "--strict", "--full"]);
}

#[test]
fn a_pack_of_stock_git_is_published_with_the_index_that_git_gives_it() {
    for source in Stock::each() {
        let source = source.with_history(30);
        for options in [
            &["--all", "--delta-base-offset"][..],
            &["--all"],
            &["--all", "--depth=0"],
        ] {
            let pack = pack(&source, options, "");
            let target = Target::new(source.format());
            let mut said = Vec::new();
            let quarantine = ingest(
                &target.repository,
                &mut &*pack,
                &Limits::default(),
                &mut |progress| said.push(progress),
            )
            .unwrap();
            let ids: BTreeSet<_> = quarantine.new_objects().map(|new| new.id).collect();
            assert_eq!(ids, source.all_ids().into_iter().collect());
            assert!(ids.iter().all(|id| quarantine.contains(id)));
            assert!(!target.repository.packs().contains(ids.first().unwrap()));
            assert!(!said.is_empty());
            quarantine.publish().unwrap();
            assert!(target.repository.packs().contains(ids.first().unwrap()));
            compare_index(&target, &target.as_stock());
        }
    }
}

#[test]
fn a_thin_pack_is_completed_with_bases_of_the_repository() {
    for source in Stock::each() {
        let mut stream = String::new();
        for changed in 0..4 {
            let line = |line| match line {
                line if line == changed => format!("line {line} is new in {changed}\n"),
                line => format!("line {line} has been here from the beginning\n"),
            };
            let text: String = (0..100).map(line).collect();
            stream += "commit refs/heads/main\ncommitter Carl <carl@example.org> ";
            stream += &format!("{} +0000\ndata 1\n-\n", 1_700_000_000 + changed);
            for name in ["a", "b/c"] {
                let text = format!("{name}\n{text}");
                stream += &format!("M 100644 inline {name}\ndata {}\n{text}\n", text.len());
            }
        }
        source.import(&stream);
        for options in [&["--thin", "--delta-base-offset"][..], &["--thin"]] {
            let target = Target::new(source.format());
            target.publish(&pack(&source, &[], "main~1\n"));
            let thin = pack(&source, options, "main\n^main~1\n");
            let sent = u32::from_be_bytes(*thin[8..].first_chunk().unwrap());
            let quarantine = target.ingest(&thin).unwrap();
            assert_eq!(quarantine.new_objects().len(), sent as usize);
            assert!(quarantine.pack_bytes() > thin.len() as u64, "bases came in");
            quarantine.publish().unwrap();
            let stock = target.as_stock();
            let tip = source.git(["rev-parse", "main"]);
            stock.git(["update-ref", "refs/heads/main", &tip]);
            stock.git(["fsck", "--strict", "--full"]);
            assert_eq!(stock.all_ids(), source.all_ids());
            for index in stock.indices() {
                stock.git(["verify-pack".as_ref(), index.as_os_str()]);
            }
        }
    }
}

#[test]
fn an_empty_pack_publishes_nothing() {
    for source in Stock::each() {
        let target = Target::new(source.format());
        target.publish(&pack(&source, &[], ""));
        assert!(target.is_clean());
        assert_eq!(target.repository.packs().pack_count(), 0);
    }
}

#[test]
fn the_same_push_twice_makes_one_pack() {
    let [source, _] = Stock::each();
    let source = source.with_history(5);
    let pack = pack(&source, &["--all"], "");
    let target = Target::new(source.format());
    target.publish(&pack);
    target.publish(&pack);
    assert_eq!(target.repository.packs().pack_count(), 1);
    compare_index(&target, &target.as_stock());
}

/// Content that does not compress, so that packs are as large as what is in them.
fn noise(bytes: usize, seed: u64) -> Vec<u8> {
    let mut state = seed;
    std::iter::repeat_with(|| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()[0]
    })
    .take(bytes)
    .collect()
}

#[test]
fn a_pack_too_large_for_memory_is_indexed_all_the_same() {
    let [source, _] = Stock::each();
    for (name, content) in [("a", noise(3 << 20, 1)), ("b", noise(4 << 20, 2))] {
        let id = source.git_with_input(["hash-object", "-w", "--stdin"], &content);
        let id = String::from_utf8(id).unwrap();
        source.git(["update-ref", &format!("refs/tags/{name}"), id.trim()]);
        let mut changed = content;
        changed.truncate(2 << 20);
        changed.extend(b"and a changed end");
        let id = source.git_with_input(["hash-object", "-w", "--stdin"], &changed);
        let id = String::from_utf8(id).unwrap();
        source.git(["update-ref", &format!("refs/tags/{name}2"), id.trim()]);
    }
    let pack = pack(&source, &["--all", "--delta-base-offset"], "");
    assert!(pack.len() > 5 << 20);
    let target = Target::new(source.format());
    let quarantine = target.ingest(&pack).unwrap();
    let (mut reader, mut content) = (quarantine.reader(), Vec::new());
    for new in quarantine.new_objects() {
        let kind = reader.find(&new.id, &mut content).unwrap();
        assert_eq!((kind, content.len() as u64), (Some(Kind::Blob), new.size));
    }
    quarantine.publish().unwrap();
    compare_index(&target, &target.as_stock());
}

/// Gives one byte at a time and panics when asked for more than there is.
struct Trickle<'a>(&'a [u8]);

impl Read for Trickle<'_> {
    fn read(&mut self, out: &mut [u8]) -> std::io::Result<usize> {
        let (first, rest) = self
            .0
            .split_first()
            .expect("nothing behind the pack is read");
        out[0] = *first;
        self.0 = rest;
        Ok(1)
    }
}

#[test]
fn a_pack_may_come_byte_by_byte_and_nothing_behind_it_is_waited_for() {
    for source in Stock::each() {
        let source = source.with_history(5);
        let pack = pack(&source, &["--all", "--delta-base-offset"], "");
        let target = Target::new(source.format());
        ingest(
            &target.repository,
            &mut Trickle(&pack),
            &Limits::default(),
            &mut |_| {},
        )
        .unwrap()
        .publish()
        .unwrap();
        compare_index(&target, &target.as_stock());
    }
}

#[test]
fn a_quarantine_reads_new_and_old_objects_and_peels_tags() {
    let [source, _] = Stock::each();
    let source = source.with_history(12);
    let target = Target::new(source.format());
    target.publish(&pack(&source, &[], "main~3\n"));
    let quarantine = target
        .ingest(&pack(&source, &["--thin", "--all"], "^main~3\n"))
        .unwrap();
    let mut reader = quarantine.reader();
    let mut content = Vec::new();
    for id in source.all_ids() {
        let kind = reader.find(&id, &mut content).unwrap().unwrap();
        assert_eq!(reader.kind(&id).unwrap(), Some(kind));
        let kind = source.git(["cat-file", "-t", &id.to_string()]);
        let expected = source.git_with_input(["cat-file", &kind, &id.to_string()], b"");
        assert!(content == expected, "{id}");
        let peeled = reader.peel(&id).unwrap().unwrap();
        let expected = source.git(["rev-parse", &format!("{id}^{{}}")]);
        assert_eq!(peeled.0.to_string(), expected);
    }
    let unknown = crate::model::ObjectId::null(gix_hash::Kind::Sha1);
    assert_eq!(reader.peel(&unknown).unwrap(), None);
}
