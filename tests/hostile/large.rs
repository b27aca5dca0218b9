//! Objects larger than all the memory that the server may use: they come, go and are looked at, and are
//! never held.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read, Write as _},
};

use gix_hash::ObjectId;
use gix_object::Kind;

use super::{
    pack::{Pack, id, repeats, tree},
    packs::{commit_of, commit_upon},
    scene::{NOTHING, Victim, commands},
};
use crate::support::Via;

const MIB: usize = 1 << 20;

/// Hashes a blob of so many bytes as it comes, at least, and no more of it.
fn blob_id(size: usize, mut bytes: impl Read) -> ObjectId {
    let mut name = gix_hash::hasher(gix_hash::Kind::Sha1);
    name.update(&gix_object::encode::loose_header(Kind::Blob, size as u64));
    let (mut left, mut piece) = (size, vec![0; MIB]);
    while left > 0 {
        let wanted = left.min(MIB);
        bytes.read_exact(&mut piece[..wanted]).unwrap();
        name.update(&piece[..wanted]);
        left -= wanted;
    }
    name.try_finalize().unwrap()
}

/// What [`repeats`] makes.
fn repeated(base: &[u8], size: usize) -> ObjectId {
    let mut name = gix_hash::hasher(gix_hash::Kind::Sha1);
    name.update(&gix_object::encode::loose_header(Kind::Blob, size as u64));
    (0..size / base.len()).for_each(|_| name.update(base));
    name.try_finalize().unwrap()
}

/// A folder with one file.
fn holds(blob: ObjectId) -> Vec<u8> {
    tree(&[("100644", "large", blob)])
}

/// Three commits upon each other, each with another `large`: the first is stored whole, the second as a
/// delta on the first, the third as a delta on the second. Who asks for one without the others gets
/// it whole: the server has to build it, and what it is built from.
#[test]
fn large_blobs_that_can_not_go_out_as_they_are_stored() {
    const SIZE: usize = 200 * MIB;
    let victim = Victim::new();
    let base: Vec<u8> = (0..2 * MIB as u64).flat_map(u64::to_be_bytes).collect();
    let blobs = [
        id(Kind::Blob, &base),
        repeated(&base[..8 * MIB], SIZE),
        repeated(&base[..4 * MIB], SIZE - 8 * MIB),
    ];
    let trees = blobs.map(holds);
    let tree_ids: Vec<_> = trees.iter().map(|tree| id(Kind::Tree, tree)).collect();
    let one = commit_of(&tree_ids[0]);
    let parent = format!("parent {}\n", id(Kind::Commit, &one));
    let two = commit_upon(&tree_ids[1], &parent);
    let parent = format!("parent {}\n", id(Kind::Commit, &two));
    let three = commit_upon(&tree_ids[2], &parent);
    let tips = [&one, &two, &three].map(|commit| id(Kind::Commit, commit).to_string());

    let mut pack = Pack::new();
    for (commit, tree) in [&one, &two, &three].into_iter().zip(&trees) {
        pack = pack.whole(Kind::Commit, commit).whole(Kind::Tree, tree);
    }
    let first = pack.offset();
    let pack = pack.whole(Kind::Blob, &base);
    let second = pack.offset();
    let pack = pack
        .on_offset(first, &repeats(base.len(), 8 * MIB, SIZE))
        .on_offset(second, &repeats(SIZE, 4 * MIB, SIZE - 8 * MIB));
    let mut body = commands(&[
        (NOTHING, &tips[0], "refs/heads/one"),
        (NOTHING, &tips[1], "refs/heads/two"),
        (NOTHING, &tips[2], "refs/heads/three"),
    ]);
    body.extend(pack.finish());
    let answer = victim.posts("receive-pack", "", &body);
    assert!(answer.contains("ok refs/heads/three"), "{answer}");
    victim.is_modest("the push");

    // One commit alone, whose base is not sent. What comes is named right, or git would say so.
    for (via, branch) in [(Via::Http, "two"), (Via::Ssh, "three")] {
        let copy = victim.client(&format!("shallow-{branch}"));
        let url = victim.url(via);
        let clone = [
            "clone",
            "--quiet",
            "--bare",
            "--depth=1",
            "-b",
            branch,
            &url,
        ];
        copy.git_with(&[&clone[..], &["."]].concat(), b"")
            .succeeds();
        let large = copy.git("rev-parse HEAD:large").succeeds();
        assert!(blobs.map(|blob| blob.to_string()).contains(&large));
        victim.is_modest("a shallow clone");
    }
    // The client has the base, and takes no thin packs.
    let copy = victim.client("behind");
    let url = victim.url(Via::Ssh);
    let clone = [
        "clone",
        "--quiet",
        "--bare",
        "--single-branch",
        "-b",
        "one",
        &url,
        ".",
    ];
    copy.git_with(&clone, b"").succeeds();
    copy.git_with(
        &["fetch-pack", "--no-progress", &url, "refs/heads/two"],
        b"",
    )
    .succeeds();
    copy.git_with(&["cat-file", "-e", &blobs[1].to_string()], b"")
        .succeeds();
    victim.is_modest("a fetch of no thin pack");
    // And takes them; and has nothing at all.
    copy.git_with(&["fetch", "--quiet", &url, "refs/heads/three"], b"")
        .succeeds();
    let whole = victim.client("whole");
    let url = victim.url(Via::Http);
    whole
        .git_with(&["clone", "--quiet", "--bare", &url, "."], b"")
        .succeeds();
    victim.is_modest("a clone");

    let remote = format!("--remote={}", victim.url(Via::Ssh));
    let archive = ["archive", &remote, "--format=tar", "-o", "two.tar", "two"];
    copy.git_with(&archive, b"").succeeds();
    let mut tar = fs::File::open(copy.path.join("two.tar")).unwrap();
    // A header that names the commit, its text, and the file's header.
    tar.read_exact(&mut [0; 3 * 512]).unwrap();
    assert_eq!(blob_id(SIZE, tar), blobs[1]);
    victim.is_modest("an archive");

    let mut file = asks(&victim, "two", "");
    assert_eq!(blob_id(SIZE, &mut file), blobs[1]);
    let mut part = asks(&victim, "three", "range: bytes=4194300-4194307\r\n");
    let mut bytes = [0; 8];
    part.read_exact(&mut bytes).unwrap();
    assert_eq!(bytes[..4], base[4 * MIB - 4..4 * MIB]);
    assert_eq!(bytes[4..], base[..4]);
    victim.is_modest("a file read by API");

    let gone = "push --quiet origin :one :two :three";
    victim.source().git(gone).succeeds();
    victim.is_unharmed("large blobs");
}

/// The answer's body to a request for `large` in this branch.
fn asks(victim: &Victim, branch: &str, headers: &str) -> impl Read {
    let mut stream = victim.connects();
    let token = victim.token();
    let request = format!(
        "GET /api/v1/repos/file?repo=admin/novel&path=large&ref={branch} HTTP/1.1\r\nhost: victim\r\n\
         authorization: Bearer {token}\r\nconnection: close\r\n{headers}\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = BufReader::new(stream);
    let mut line = String::new();
    answer.read_line(&mut line).unwrap();
    assert!(line.starts_with("HTTP/1.1 20"), "{line}");
    while line != "\r\n" {
        line.clear();
        answer.read_line(&mut line).unwrap();
    }
    answer
}

/// Noise takes as much room deflated: the pack itself is larger than the memory that may be used. What is
/// looked at through a map counts.
#[test]
fn a_pack_larger_than_memory() {
    const SIZE: usize = 192 * MIB;
    let victim = Victim::new();
    let mut state = 1u64;
    let mut noise = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_be_bytes()
    };
    let content: Vec<u8> = (0..SIZE / 8).flat_map(|_| noise()).collect();
    let blob = id(Kind::Blob, &content);
    let listed = holds(blob);
    let commit = commit_of(&id(Kind::Tree, &listed));
    let tip = id(Kind::Commit, &commit).to_string();
    let mut body = commands(&[(NOTHING, &tip, "refs/heads/large")]);
    let pack = Pack::new()
        .whole(Kind::Commit, &commit)
        .whole(Kind::Tree, &listed)
        .whole(Kind::Blob, &content);
    body.extend(pack.finish());
    drop(content);
    let answer = victim.posts("receive-pack", "", &body);
    assert!(answer.contains("ok refs/heads/large"), "{answer}");
    drop(body);
    victim.is_modest("the push");
    for (via, more) in [(Via::Http, "--single-branch"), (Via::Ssh, "--no-tags")] {
        let copy = victim.client(&format!("copy{more}"));
        let url = victim.url(via);
        let clone = ["clone", "--quiet", "--bare", more, "-b", "large", &url, "."];
        copy.git_with(&clone, b"").succeeds();
        victim.is_modest("a clone");
    }
    assert_eq!(blob_id(SIZE, asks(&victim, "large", "")), blob);
    victim.source().git("push --quiet origin :large").succeeds();
    victim.is_unharmed("a large pack");
}
