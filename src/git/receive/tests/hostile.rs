//! Packs that are wrong, by accident or on purpose, and what is left of them: nothing.

use gix_hash::ObjectId;
use gix_object::Kind;

use super::{
    Target,
    build::{Builder, commit, compress, id, number, replace, sealed, tree},
};
use crate::{git::receive::quarantine::sweep, model::ObjectFormat};

fn target() -> Target {
    Target::new(ObjectFormat::Sha1)
}

#[track_caller]
fn refused(pack: &[u8], expected: &str) {
    let target = target();
    let error = target.ingest(pack).expect_err("the pack is wrong");
    let text = error.to_string();
    assert!(text.contains(expected), "{text:?} for {expected:?}");
    assert!(target.is_clean());
}

/// A commit, its tree and a blob, the blob's changed version as a delta.
fn small() -> Vec<u8> {
    let blob = id(Kind::Blob, b"some text\n");
    let tree_content = tree(&[("100644", "a", blob)]);
    let commit_content = commit(&id(Kind::Tree, &tree_content), &[]);
    Builder::new()
        .whole(Kind::Commit, &commit_content)
        .whole(Kind::Tree, &tree_content)
        .whole(Kind::Blob, b"some text\n")
        .on_id(&blob, &replace(10, b"other text\n"))
        .finish()
}

#[test]
fn a_pack_cut_anywhere_is_refused() {
    let (pack, target) = (small(), target());
    assert!(target.ingest(&pack).is_ok());
    for length in 0..pack.len() {
        let error = target.ingest(&pack[..length]).unwrap_err();
        let expected = format!("the pack ended early, after {length} bytes");
        assert_eq!(error.to_string(), expected);
    }
    assert!(target.is_clean());
}

#[test]
fn a_pack_with_any_bit_changed_is_refused() {
    let (pack, target) = (small(), target());
    for at in 0..pack.len() {
        for bit in 0..8 {
            let mut pack = pack.clone();
            pack[at] ^= 1 << bit;
            assert!(target.ingest(&pack).is_err(), "bit {bit} of byte {at}");
        }
    }
    assert!(target.is_clean());
}

#[test]
fn what_is_around_the_entries_must_be_right() {
    refused(b"PUCK\0\0\0\x02\0\0\0\0", "signature");
    refused(b"PACK\0\0\0\x04\0\0\0\0", "version");
    let mut pack = small();
    pack.push(0);
    refused(&pack, "1 bytes of garbage after the pack");
    let mut pack = small();
    *pack.last_mut().unwrap() ^= 1;
    refused(&pack, "checksum");
    let mut more = small();
    more.truncate(more.len() - 20);
    more[11] -= 1;
    refused(&sealed(more), "checksum");
}

#[test]
fn sizes_that_lie_are_refused() {
    let text = b"some text";
    for (size, expected) in [
        (8, "more than its size"),
        (10, "less than its size"),
        (u64::from(u32::MAX), "less than its size"),
        (0, "more than its size"),
    ] {
        let pack = Builder::new().lying(Kind::Blob, size, text).finish();
        refused(&pack, expected);
    }
    let long = vec![b'x'; 3 << 20];
    for (size, expected) in [
        ((3 << 20) - 1, "more than its size"),
        ((3 << 20) + 1, "less than its size"),
    ] {
        refused(
            &Builder::new().lying(Kind::Blob, size, &long).finish(),
            expected,
        );
        refused(
            &Builder::new().lying(Kind::Tag, size, &long).finish(),
            expected,
        );
    }
    refused(
        &Builder::new().lying(Kind::Blob, u64::MAX, text).finish(),
        "bytes in an object",
    );
}

#[test]
fn compressed_data_that_is_none_is_refused() {
    refused(
        &Builder::new().raw(&[0x33], b"no zlib at all").finish(),
        "corrupt",
    );
    let mut data = compress(b"abc");
    *data.last_mut().unwrap() ^= 1;
    refused(&Builder::new().raw(&[0x33], &data).finish(), "corrupt");
}

/// Empty blocks cost the sender a little and the server a buffer of any size.
#[test]
fn compressed_data_with_endless_padding_is_refused() {
    let padded = |blocks: usize| {
        let mut data = vec![0x78, 0x01];
        for _ in 0..blocks {
            data.extend([0, 0, 0, 0xff, 0xff]);
        }
        data.extend([1, 1, 0, 0xfe, 0xff, b'x', 0, 0x79, 0, 0x79]);
        Builder::new().raw(&[0x31], &data).finish()
    };
    assert!(target().ingest(&padded(13_000)).is_ok());
    refused(&padded(13_200), "padded");
}

#[test]
fn unknown_types_are_refused() {
    for code in [0x01, 0x51] {
        let pack = Builder::new().raw(&[code], &compress(b"x")).finish();
        refused(&pack, "its type is unknown");
    }
}

#[test]
fn deltas_without_a_base_are_refused() {
    let delta = replace(3, b"x");
    let unknown = ObjectId::from_bytes_or_panic(&[5; 20]);
    refused(
        &Builder::new().on_id(&unknown, &delta).finish(),
        &format!("1 unresolved deltas, the first one based on {unknown}"),
    );
    refused(
        &Builder::new().on_offset(12, &delta).finish(),
        "its base is no entry",
    );
    refused(
        &Builder::new()
            .whole(Kind::Blob, b"abc")
            .on_offset(13, &delta)
            .finish(),
        "its base is no entry",
    );
    refused(
        &Builder::new().raw(&[0x61, 0x7f], &compress(b"x")).finish(),
        "its base is no entry",
    );
}

/// Two deltas each of which is based on the other's result.
#[test]
fn a_ring_of_deltas_ends() {
    let (one, other) = (id(Kind::Blob, b"one"), id(Kind::Blob, b"two"));
    let pack = Builder::new()
        .on_id(&other, &replace(3, b"one"))
        .on_id(&one, &replace(3, b"two"))
        .finish();
    refused(&pack, "2 unresolved deltas");
}

#[test]
fn a_base_may_come_after_its_delta_and_be_a_delta_itself() {
    let pack = Builder::new()
        .on_id(&id(Kind::Blob, b"two"), &replace(3, b"three"))
        .on_id(&id(Kind::Blob, b"one"), &replace(3, b"two"))
        .whole(Kind::Blob, b"one")
        .finish();
    let quarantine = target().ingest(&pack).unwrap();
    assert!(quarantine.contains(&id(Kind::Blob, b"three")));
}

#[test]
fn deltas_that_do_not_fit_their_base_are_refused() {
    let on_abc = |delta: &[u8]| {
        Builder::new()
            .whole(Kind::Blob, b"abc")
            .on_offset(12, delta)
            .finish()
    };
    assert!(target().ingest(&on_abc(&replace(3, b"x"))).is_ok());
    for delta in [
        replace(4, b"x"),
        vec![3, 2, 1, b'x'],
        vec![3, 1, 2, b'x', b'y'],
        vec![3, 4, 0x90, 4],
        vec![3],
        Vec::new(),
    ] {
        refused(&on_abc(&delta), "its delta does not fit its base");
    }
}

#[test]
fn an_object_that_comes_twice_is_refused() {
    let pack = Builder::new()
        .whole(Kind::Blob, b"abc")
        .whole(Kind::Blob, b"abc")
        .finish();
    refused(&pack, "appears twice");
    let pack = Builder::new()
        .whole(Kind::Blob, b"abc")
        .whole(Kind::Blob, b"x")
        .on_offset(12, &replace(3, b"x"))
        .finish();
    refused(&pack, "appears twice");
}

/// A push whose objects name others that nobody has would break every later clone.
#[test]
fn objects_that_name_missing_ones_are_refused() {
    let nobody = ObjectId::from_bytes_or_panic(&[5; 20]);
    let empty = id(Kind::Tree, b"");
    let tag = |target: &ObjectId, kind: &str| {
        format!("object {target}\ntype {kind}\ntag v1\n\nmessage\n").into_bytes()
    };
    let with_tree = || Builder::new().whole(Kind::Tree, b"");
    refused(
        &Builder::new()
            .whole(Kind::Commit, &commit(&empty, &[]))
            .finish(),
        &format!("missing tree {empty}"),
    );
    refused(
        &with_tree()
            .whole(Kind::Commit, &commit(&nobody, &[]))
            .finish(),
        &format!("missing tree {nobody}"),
    );
    refused(
        &with_tree()
            .whole(Kind::Commit, &commit(&empty, &[nobody]))
            .finish(),
        &format!("missing commit {nobody}"),
    );
    refused(
        &with_tree()
            .whole(Kind::Tree, &tree(&[("100644", "a", nobody)]))
            .finish(),
        &format!("missing blob {nobody}"),
    );
    refused(
        &with_tree().whole(Kind::Tag, &tag(&nobody, "tag")).finish(),
        &format!("missing tag {nobody}"),
    );
    // One object that names two can be refused before the rest has come.
    refused(
        &Builder::new()
            .whole(Kind::Commit, &commit(&empty, &[nobody]))
            .finish(),
        "refer to more objects than there are",
    );
    // What lies in another repository is not named here: a gitlink may point anywhere.
    let gitlink = tree(&[("160000", "a", nobody)]);
    assert!(
        target()
            .ingest(&Builder::new().whole(Kind::Tree, &gitlink).finish())
            .is_ok()
    );
    refused(
        &with_tree()
            .whole(Kind::Commit, &commit(&empty, &[empty]))
            .finish(),
        &format!("object {empty} is a tree, not a commit"),
    );
    refused(
        &with_tree().whole(Kind::Tag, &tag(&empty, "blob")).finish(),
        &format!("object {empty} is a tree, not a blob"),
    );
}

#[test]
fn what_the_repository_has_need_not_be_sent_but_must_be_of_the_right_kind() {
    let target = target();
    let empty = id(Kind::Tree, b"");
    target.publish(&Builder::new().whole(Kind::Tree, b"").finish());
    let pack = Builder::new().whole(Kind::Commit, &commit(&empty, &[]));
    target.publish(&pack.finish());
    let pack = Builder::new().whole(Kind::Tree, &tree(&[("100644", "a", empty)]));
    let error = target.ingest(&pack.finish()).unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("object {empty} is a tree, not a blob")
    );
}

/// The name tells the content, so other content under a name that is there is an attack.
#[test]
fn an_object_that_exists_with_the_same_content_passes() {
    let target = target();
    target.publish(&Builder::new().whole(Kind::Blob, b"abc").finish());
    let again = Builder::new()
        .whole(Kind::Blob, b"x")
        .whole(Kind::Blob, b"abc")
        .finish();
    target.publish(&again);
    assert_eq!(target.repository.packs().pack_count(), 2);
}

/// A tree with `.git` in it becomes a hook that a clone runs.
#[test]
fn objects_with_a_fault_are_refused_by_name_wherever_they_are() {
    let blob = id(Kind::Blob, b"abc");
    let bad = tree(&[("100644", ".GIT", blob)]);
    let text = format!("object {}: hasDotgit: ", id(Kind::Tree, &bad));
    let with_blob = || Builder::new().whole(Kind::Blob, b"abc");
    refused(&with_blob().whole(Kind::Tree, &bad).finish(), &text);
    let good = tree(&[("100644", ".gut", blob)]);
    let as_delta = with_blob()
        .whole(Kind::Tree, &good)
        .on_id(&id(Kind::Tree, &good), &replace(good.len(), &bad));
    refused(&as_delta.finish(), &text);
    refused(
        &Builder::new().whole(Kind::Commit, b"no commit\n").finish(),
        "missingTree",
    );
    refused(
        &Builder::new().whole(Kind::Tag, b"no tag\n").finish(),
        "missingObject",
    );
}

/// CVE-2018-11235 and its kin come as the content of a blob, which only a tree makes special.
#[test]
fn a_gitmodules_blob_is_read_whatever_push_brought_it() {
    let bad = b"[submodule \"../x\"]\n\tpath = a\n";
    let names_it = tree(&[("100644", ".gitmodules", id(Kind::Blob, bad))]);
    let expected = format!("object {}: gitmodulesName", id(Kind::Blob, bad));
    let pack = Builder::new()
        .whole(Kind::Tree, &names_it)
        .whole(Kind::Blob, bad);
    refused(&pack.finish(), &expected);
    let target = target();
    target.publish(&Builder::new().whole(Kind::Blob, bad).finish());
    let later = Builder::new().whole(Kind::Tree, &names_it).finish();
    let error = target.ingest(&later).unwrap_err().to_string();
    assert!(error.starts_with(&expected), "{error}");
}

#[test]
fn a_gitattributes_blob_with_endless_lines_is_refused() {
    for (length, passes) in [(2047, true), (2048, false)] {
        let attributes = vec![b'x'; length];
        let names_it = tree(&[("100644", ".gitattributes", id(Kind::Blob, &attributes))]);
        let pack = Builder::new()
            .whole(Kind::Tree, &names_it)
            .whole(Kind::Blob, &attributes)
            .finish();
        assert_eq!(target().ingest(&pack).is_ok(), passes, "{length}");
    }
}

#[test]
fn the_sweep_removes_what_interrupted_pushes_left_and_nothing_else() {
    let target = target();
    target.publish(&small());
    let folder = target.folder.path();
    std::fs::create_dir(folder.join("incoming/push-1")).unwrap();
    for left in [
        "incoming/push-1/pack",
        "incoming/push-2",
        "objects/pack/pack-1.pack",
        "objects/pack/pack-2.idx",
        "objects/pack/tmp_pack_1",
    ] {
        std::fs::write(folder.join(left), "left").unwrap();
    }
    sweep(folder).unwrap();
    let count = |name| std::fs::read_dir(folder.join(name)).unwrap().count();
    assert_eq!((count("incoming"), count("objects/pack")), (0, 2));
    assert!(
        target
            .as_stock()
            .git(["fsck", "--strict", "--no-dangling"])
            .is_empty()
    );
}

#[test]
fn deltas_may_be_as_long_as_their_numbers_say() {
    let long = vec![b'y'; 70_000];
    let mut copy = number(long.len());
    copy.extend(number(0x1_0000));
    copy.push(0x80);
    let pack = Builder::new()
        .whole(Kind::Blob, &long)
        .on_offset(12, &copy)
        .finish();
    let quarantine = target().ingest(&pack).unwrap();
    assert!(quarantine.contains(&id(Kind::Blob, &long[..0x1_0000])));
}

/// Three bases of 30 MiB that all wait for a second delta are more than is held at a time.
#[test]
fn bases_that_had_to_make_room_are_built_anew() {
    let size = 30 << 20;
    let longer = |size: usize, end: &[u8]| {
        let mut delta = number(size);
        delta.extend(number(size + end.len()));
        for part in 0..size.div_ceil(1 << 20) {
            let length = (size - (part << 20)).min(1 << 20);
            let offset = (part << 20).to_le_bytes();
            delta.extend([0xff, offset[0], offset[1], offset[2], offset[3]]);
            delta.extend(&length.to_le_bytes()[..3]);
        }
        delta.push(end.len().to_le_bytes()[0]);
        delta.extend_from_slice(end);
        delta
    };
    let mut pack = Builder::new().whole(Kind::Blob, &vec![0; size]);
    let mut base = 12;
    let mut ends = vec![Vec::new()];
    for depth in 0..4 {
        // The deltas on each base: first the one that goes on, then another one.
        let next = pack.offset();
        for text in [b"x", b"y"] {
            pack = pack.on_offset(base, &longer(size + depth, text));
        }
        let before = "x".repeat(depth).into_bytes();
        ends.extend([b"x", b"y"].map(|text| [&before[..], text].concat()));
        base = next;
    }
    let quarantine = target().ingest(&pack.finish()).unwrap();
    let mut content = vec![0; size];
    for end in ends {
        content.truncate(size);
        content.extend(&end);
        assert!(quarantine.contains(&id(Kind::Blob, &content)), "{end:?}");
    }
    let (mut reader, mut read) = (quarantine.reader(), Vec::new());
    reader.find(&id(Kind::Blob, &content), &mut read).unwrap();
    assert!(read == content);
}
