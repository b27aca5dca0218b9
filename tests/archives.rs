//! `git archive --remote` over SSH.

use crate::support::{Remote, Server, User, Via, WorkingCopy};

fn pushed(user: &User<'_>, format: &str) -> (Remote, WorkingCopy, String) {
    let name = format!("archived-{format}");
    let remote = user.creates_repository_with(&name, &["--object-format", format]);
    let source = WorkingCopy(user.new_folder());
    source
        .git(&format!("init --quiet --object-format={format} ."))
        .succeeds();
    source.commits("secret.txt", "not for everybody\n");
    source.commits(
        ".gitattributes",
        "secret.txt export-ignore\nVERSION export-subst\n",
    );
    source.commits("VERSION", "$Format:%H %an %ad$\n");
    source.commits("src/large.txt", &"a line of a large file\n".repeat(100_000));
    source.commits("src/small.c", "int main;\n");
    source.git("tag -a -m Annotated v1").succeeds();
    source.commits("src/later.c", "int later;\n");
    let url = user.url(&remote, Via::Ssh);
    source
        .git_with(&["remote", "add", "origin", &url], b"")
        .succeeds();
    source.git("push --quiet --mirror origin").succeeds();
    (remote, source, format!("--remote={url}"))
}

#[test]
fn an_archive_from_afar_is_the_one_made_at_home() {
    let server = Server::start();
    let alice = server.user("alice");
    for format in ["sha1", "sha256"] {
        let (_, source, remote) = pushed(&alice, format);
        for arguments in [
            &["main"][..],
            &["--format=tar", "HEAD"],
            &["--prefix=novel-1.0/", "v1"],
            &["refs/tags/v1", "src"],
            &["--mtime=@1500000000", "main:src"],
            &["main", "*.c"],
        ] {
            let near = source.git_with(&[&["archive"], arguments].concat(), b"");
            let far = source.git_with(&[&["archive", &remote], arguments].concat(), b"");
            assert!(near.bytes() == far.bytes(), "{format} {arguments:?}");
        }
        for (option, level) in [
            ("tgz", "-1"),
            ("tar.gz", "-9"),
            ("zip", "-0"),
            ("zip", "-6"),
        ] {
            let option = format!("--format={option}");
            let far = source.git_with(&["archive", &remote, &option, level, "main"], b"");
            let far = far.bytes();
            let magic: &[u8] = if option.ends_with("zip") {
                b"PK\x03\x04"
            } else {
                b"\x1f\x8b"
            };
            assert!(far.starts_with(magic), "{option}");
        }
    }
}

#[test]
fn formats_and_paths_are_told_when_asked_for() {
    let server = Server::start();
    let alice = server.user("alice");
    let (_, source, remote) = pushed(&alice, "sha1");
    let listed = source
        .git_with(&["archive", &remote, "--list"], b"")
        .succeeds();
    assert_eq!(listed, "tar\ntgz\ntar.gz\nzip");
    let verbose = source.git_with(&["archive", &remote, "-v", "main"], b"");
    let told = verbose.stderr();
    for path in ["VERSION", "src/", "src/large.txt", "src/small.c"] {
        assert!(
            told.lines().any(|line| line.trim_end().ends_with(path)),
            "{told}"
        );
    }
    assert!(!told.contains("secret"), "{told}");
}

#[test]
fn only_what_a_ref_names_may_be_archived_and_only_by_those_who_may_fetch() {
    let server = Server::start();
    let (alice, bob) = (server.user("alice"), server.user("bob"));
    let (_, source, remote) = pushed(&alice, "sha1");
    let hash = source.head();
    for (arguments, words) in [
        (&[&*hash][..], "no such ref"),
        (&["main~1"], "no such ref: main~1"),
        (&["nowhere"], "no such ref: nowhere"),
        (&["main:nowhere"], "not a valid object name: main:nowhere"),
        (&["main:VERSION"], "not a tree object"),
        (
            &["main", "nowhere"],
            "pathspec 'nowhere' did not match any files",
        ),
        (&["--format=rar", "main"], "Unknown archive format 'rar'"),
        (
            &["-9", "main"],
            "Argument not supported for format 'tar': -9",
        ),
        (&["main", ":(glob)x"], "magic"),
    ] {
        let refused = source.git_with(&[&["archive", &remote], arguments].concat(), b"");
        refused.fails_with(words);
    }
    let folder = bob.new_folder();
    folder
        .git_with(&["archive", &remote, "main"], b"")
        .fails_with("repository not found");
}
