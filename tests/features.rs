//! What version 2 and newer clients may ask for beyond a clone: each asked for by the stock client where
//! it has a word for it, by hand where it has none.

use std::{io::Write as _, process::Stdio};

use crate::support::{Finished, Remote, Server, User, Via, WorkingCopy, clean_command};

fn line(text: &str) -> String {
    format!("{:04x}{text}", text.len() + 4)
}

/// A repository of each format with two commits, cloned over this transport.
fn cloned<'s>(
    server: &'s Server,
    format: &str,
    via: Via,
) -> (User<'s>, Remote, WorkingCopy, WorkingCopy) {
    let alice = server.user(&format!("alice-{format}-{via:?}").to_lowercase());
    let remote = alice.creates_repository_with("novel", &["--object-format", format]);
    let source = alice.clones(&remote, via);
    source.commits("one", "1\n");
    source.commits("two", "twelve bytes");
    source.git("push --quiet origin main").succeeds();
    let copy = alice.clones(&remote, via);
    (alice, remote, source, copy)
}

fn each(story: impl Fn(&User<'_>, &Remote, &WorkingCopy, &WorkingCopy, &str)) {
    let server = Server::start();
    for format in ["sha1", "sha256"] {
        for via in Via::BOTH {
            let (alice, remote, source, copy) = cloned(&server, format, via);
            story(
                &alice,
                &remote,
                &source,
                &copy,
                &format!("{format} {via:?}"),
            );
        }
    }
}

/// Runs git with its packets written down; those packets.
#[track_caller]
fn packets(copy: &WorkingCopy, words: &str) -> String {
    let trace = copy.path.join("packets");
    std::fs::remove_file(&trace).ok();
    let mut traced = copy.clone();
    traced.0.environment.push((
        "GIT_TRACE_PACKET".to_owned(),
        trace.to_str().unwrap().to_owned(),
    ));
    traced.git(words).succeeds();
    std::fs::read_to_string(trace).unwrap()
}

/// `wait-for-done`: what both have in common, without any pack.
#[test]
fn a_client_may_negotiate_and_fetch_nothing() {
    each(|_, _, source, copy, what| {
        let shared = copy.head();
        copy.commits("mine", "m\n");
        source.commits("theirs", "t\n");
        source.git("push --quiet origin main").succeeds();
        let common = copy.git("fetch --negotiate-only --negotiation-tip=HEAD origin");
        let common = common.succeeds();
        assert_eq!(common.lines().next(), Some(&*shared), "{what}: {common}");
        let theirs = source.head();
        let missing = copy.git_with(&["cat-file", "-e", &theirs], b"");
        assert!(!missing.succeeded(), "{what}: nothing was to be fetched");
    });
}

#[test]
fn a_branch_is_wanted_by_its_name() {
    each(|_, _, source, copy, what| {
        let newer = source.commits("three", "3\n");
        source.git("push --quiet origin main").succeeds();
        let said = packets(copy, "fetch origin refs/heads/main");
        assert!(
            said.contains("> want-ref refs/heads/main"),
            "{what}: {said}"
        );
        let answer = format!("< {newer} refs/heads/main");
        assert!(
            said.contains("< wanted-refs") && said.contains(&answer),
            "{what}: {said}"
        );
        copy.git_with(&["cat-file", "-e", &newer], b"").succeeds();
    });
}

/// Options for the server mean nothing here, and are taken.
#[test]
fn options_for_the_server_are_taken() {
    each(|_, _, _, copy, what| {
        for words in [
            "ls-remote -o one=1 -o two origin",
            "fetch -o one=1 -o two origin main",
        ] {
            let said = packets(copy, words);
            for option in ["> server-option=one=1", "> server-option=two"] {
                assert!(said.contains(option), "{what}, {words}: {said}");
            }
        }
    });
}

#[test]
fn options_of_a_push_are_taken_and_reported_upon() {
    each(|_, _, source, _, what| {
        source.commits("three", "3\n");
        let said = packets(source, "push -o ci.skip -o note=a;b,c origin main");
        for packet in [
            "> ci.skip",
            "> note=a;b,c",
            "report-status-v2",
            "< unpack ok",
            "< ok refs/heads/main",
        ] {
            assert!(said.contains(packet), "{what}: no {packet} in {said}");
        }
    });
}

/// Asks for sizes as no stock client of these days does.
fn object_info(user: &User<'_>, remote: &Remote, via: Via, request: &str) -> String {
    match via {
        Via::Http => {
            let url = user.url(remote, via) + "/git-upload-pack";
            let mut curl = clean_command("curl", &user.new_folder().home);
            curl.args(["--silent", "--fail", "--header", "Git-Protocol: version=2"])
                .args([
                    "--header",
                    "Content-Type: application/x-git-upload-pack-request",
                ])
                .args(["--data-binary", "@-", &url]);
            Finished::run(curl, request.as_bytes()).succeeds()
        }
        Via::Ssh => {
            let folder = user.new_folder();
            let (_, ssh) = &folder.environment[0];
            let url = user.url(remote, via);
            let (address, path) = url
                .strip_prefix("ssh://git@")
                .and_then(|rest| rest.split_once('/'))
                .unwrap();
            let (host, port) = address.split_once(':').unwrap();
            let line = format!(
                "exec {ssh} -o SendEnv=GIT_PROTOCOL -p {port} git@{host} \"git-upload-pack '{path}'\""
            );
            let mut shell = clean_command("sh", &folder.home);
            shell
                .args(["-c", &line])
                .env("GIT_PROTOCOL", "version=2")
                .stdin(Stdio::piped())
                .stdout(Stdio::piped());
            let mut child = shell.spawn().unwrap();
            let mut input = child.stdin.take().unwrap();
            input.write_all(request.as_bytes()).unwrap();
            input.write_all(b"0000").unwrap();
            drop(input);
            let output = child.wait_with_output().unwrap();
            String::from_utf8(output.stdout).unwrap()
        }
    }
}

#[test]
fn sizes_of_objects_are_told_without_the_objects() {
    let server = Server::start();
    for format in ["sha1", "sha256"] {
        for via in Via::BOTH {
            let (alice, remote, source, _) = cloned(&server, format, via);
            let blob = source.git("rev-parse HEAD:two").succeeds();
            let absent = "1".repeat(blob.len());
            let request = [
                &line("command=object-info"),
                &line(&format!("object-format={format}")),
                "0001",
                &line("size"),
                &line(&format!("oid {blob}")),
                &line(&format!("oid {absent}")),
                "0000",
            ]
            .concat();
            let said = object_info(&alice, &remote, via, &request);
            let answer = [
                &line("size"),
                &line(&format!("{blob} 12")),
                &line(&format!("{absent} ")),
                "0000",
            ]
            .concat();
            assert!(said.ends_with(&answer), "{format} {via:?}: {said}");
        }
    }
}
