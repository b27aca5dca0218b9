//! Partial clones: what each filter leaves, and how the rest comes when it is needed.

use crate::support::{Remote, Server, User, Via, WorkingCopy};

/// A history with folders, files of several sizes, tags, and a list of patterns beside the code.
fn pushed(user: &User<'_>, format: &str, via: Via) -> (Remote, WorkingCopy) {
    let name = format!("partial-{format}-{via:?}").to_lowercase();
    let remote = user.creates_repository_with(&name, &["--object-format", format]);
    let source = WorkingCopy(user.new_folder());
    source
        .git_with(&["init", "-q", "--object-format", format, "."], b"")
        .succeeds();
    let mut stream = String::new();
    for number in 1..=12u32 {
        let at = 1_700_000_000 + number * 3600;
        stream += &format!(
            "commit refs/heads/main\nmark :{number}\ncommitter C <c@example.com> {at} +0000\ndata 2\nc\n"
        );
        let mut file = |path: &str, text: String| {
            stream += &format!("M 100644 inline {path}\ndata {}\n{text}\n", text.len());
        };
        file("README", format!("version {number}\n"));
        file(
            "src/lib/deep/code.c",
            format!("int v = {number};\n").repeat(80),
        );
        file(
            &format!("docs/page-{}.md", number % 3),
            "text\n".repeat(number as usize),
        );
        file("assets/image.bin", "binary".repeat(900 + number as usize));
        file(
            ".sparse",
            "/*\n!/assets/\n!*.md\n/docs/page-1.md\n".to_owned(),
        );
    }
    stream += "tag v1\nfrom :6\ntagger C <c@example.com> 1700000000 +0000\ndata 2\nt\n\n";
    source
        .git_with(&["fast-import", "--quiet"], stream.as_bytes())
        .succeeds();
    source
        .git_with(&["remote", "add", "origin", &user.url(&remote, via)], b"")
        .succeeds();
    source.git("push --quiet --mirror origin").succeeds();
    source.git("reset --quiet --hard").succeeds();
    (remote, source)
}

/// Objects that lie in the clone itself, whatever its server could add.
#[track_caller]
fn held(copy: &WorkingCopy) -> Vec<String> {
    let listed = copy.git("cat-file --batch-all-objects --batch-check=%(objectname)");
    listed.succeeds().lines().map(str::to_owned).collect()
}

#[test]
fn each_filter_leaves_in_a_clone_what_git_lists_for_it() {
    let server = Server::start();
    let alice = server.user("alice");
    for via in Via::BOTH {
        for format in ["sha1", "sha256"] {
            let (remote, source) = pushed(&alice, format, via);
            for filter in [
                "blob:none",
                "blob:limit=1k",
                "tree:0",
                "tree:1",
                "tree:3",
                "object:type=commit",
                "object:type=tree",
                "sparse:oid=main:.sparse",
                "combine:sparse:oid=main:.sparse+tree:4",
                "combine:blob:limit=100+tree:2",
            ] {
                // Both versions ask by the same line; one filter shows that both let it through.
                let versions: &[&str] = match filter {
                    "blob:limit=1k" => &["0", "2"],
                    _ => &["2"],
                };
                for version in versions {
                    let protocol = format!("protocol.version={version}");
                    let option = format!("--filter={filter}");
                    let copy = alice.clones_with(
                        &remote,
                        via,
                        &["-c", &protocol, "--quiet", "--mirror", &option],
                    );
                    let listed = source.git_with(
                        &[
                            "rev-list",
                            "--objects",
                            "--all",
                            "--no-object-names",
                            &option,
                        ],
                        b"",
                    );
                    let listed = listed.succeeds();
                    let mut listed: Vec<_> = listed.lines().collect();
                    listed.sort_unstable();
                    listed.dedup();
                    assert_eq!(held(&copy), listed, "{via:?} {format} v{version} {filter}");
                }
            }
        }
    }
}

#[test]
fn what_a_clone_left_out_comes_when_it_is_needed() {
    let server = Server::start();
    let alice = server.user("alice");
    for via in Via::BOTH {
        for (format, filters) in [
            ("sha1", &["blob:none", "sparse:oid=main:.sparse"][..]),
            ("sha256", &["tree:0"]),
        ] {
            let (remote, source) = pushed(&alice, format, via);
            for &filter in filters {
                let option = format!("--filter={filter}");
                let copy = alice.clones_with(&remote, via, &["--quiet", "--no-checkout", &option]);
                let before = held(&copy).len();
                copy.git("checkout --quiet main").succeeds();
                assert!(held(&copy).len() > before, "{filter}");
                assert_eq!(copy.reads("README"), "version 12\n");
                let old = copy
                    .git("cat-file -p main~9:src/lib/deep/code.c")
                    .succeeds();
                assert_eq!(
                    old,
                    source
                        .git("cat-file -p main~9:src/lib/deep/code.c")
                        .succeeds()
                );
                // Single trees and blobs by their ids, as a fetch of git's own asks for them.
                let blob = source.git("rev-parse main~11:docs/page-1.md").succeeds();
                assert_eq!(
                    copy.git_with(&["cat-file", "-p", &blob], b"").succeeds(),
                    "text"
                );
                copy.git("log -p -2").succeeds();
                copy.git("fsck").succeeds();

                // A later fetch leaves out the same again and brings what is new.
                let next = source.commits("later.txt", filter);
                source.git("push --quiet origin main").succeeds();
                copy.git("fetch --quiet origin").succeeds();
                copy.git("merge --quiet --ff-only origin/main").succeeds();
                assert_eq!(copy.head(), next);
                assert_eq!(copy.reads("later.txt"), filter);
                let pushed = copy.commits("from-partial.txt", filter);
                copy.git("push --quiet origin main").succeeds();
                source.git("pull --quiet --ff-only origin main").succeeds();
                assert_eq!(source.head(), pushed);
                // The next round expects the history as it was.
                source.git("reset --quiet --hard HEAD~2").succeeds();
                source.git("push --quiet --force origin main").succeeds();
            }
        }
    }
}

#[test]
fn a_filter_that_names_what_nobody_may_see_is_refused_in_gits_words() {
    let server = Server::start();
    let alice = server.user("alice");
    for via in Via::BOTH {
        let (remote, source) = pushed(&alice, "sha1", via);
        // It exists on the server, but no ref reaches it any more.
        source.commits("gone.txt", "/*\n");
        let gone = source.git("rev-parse HEAD:gone.txt").succeeds();
        source.git("push --quiet origin main").succeeds();
        source.git("reset --quiet --hard HEAD~1").succeeds();
        source.git("push --quiet --force origin main").succeeds();
        for (name, words) in [
            (
                "main:nowhere",
                "unable to access sparse blob in 'main:nowhere'",
            ),
            (gone.as_str(), "unable to access sparse blob in"),
            ("main:src", "unable to parse sparse filter data in"),
        ] {
            let option = format!("--filter=sparse:oid={name}");
            let (_, finished) = alice.tries_to_clone(&remote, via, &["--bare", &option]);
            finished.fails_with(words);
        }
    }
}
