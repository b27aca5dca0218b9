//! Clone, fetch and push with the stock git: both transports, three protocol versions, two hashes.

use crate::support::{Remote, Server, User, Via, WorkingCopy};

const FORMATS: [&str; 2] = ["sha1", "sha256"];

/// Branches, merges, tags of both kinds, renames, modes, an empty file, a binary one and a symlink.
fn a_small_history(copy: &WorkingCopy) {
    copy.git("switch --quiet -c main").succeeds();
    copy.commits("README", "A novel\n");
    for chapter in 1..=12 {
        let text: String = (0..80)
            .map(|line| format!("{chapter}:{line} it was a dark night\n"))
            .collect();
        copy.commits(&format!("chapters/{chapter:02}.txt"), &text);
    }
    copy.git("tag light").succeeds();
    copy.git("switch --quiet -c feature HEAD~5").succeeds();
    copy.commits("chapters/extra.txt", "more\n");
    std::fs::write(
        copy.path.join("cover.bin"),
        (0..=255u8).cycle().take(40_000).collect::<Vec<_>>(),
    )
    .unwrap();
    std::os::unix::fs::symlink("README", copy.path.join("link")).unwrap();
    copy.commits("empty", "");
    copy.git("add -A").succeeds();
    copy.git("commit --quiet -m Binary").succeeds();
    copy.git("switch --quiet main").succeeds();
    copy.git("merge --quiet --no-edit feature").succeeds();
    copy.git("mv chapters/01.txt chapters/one.txt").succeeds();
    copy.git("commit --quiet -m Rename").succeeds();
    copy.git("tag -a -m Annotated v1.0").succeeds();
    copy.git("tag -a -m Nested v1.0-nested v1.0").succeeds();
    copy.git("notes add -m Remark HEAD").succeeds();
}

fn pushed<'s>(
    server: &'s Server,
    user: &User<'s>,
    format: &str,
    via: Via,
) -> (Remote, WorkingCopy) {
    let name = format!(
        "novel-{format}-{}",
        if via == Via::Ssh { "ssh" } else { "http" }
    );
    let remote = user.creates_repository_with(&name, &["--object-format", format]);
    let source = WorkingCopy(user.new_folder());
    source
        .git(&format!("init --quiet --object-format={format} ."))
        .succeeds();
    a_small_history(&source);
    source
        .git_with(&["remote", "add", "origin", &user.url(&remote, via)], b"")
        .succeeds();
    source.git("push --quiet --mirror origin").succeeds();
    assert!(server.data().exists());
    (remote, source)
}

#[test]
fn what_was_pushed_is_what_every_client_clones() {
    let server = Server::start();
    let alice = server.user("alice");
    for format in FORMATS {
        for pushed_via in Via::BOTH {
            let (remote, source) = pushed(&server, &alice, format, pushed_via);
            for via in Via::BOTH {
                for version in ["0", "1", "2"] {
                    let folder = alice.new_folder();
                    let protocol = format!("protocol.version={version}");
                    folder
                        .git_with(
                            &[
                                "-c",
                                &protocol,
                                "clone",
                                "--quiet",
                                "--mirror",
                                &alice.url(&remote, via),
                                ".",
                            ],
                            b"",
                        )
                        .succeeds();
                    assert_eq!(folder.refs(), source.refs(), "{format} {via:?} v{version}");
                    assert_eq!(
                        folder.objects(),
                        source.objects(),
                        "{format} {via:?} v{version}"
                    );
                    folder.is_sound();
                }
            }
        }
    }
}

#[test]
fn new_commits_travel_both_ways_and_old_ones_do_not_travel_again() {
    let server = Server::start();
    let alice = server.user("alice");
    for format in FORMATS {
        for via in Via::BOTH {
            let (remote, source) = pushed(&server, &alice, format, via);
            let reader = alice.clones(&remote, via);
            for count in [1, 10, 1000] {
                source.commits_many(count);
                source.git("push --quiet origin main").succeeds();
                for version in ["0", "1", "2"] {
                    let behind = WorkingCopy(alice.new_folder());
                    behind
                        .git_with(
                            &[
                                "clone",
                                "--quiet",
                                "--no-local",
                                reader.path.to_str().unwrap(),
                                ".",
                            ],
                            b"",
                        )
                        .succeeds();
                    behind
                        .git_with(
                            &["remote", "set-url", "origin", &alice.url(&remote, via)],
                            b"",
                        )
                        .succeeds();
                    let protocol = format!("protocol.version={version}");
                    behind
                        .git_with(&["-c", &protocol, "fetch", "--quiet", "origin"], b"")
                        .succeeds();
                    assert_eq!(
                        behind.git("rev-parse origin/main").succeeds(),
                        source.head()
                    );
                    behind.is_sound();
                    let counted = behind.git("count-objects -v").succeeds();
                    assert!(!counted.contains("garbage: 1"), "{counted}");
                }
                reader.git("pull --quiet origin main").succeeds();
                assert_eq!(reader.head(), source.head());
                let again = reader.git("fetch origin");
                again.succeeds();
                assert_eq!(again.stderr(), "", "nothing is left to fetch");
            }
        }
    }
}

#[test]
fn refs_are_forced_deleted_and_moved_together_as_git_asks() {
    let server = Server::start();
    let alice = server.user("alice");
    for via in Via::BOTH {
        let (remote, source) = pushed(&server, &alice, "sha1", via);
        let other = alice.clones(&remote, via);
        let before = other.head();

        source.git("switch --quiet -c topic").succeeds();
        source.commits("topic.txt", "one\n");
        source.git("push --quiet origin topic").succeeds();
        source.git("commit --quiet --amend -m Amended").succeeds();
        source
            .git("push origin topic")
            .fails_with("non-fast-forward");
        source.git("push --quiet --force origin topic").succeeds();
        other.git("fetch --quiet origin").succeeds();
        assert_eq!(
            other.git("rev-parse origin/topic").succeeds(),
            source.head()
        );

        source
            .git("push --quiet origin :topic :refs/tags/light")
            .succeeds();
        let listed = other.git("ls-remote origin").succeeds();
        assert!(
            !listed.contains("topic") && !listed.contains("refs/tags/light"),
            "{listed}"
        );

        // Somebody else was faster: the stale half of an atomic push takes the fresh half with it.
        source.git("switch --quiet main").succeeds();
        source.commits("main.txt", "one\n");
        source.git("push --quiet origin main").succeeds();
        other.commits("other.txt", "two\n");
        other.git("branch fresh").succeeds();
        other
            .git("push --atomic origin main fresh")
            .fails_with("atomic");
        assert!(!other.git("ls-remote origin").succeeds().contains("fresh"));
        other
            .git("push origin main fresh")
            .fails_with("[new branch]");
        let listed = other.git("ls-remote origin").succeeds();
        assert!(listed.contains("refs/heads/fresh"));
        assert!(listed.contains(&format!("{}\trefs/heads/main", source.head())));
        assert_ne!(before, source.head());
    }
}

#[test]
fn an_atomic_push_with_one_refused_ref_moves_none() {
    let server = Server::start();
    let alice = server.user("alice");
    for via in Via::BOTH {
        let (_, source) = pushed(&server, &alice, "sha1", via);
        source.git("branch good").succeeds();
        let refused = source.git("push --atomic origin good :main");
        refused.fails_with("main");
        assert!(
            !source
                .git("ls-remote origin")
                .succeeds()
                .contains("refs/heads/good")
        );
        source
            .git("push origin good :main")
            .fails_with("[new branch]");
        assert!(
            source
                .git("ls-remote origin")
                .succeeds()
                .contains("refs/heads/good")
        );
    }
}

#[test]
fn an_empty_repository_clones_and_takes_its_first_push() {
    let server = Server::start();
    let alice = server.user("alice");
    for via in Via::BOTH {
        for version in ["0", "2"] {
            let name = format!("empty-{via:?}-{version}").to_lowercase();
            let remote = alice.creates_repository_with(&name, &["--default-branch", "trunk"]);
            let protocol = format!("protocol.version={version}");
            let copy = alice.clones_with(&remote, via, &["-c", &protocol]);
            if version == "2" {
                assert_eq!(copy.git("symbolic-ref HEAD").succeeds(), "refs/heads/trunk");
            }
            copy.git("switch --quiet -c trunk").stderr();
            copy.commits("first", "1\n");
            copy.git("push --quiet origin trunk").succeeds();
            assert_eq!(alice.clones(&remote, via).head(), copy.head());
        }
    }
}

#[test]
fn clone_urls_may_leave_the_suffix_out_and_names_may_be_nested() {
    let server = Server::start();
    let alice = server.user("alice");
    let remote = alice.creates_repository("group/sub/novel");
    for via in Via::BOTH {
        let url = alice.url(&remote, via);
        for url in [
            url.as_str(),
            url.trim_end_matches(".git"),
            &format!("{url}/"),
        ] {
            alice
                .new_folder()
                .git_with(&["ls-remote", url], b"")
                .succeeds();
        }
    }
}

#[test]
fn single_branches_included_tags_and_object_filters_arrive_as_asked() {
    let server = Server::start();
    let alice = server.user("alice");
    for via in Via::BOTH {
        let (remote, source) = pushed(&server, &alice, "sha1", via);
        let single = alice.clones_with(&remote, via, &["--single-branch", "--branch", "feature"]);
        assert_eq!(single.head(), source.git("rev-parse feature").succeeds());
        single.is_sound();

        let tagged = alice.clones_with(&remote, via, &["--single-branch", "--branch", "main"]);
        let tags = tagged.git("tag").succeeds();
        assert_eq!(tags, "light\nv1.0\nv1.0-nested");

        let blobless = alice.clones_with(&remote, via, &["--filter=blob:none", "--no-checkout"]);
        let missing = blobless
            .git("rev-list --objects --all --missing=print")
            .succeeds();
        let missing = missing.lines().filter(|line| line.starts_with('?')).count();
        assert!(missing > 10, "{missing} blobs were left out");
        blobless.git("checkout --quiet main").succeeds();
        assert_eq!(
            blobless.reads("README"),
            "A novel\n",
            "blobs come when they are needed"
        );
    }
}
