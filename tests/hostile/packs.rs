//! Packs that lie, never end, or unfold into more than the machine has.

use gix_hash::ObjectId;
use gix_object::Kind;

use super::{
    pack::{Pack, compress, id, repeats, replaces, tree},
    scene::{NOTHING, Victim, commands, lines},
};

/// What each pack is answered by, with all limits at their defaults.
#[track_caller]
fn refused(victim: &Victim, name: &str, pack: &[u8], expected: &str) {
    let answer = victim.pushes(pack);
    assert!(
        answer.contains(expected) && answer.contains("ng refs/heads/evil unpacker error"),
        "{name}: {expected:?} is not in {answer:?}"
    );
    victim.is_unharmed(name);
}

fn three_blobs() -> Pack {
    Pack::new()
        .whole(Kind::Blob, b"one")
        .whole(Kind::Blob, b"two")
        .whole(Kind::Blob, b"three")
}

#[test]
fn packs_that_lie_about_themselves() {
    let victim = Victim::new();
    let whole = three_blobs().finish();
    let (cut, _) = whole.split_at(whole.len() - 25);
    for (name, pack, expected) in [
        ("nothing", Vec::new(), "the pack ended early, after 0 bytes"),
        ("a cut pack", cut.to_vec(), "the pack ended early"),
        ("no pack", b"GIF89a, not a pack".to_vec(), "signature"),
        (
            "a count of all there could be",
            three_blobs().counting(u32::MAX),
            "more than 12000000 objects in the pack",
        ),
        // Room for what is announced must not be made before it comes.
        (
            "a count of much",
            three_blobs().counting(11_999_999),
            "pack entry at offset",
        ),
        ("a count of less", three_blobs().counting(2), "checksum"),
        (
            "a size of more than there is",
            Pack::new().claims(Kind::Blob, 1 << 30, b"x").finish(),
            "less than its size",
        ),
        (
            "a size beyond all bounds",
            Pack::new().claims(Kind::Blob, u64::MAX, b"x").finish(),
            "bytes in an object",
        ),
        (
            "a tree of an announced gigabyte",
            Pack::new().claims(Kind::Tree, 1 << 30, b"x").finish(),
            "bytes in a commit, tree or tag",
        ),
        (
            "an object twice",
            Pack::new()
                .whole(Kind::Blob, b"one")
                .whole(Kind::Blob, b"one")
                .finish(),
            "appears twice in the pack",
        ),
        (
            "data that is none",
            Pack::new().entry(3, 3, b"", b"no zlib").finish(),
            "its compressed data is corrupt",
        ),
        (
            "a type that is none",
            Pack::new().entry(5, 1, b"", &compress(b"x")).finish(),
            "its type is unknown",
        ),
    ] {
        refused(&victim, name, &pack, expected);
    }
}

#[test]
fn deltas_that_go_nowhere() {
    let victim = Victim::new();
    let (one, two) = (id(Kind::Blob, b"one"), id(Kind::Blob, b"two"));
    let nobody = ObjectId::from_bytes_or_panic(&[5; 20]);
    for (name, pack, expected) in [
        (
            "a ring",
            Pack::new()
                .on_id(two.as_slice(), &replaces(3, b"one"))
                .on_id(one.as_slice(), &replaces(3, b"two"))
                .finish(),
            "2 unresolved deltas".to_owned(),
        ),
        (
            "a base that nobody has",
            Pack::new()
                .on_id(nobody.as_slice(), &replaces(3, b"one"))
                .finish(),
            format!("the first one based on {nobody}"),
        ),
        (
            "a base before the pack",
            Pack::new().on_offset(0, &replaces(3, b"one")).finish(),
            "its base is no entry of the pack".to_owned(),
        ),
        (
            "a copy beyond the base",
            Pack::new()
                .whole(Kind::Blob, b"one")
                .on_offset(12, &[3, 4, 0x90, 4])
                .finish(),
            "its delta does not fit its base".to_owned(),
        ),
    ] {
        refused(&victim, name, &pack, &expected);
    }
    let mut chain = Pack::new().whole(Kind::Blob, b"0000");
    let mut base = 12;
    for number in 1..1002 {
        let next = chain.offset();
        chain = chain.on_offset(base, &replaces(4, format!("{number:04}").as_bytes()));
        base = next;
    }
    let expected = "more than 1000 deltas upon each other";
    refused(&victim, "a chain without end", &chain.finish(), expected);
}

/// A small pack that unfolds into gigabytes: zeros, and zeros upon zeros.
#[test]
fn packs_that_explode() {
    const MIB: usize = 1 << 20;
    let victim = Victim::with_limits("push_inflated_bytes = 2147483648");
    let zeros = vec![0; 64 * MIB];
    refused(
        &victim,
        "a blob that goes on after its size",
        &Pack::new().claims(Kind::Blob, 9, &zeros).finish(),
        "more than its size",
    );
    refused(
        &victim,
        "a tree of zeros",
        &Pack::new().whole(Kind::Tree, &zeros).finish(),
        "bytes in a commit, tree or tag",
    );
    let largest = vec![b'0'; 32 * MIB];
    refused(
        &victim,
        "a commit of zeros",
        &Pack::new().whole(Kind::Commit, &largest).finish(),
        "unterminatedHeader",
    );

    // A base of one mebibyte, upon it half a gibibyte, four times.
    let mut pack = Pack::new().whole(Kind::Blob, &zeros[..MIB]);
    for piece in [MIB, MIB / 2, MIB / 4, MIB / 8] {
        pack = pack.on_offset(12, &repeats(MIB, piece, 500 * MIB + piece));
    }
    let expected = "inflated bytes for each byte of the pack";
    refused(&victim, "deltas that grow", &pack.finish(), expected);

    // One of them alone passes the limits, and then nothing names it.
    let pack = Pack::new()
        .whole(Kind::Blob, &zeros[..MIB])
        .on_offset(12, &repeats(MIB, MIB, 500 * MIB));
    let answer = victim.pushes(&pack.finish());
    assert!(answer.contains("ng refs/heads/evil"), "{answer}");
    victim.is_unharmed("a delta that grows");

    // Blobs each of which is sixteen times the one before.
    let mut pack = Pack::new().whole(Kind::Blob, &zeros[..4096]);
    let (mut base, mut size) = (12, 4096);
    for _ in 0..5 {
        let next = pack.offset();
        pack = pack.on_offset(base, &repeats(size, size.min(8 * MIB), size * 16));
        (base, size) = (next, size * 16);
    }
    refused(
        &victim,
        "deltas upon deltas that grow",
        &pack.finish(),
        "bytes in an object that is stored as a delta",
    );
}

/// A "git bomb" (CVE-2017-15298): ten levels of trees, ten times the next one in each, is ten
/// billion files for a checkout and a dozen objects for us. It passes, and costs the server nothing.
#[test]
fn trees_that_explode_in_a_checkout_only() {
    let victim = Victim::new();
    let blob = b"bang\n".as_slice();
    let mut pack = Pack::new().whole(Kind::Blob, blob);
    let (mut named, mut mode) = (id(Kind::Blob, blob), "100644");
    let names: Vec<String> = (0..10).map(|number| format!("f{number}")).collect();
    for _ in 0..10 {
        let entries: Vec<_> = names
            .iter()
            .map(|name| (mode, name.as_str(), named))
            .collect();
        let content = tree(&entries);
        pack = pack.whole(Kind::Tree, &content);
        (named, mode) = (id(Kind::Tree, &content), "40000");
    }
    let commit = commit_of(&named);
    let tip = id(Kind::Commit, &commit).to_string();
    pack = pack.whole(Kind::Commit, &commit);
    let mut body = commands(&[(NOTHING, &tip, "refs/heads/bomb")]);
    body.extend(pack.finish());
    let answer = victim.posts("receive-pack", "", &body);
    assert!(answer.contains("ok refs/heads/bomb"), "{answer}");
    let copy = victim.source();
    copy.git("fetch --quiet origin bomb").succeeds();
    let counted = copy.git("rev-list --objects --count FETCH_HEAD").succeeds();
    assert_eq!(counted, "12");
    copy.git("push --quiet origin :bomb").succeeds();
    victim.is_unharmed("a git bomb");
}

/// A thousand trees inside each other, which a program that recurses answers by its end.
#[test]
fn trees_as_deep_as_a_stack() {
    let victim = Victim::new();
    let mut pack = Pack::new().whole(Kind::Tree, b"");
    let mut named = id(Kind::Tree, b"");
    for _ in 0..50_000 {
        let content = tree(&[("40000", "d", named)]);
        pack = pack.whole(Kind::Tree, &content);
        named = id(Kind::Tree, &content);
    }
    let commit = commit_of(&named);
    let tip = id(Kind::Commit, &commit).to_string();
    pack = pack.whole(Kind::Commit, &commit);
    let mut body = commands(&[(NOTHING, &tip, "refs/heads/deep")]);
    body.extend(pack.finish());
    let answer = victim.posts("receive-pack", "", &body);
    assert!(answer.contains("refs/heads/deep"), "{answer}");
    if answer.contains("ok refs/heads/deep") {
        // What was taken must be given out again; git itself would not take it.
        let want = format!("want {tip}");
        let fetch = ["command=fetch", "object-format=sha1", "0001", &want, "done"];
        let headers = "git-protocol: version=2\r\n";
        let given = victim.posts("upload-pack", headers, &lines(&fetch));
        assert!(
            given.contains("PACK") && given.ends_with("0\r\n\r\n"),
            "{given}"
        );
        let copy = victim.source();
        copy.git("push --quiet origin :deep").succeeds();
    }
    victim.is_unharmed("deep trees");
}

/// A blob of half a gibibyte that takes a few hundred bytes in the pack is taken, since it might be meant; giving it
/// out, and building upon it, must not unfold it in memory either.
#[test]
fn what_was_taken_unfolds_later_no_more_than_when_it_came() {
    const MIB: usize = 1 << 20;
    let victim = Victim::new();
    let zeros = vec![0; MIB];
    let mut name = gix_hash::hasher(gix_hash::Kind::Sha1);
    name.update(&gix_object::encode::loose_header(Kind::Blob, 500 << 20));
    (0..500).for_each(|_| name.update(&zeros));
    let blob = name.try_finalize().unwrap();
    let folder = tree(&[
        ("100644", "large", blob),
        ("100644", "small", id(Kind::Blob, &zeros)),
    ]);
    let commit = commit_of(&id(Kind::Tree, &folder));
    let tip = id(Kind::Commit, &commit).to_string();
    let pack = Pack::new()
        .whole(Kind::Blob, &zeros)
        .on_offset(12, &repeats(MIB, MIB, 500 * MIB))
        .whole(Kind::Tree, &folder)
        .whole(Kind::Commit, &commit);
    let mut body = commands(&[(NOTHING, &tip, "refs/heads/large")]);
    body.extend(pack.finish());
    let answer = victim.posts("receive-pack", "", &body);
    assert!(answer.contains("ok refs/heads/large"), "{answer}");

    let want = format!("want {tip}");
    for more in [
        &[][..],
        &["thin-pack", "ofs-delta"],
        &["filter blob:limit=1m"],
    ] {
        let fetch = ["command=fetch", "object-format=sha1", "0001", &want];
        let fetch = [&fetch[..], more, &["done"]].concat();
        let headers = "git-protocol: version=2\r\n";
        let given = victim.posts("upload-pack", headers, &lines(&fetch));
        assert!(given.contains("PACK"), "{more:?}: {given}");
        assert!(given.len() < 2 * MIB, "{more:?}: {} bytes", given.len());
    }

    let thin = Pack::new().on_id(blob.as_slice(), &repeats(500 * MIB, MIB, 100 * MIB));
    let answer = victim.pushes(&thin.finish());
    assert!(answer.contains("ng refs/heads/evil"), "{answer}");
    let copy = victim.source();
    copy.git("push --quiet origin :large").succeeds();
    victim.is_unharmed("a large blob");
}

pub(super) fn commit_of(tree: &ObjectId) -> Vec<u8> {
    commit_upon(tree, "")
}

/// A commit with these lines for its parents.
pub(super) fn commit_upon(tree: &ObjectId, parents: &str) -> Vec<u8> {
    let person = "A <a@example.org> 1700000000 +0000";
    format!("tree {tree}\n{parents}author {person}\ncommitter {person}\n\nBang\n").into_bytes()
}
