//! Whether faults are called what stock git calls them: each object goes through ours and through
//! `git index-pack --strict`.

use std::process::{Command, Stdio};

use gix_hash::ObjectId;
use gix_object::Kind;

use super::{
    Target,
    build::{Builder, PERSON, id, tree},
};
use crate::{git::fixture::Stock, model::ObjectFormat};

/// Whether git takes a pack, and all that it says about it.
#[expect(
    clippy::disallowed_methods,
    reason = "stock git is the judge; this is a test"
)]
fn by_git(stock: &Stock, pack: &[u8]) -> (bool, String) {
    let file = stock.path().join("judged.pack");
    std::fs::write(&file, pack).unwrap();
    let output = Command::new("git")
        .arg("-C")
        .arg(stock.path())
        .args(["index-pack", "--strict", "-o", "judged.idx", "judged.pack"])
        .env("GIT_CONFIG_GLOBAL", "/dev/null")
        .env("GIT_CONFIG_NOSYSTEM", "1")
        .env("LC_ALL", "C")
        .stdout(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.success(), said)
}

/// Both take the objects, with the same warnings, or both refuse them for this.
#[track_caller]
fn agree(stock: &Stock, objects: &[(Kind, &[u8])], expected: Option<&str>) {
    let mut builder = Builder::new();
    for (kind, content) in objects {
        builder = builder.whole(*kind, content);
    }
    let pack = builder.finish();
    let (taken, theirs) = by_git(stock, &pack);
    let ours = Target::new(ObjectFormat::Sha1).ingest(&pack);
    let shown = String::from_utf8_lossy(objects.last().unwrap().1);
    match expected {
        None => {
            assert!(taken, "git: {theirs:?} for {shown:?}");
            let quarantine = ours.unwrap_or_else(|error| panic!("{error} for {shown:?}"));
            let mut ours: Vec<_> = quarantine.notices().lines().collect();
            let mut theirs: Vec<_> = theirs.lines().map(|line| format!("{line}\n")).collect();
            ours.sort();
            theirs.sort();
            assert_eq!(theirs, ours, "{shown:?}");
        }
        Some(message) => {
            assert!(!taken, "git takes {shown:?}");
            let ours = ours.expect_err("git refuses it").to_string();
            let message = format!(": {message}: ");
            // Some commits and tags git can't even parse, which is before it looks for faults.
            let unnamed = ["fatal: invalid commit", "fatal: invalid tag"];
            let said =
                theirs.contains(&message) || unnamed.iter().any(|text| theirs.contains(text));
            assert!(said, "git: {theirs:?} for {shown:?}");
            assert!(ours.contains(&message), "ours: {ours:?} for {shown:?}");
        }
    }
}

#[test]
fn commits_are_judged_as_git_does() {
    let stock = Stock::new(ObjectFormat::Sha1);
    let empty = id(Kind::Tree, b"");
    let good = format!("tree {empty}\nauthor {PERSON}\ncommitter {PERSON}\n\nmessage\n");
    let author = |line: &str| good.replacen(PERSON, line, 1);
    for (text, expected) in [
        (good.clone(), None),
        (good.replace("\n\nmessage\n", "\n"), None),
        (good.replace("\n\n", "\nencoding x\n\n"), None),
        (good.replace("tree", "Tree"), Some("missingTree")),
        (
            good.replacen(&empty.to_string(), "4b82", 1),
            Some("badTreeSha1"),
        ),
        (good.replace("\nauthor", " \nauthor"), Some("badTreeSha1")),
        (
            good.replace("author", "parent x\nauthor"),
            Some("badParentSha1"),
        ),
        (good.replace("author", "auther"), Some("missingAuthor")),
        (
            good.replace("committer", "comitter"),
            Some("missingCommitter"),
        ),
        (
            good.replace("committer", &format!("author {PERSON}\ncommitter")),
            Some("multipleAuthors"),
        ),
        (good.replace("message", "mes\0sage"), Some("nulInCommit")),
        (good.replace("Ann", "A\0n"), Some("nulInHeader")),
        (
            good.replace("\n\nmessage\n", ""),
            Some("unterminatedHeader"),
        ),
        (author("<a@b> 1 +0000"), Some("missingNameBeforeEmail")),
        (author("A> <a@b> 1 +0000"), Some("badName")),
        (author("A"), Some("missingEmail")),
        (author("A<a@b> 1 +0000"), Some("missingSpaceBeforeEmail")),
        (author("A <a@b 1 +0000"), Some("badEmail")),
        (author("A <a@b>1 +0000"), Some("missingSpaceBeforeDate")),
        (author("A <a@b> x +0000"), Some("badDate")),
        (author("A <a@b> 1"), Some("badDate")),
        (author("A <a@b> 0"), Some("zeroPaddedDate")),
        (author("A <a@b> 01 +0000"), Some("zeroPaddedDate")),
        (author("A <a@b> 0 +0000"), None),
        (
            author("A <a@b> 99999999999999999999 +0000"),
            Some("badDateOverflow"),
        ),
        (author("A <a@b> 1 0000"), Some("badTimezone")),
        (author("A <a@b> 1 +00000"), Some("badTimezone")),
    ] {
        agree(
            &stock,
            &[(Kind::Tree, b""), (Kind::Commit, text.as_bytes())],
            expected,
        );
    }
}

#[test]
fn tags_are_judged_as_git_does() {
    let stock = Stock::new(ObjectFormat::Sha1);
    let empty = id(Kind::Tree, b"");
    let good = format!("object {empty}\ntype tree\ntag v1\ntagger {PERSON}\n\nmessage\n");
    for (text, expected) in [
        (good.clone(), None),
        (good.replace(&format!("tagger {PERSON}\n"), ""), None),
        (good.replace("v1", "v 1"), None),
        (good.replace("v1", "v/../1"), None),
        (good.replace("v1", "1.lock"), None),
        (good.replace("v1", "-v@{1"), None),
        (good.replace("v1", ""), None),
        (good.replace("\n\nm", "\nx y\n\nm"), None),
        (good.replace("object ", "objekt "), Some("missingObject")),
        (
            good.replace(&empty.to_string(), "4b82"),
            Some("badObjectSha1"),
        ),
        (good.replace("type ", "tipe "), Some("missingTypeEntry")),
        (good.replace("type tree", "type t"), Some("badType")),
        (good.replace("tag v1", "tug v1"), Some("missingTagEntry")),
        (good.replace("<ann", "ann"), Some("badName")),
    ] {
        agree(
            &stock,
            &[(Kind::Tree, b""), (Kind::Tag, text.as_bytes())],
            expected,
        );
    }
}

#[test]
fn trees_are_judged_as_git_does() {
    let stock = Stock::new(ObjectFormat::Sha1);
    let blob = id(Kind::Blob, b"x");
    let empty = id(Kind::Tree, b"");
    let one = |mode: &'static str, name: &'static str| vec![(mode, name, blob)];
    let folder = |name: &'static str| vec![("40000", name, empty)];
    for (entries, expected) in [
        (one("100644", "a"), None),
        (one("100664", "a"), None),
        (one("120000", ".gitattributes"), None),
        (one("120000", ".gitignore"), None),
        (one("120000", "GITIGN~1"), None),
        (one("120000", ".mailmap"), None),
        (one("120000", ".MailMap"), None),
        (one("120000", "maba30~1"), None),
        (one("100777", "a"), None),
        (
            vec![
                ("100664", "a", blob),
                ("100600", "b", blob),
                ("120000", "gi7d29~1", blob),
            ],
            None,
        ),
        (one("100644", "git~2"), None),
        (one("100644", ".git-x"), None),
        (one("100644", "a/b"), Some("fullPathname")),
        (one("100644", ""), Some("badTree")),
        (folder("."), Some("hasDot")),
        (folder(".."), Some("hasDotdot")),
        (folder(".git"), Some("hasDotgit")),
        (folder(".GiT ."), Some("hasDotgit")),
        (folder("git~1"), Some("hasDotgit")),
        (folder("a\\.git\\b"), Some("hasDotgit")),
        (folder(".g\u{200c}it"), Some("hasDotgit")),
        (one("100644", ".git:x"), Some("hasDotgit")),
        (vec![("040000", "a", empty)], Some("zeroPaddedFilemode")),
        (
            vec![("160000", "a", ObjectId::null(gix_hash::Kind::Sha1))],
            Some("nullSha1"),
        ),
        (one("120000", ".gitmodules"), Some("gitmodulesSymlink")),
        (one("120000", "GITMOD~1"), Some("gitmodulesSymlink")),
        (one("120000", "gi7eba~1"), Some("gitmodulesSymlink")),
        (one("120000", "~1234567"), Some("gitmodulesSymlink")),
        (folder(".gitmodules"), Some("gitmodulesBlob")),
        (folder(".gitattributes"), Some("gitattributesBlob")),
        (
            vec![("100644", "a", blob), ("100755", "a", blob)],
            Some("duplicateEntries"),
        ),
        (
            vec![
                ("100644", "a", blob),
                ("100644", "a.b", blob),
                ("40000", "a", empty),
            ],
            Some("duplicateEntries"),
        ),
        (
            vec![("100644", "b", blob), ("100644", "a", blob)],
            Some("treeNotSorted"),
        ),
        (
            vec![("40000", "a", empty), ("100644", "a.b", blob)],
            Some("treeNotSorted"),
        ),
    ] {
        agree(
            &stock,
            &[
                (Kind::Blob, b"x"),
                (Kind::Tree, b""),
                (Kind::Tree, &tree(&entries)),
            ],
            expected,
        );
    }
    let malformed = [
        &b"100644 a"[..],
        b"100644 a\0short",
        b"99 a\0",
        b" a\0",
        b"x",
    ];
    for bytes in malformed {
        agree(&stock, &[(Kind::Tree, bytes)], Some("badTree"));
    }
}

#[test]
fn gitmodules_are_judged_as_git_does() {
    let stock = Stock::new(ObjectFormat::Sha1);
    let with = |setting: &str| format!("[submodule \"a\"]\n\t{setting}\n");
    let url = |url: &str| with(&format!("url = \"{url}\""));
    for (text, expected) in [
        (with("path = a"), None),
        (
            "[submodule \"../a\"]\n\tpath = a\n".into(),
            Some("gitmodulesName"),
        ),
        (
            "[submodule \"a\\\\..\\\\b\"]\npath = a\n".into(),
            Some("gitmodulesName"),
        ),
        ("[submodule.a..]\npath=b".into(), None),
        ("[submodule \"..\"]\n".into(), None),
        ("[submodule \"..\"] x".into(), Some("gitmodulesName")),
        ("[submodule \"..\"\npath = a".into(), None),
        ("# nothing but this".into(), None),
        ("[a]\nb = c\n]".into(), None),
        ("[submodule \"..\"]\npath = \"a".into(), None),
        (with("path = -a"), Some("gitmodulesPath")),
        (with("update = !id"), Some("gitmodulesUpdate")),
        (with("update = none"), None),
        (with("url = -a"), Some("gitmodulesUrl")),
        (with("url = \\\n-a"), Some("gitmodulesUrl")),
        (with("url = a # -b"), None),
        (url("../a/b.git"), None),
        (url("./../../:x"), Some("gitmodulesUrl")),
        (url("..\\\\/x"), Some("gitmodulesUrl")),
        (url("git://x/%0a"), Some("gitmodulesUrl")),
        (url("https://x/a%0ab"), Some("gitmodulesUrl")),
        (url("https://x:8443/a/../b%20c"), None),
        (url("https://x/.."), Some("gitmodulesUrl")),
        (url("https://x/a/%2e%2e/%2e%2e/b"), Some("gitmodulesUrl")),
        (url("https://u:p@x/a"), None),
        (url("https://[::1]:80/a"), None),
        (url("https:///a"), Some("gitmodulesUrl")),
        (url("https://x:99999/"), Some("gitmodulesUrl")),
        (url("https://x:y/"), Some("gitmodulesUrl")),
        (url("https://x/%zz"), Some("gitmodulesUrl")),
        (url("http::http://x/"), None),
        (url("http::x"), Some("gitmodulesUrl")),
        (url("ssh://x/%0a"), None),
        (url("x@y:z"), None),
    ] {
        let named = tree(&[("100644", ".gitmodules", id(Kind::Blob, text.as_bytes()))]);
        agree(
            &stock,
            &[(Kind::Tree, &named), (Kind::Blob, text.as_bytes())],
            expected,
        );
    }
}
