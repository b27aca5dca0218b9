//! Bytes that are no protocol: bad pkt-lines, endless requests, wants of what is not shown.

use packhorse_protocol::pkt_line;

use super::scene::{NOTHING, Victim, commands, lines};
use crate::support::{Finished, clean_command};

const V2: &str = "git-protocol: version=2\r\n";

#[test]
fn bad_pkt_lines_are_named() {
    let victim = Victim::new();
    for service in ["upload-pack", "receive-pack"] {
        for headers in ["", V2] {
            for (bytes, expected) in [
                (b"0003".as_slice(), "pkt-line"),
                (b"zzzz", "not four hex digits"),
                (b"+00a", "not four hex digits"),
                (b"fff1", "at most"),
                (b"ffff", "at most"),
                (b"GET / HTTP/1.1\r\n\r\n", "not four hex digits"),
            ] {
                let answer = victim.posts(service, headers, bytes);
                assert!(
                    answer.contains(expected),
                    "{service} {headers:?} {bytes:?}: {expected:?} is not in {answer:?}"
                );
            }
        }
    }
    victim.is_unharmed("bad pkt-lines");
}

#[test]
fn bad_pkt_lines_are_named_over_ssh_too() {
    let victim = Victim::new();
    let source = victim.source();
    let (_, line) = &source.environment[0];
    let port = victim.server.addresses.ssh.unwrap().port().to_string();
    for service in ["git-upload-pack", "git-receive-pack"] {
        let mut words = line.split_whitespace();
        let mut ssh = clean_command(words.next().unwrap(), &source.home);
        ssh.args(words)
            .args(["-p", &port, "git@127.0.0.1"])
            .arg(format!("{service} 'admin/novel.git'"));
        Finished::run(ssh, b"zzzz").fails_with("not four hex digits");
    }
    victim.is_unharmed("bad pkt-lines over SSH");
}

#[test]
fn requests_without_end_or_sense_are_refused() {
    let victim = Victim::with_limits("fetch_request_bytes = 4194304");
    let want = format!("want {}", victim.tip());
    let have = "have 3333333333333333333333333333333333333333";
    let fetch = ["command=fetch", "object-format=sha1", "0001"];
    let with = |more: &[&str]| lines(&[&fetch[..], more].concat());
    let endless = with(&vec![have; 100_000]);
    let absent = "want 4444444444444444444444444444444444444444";
    let deep_filter = format!("filter {}tree:0", "combine:".repeat(1_000));
    let wide_filter = format!("filter combine:{}", vec!["tree:0"; 1_000].join("+"));
    for (name, body, expected) in [
        ("haves without end", endless, "413"),
        ("no such command", lines(&["command=reboot"]), "reboot"),
        ("no object at all", with(&["want x"]), "ERR "),
        (
            "an object that nobody has",
            with(&[absent, "done"]),
            "not our ref",
        ),
        (
            "a deep filter",
            with(&[&want, &deep_filter, "done"]),
            "ERR ",
        ),
        (
            "a wide filter",
            with(&[&want, &wide_filter, "done"]),
            "ERR ",
        ),
        (
            "a depth of less than none",
            with(&[&want, "deepen -1", "done"]),
            "ERR ",
        ),
        (
            "another hash",
            lines(&["command=ls-refs", "object-format=sha256"]),
            "ERR ",
        ),
    ] {
        let answer = victim.posts("upload-pack", V2, &body);
        assert!(
            answer.contains(expected),
            "{name}: {expected:?} is not in {answer:?}"
        );
    }
    victim.is_unharmed("requests without sense");
}

/// What another repository or a deleted branch holds is not given out by its name (GitHub's "CFOR").
#[test]
fn objects_that_no_ref_shows_are_not_our_refs() {
    let victim = Victim::new();
    let source = victim.source();
    let public = source.head();
    let secret = source.commits("secret", "hidden\n");
    source
        .git("push --quiet origin main:refs/heads/other")
        .succeeds();
    source
        .git("push --quiet origin :refs/heads/other")
        .succeeds();
    source
        .git(&format!("reset --quiet --hard {public}"))
        .succeeds();
    let want = format!("want {secret}");
    let fetch = ["command=fetch", "object-format=sha1", "0001", &want, "done"];
    let answer = victim.posts("upload-pack", V2, &lines(&fetch));
    assert!(answer.contains("not our ref"), "{answer}");
    let want = format!("want {secret} no-done");
    let answer = victim.posts(
        "upload-pack",
        "",
        &[lines(&[&want]), b"0009done\n".to_vec()].concat(),
    );
    assert!(answer.contains("not our ref"), "{answer}");
    victim.is_unharmed("a want of what is hidden");
}

/// A few kilobytes that inflate to gigabytes, for every route that takes a body.
#[test]
fn compressed_bombs_are_cut_off() {
    let victim = Victim::with_limits("fetch_request_bytes = 1048576\npush_pack_bytes = 1048576");
    let mut gzip = clean_command("gzip", &victim.source().home);
    gzip.arg("-9c");
    let bomb = Finished::run(gzip, &vec![b'0'; 256 << 20]).bytes();
    assert!(bomb.len() < 1 << 20);
    let mut have = Vec::new();
    let line = "have 3333333333333333333333333333333333333333";
    for _ in 0..1_000_000 {
        pkt_line::write_data(line.as_bytes(), &mut have).unwrap();
    }
    let begin = lines(&["command=fetch", "0001"]);
    let haves = [&begin[..begin.len() - 4], &have].concat();
    let mut gzip = clean_command("gzip", &victim.source().home);
    gzip.arg("-9c");
    let haves = Finished::run(gzip, &haves).bytes();
    let packed = |headers: &str| format!("content-encoding: gzip\r\n{headers}");
    let answer = victim.posts("upload-pack", &packed(V2), &haves);
    assert!(answer.contains(" 413 "), "{answer}");
    for service in ["upload-pack", "receive-pack"] {
        for headers in ["", V2] {
            // All zeros are flush after flush: a polite end, at once.
            let answer = victim.posts(service, &packed(headers), &bomb);
            assert!(answer.starts_with("HTTP/1.1 "), "{service}: {answer}");
        }
    }
    victim.is_unharmed("compressed bombs");
}

/// The first command is right, the pack that follows is the bomb.
#[test]
fn a_compressed_push_that_never_ends_is_cut_off() {
    let victim = Victim::with_limits("push_pack_bytes = 4194304");
    let mut body = commands(&[(
        NOTHING,
        "1111111111111111111111111111111111111111",
        "refs/heads/evil",
    )]);
    // One stored entry that goes on and on.
    body.extend_from_slice(b"PACK\0\0\0\x02\0\0\0\x01\xb0\x80\x80\x80\x01\x78\x01");
    for _ in 0..2_000 {
        body.extend_from_slice(&[0, 0xff, 0xff, 0, 0]);
        body.extend(vec![b'0'; 0xffff]);
    }
    let mut gzip = clean_command("gzip", &victim.source().home);
    gzip.arg("-9c");
    let bomb = Finished::run(gzip, &body).bytes();
    assert!(bomb.len() < 1 << 20);
    let answer = victim.posts("receive-pack", "content-encoding: gzip\r\n", &bomb);
    assert!(
        answer.contains("more than 4194304 bytes in the pack"),
        "{answer}"
    );
    victim.is_unharmed("a compressed push");
}
