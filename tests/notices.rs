//! What a pusher is told of objects that are taken all the same, beside what stock git tells.

use crate::support::{Finished, Server, Via, WorkingCopy};

/// The warnings about objects that the other side sent, sorted.
fn warnings(push: &Finished) -> Vec<String> {
    push.succeeds();
    let said = push.stderr();
    let mut warnings: Vec<String> = said
        .lines()
        .map(str::trim_end)
        .filter(|line| line.starts_with("remote: warning: "))
        .map(str::to_owned)
        .collect();
    warnings.sort();
    warnings
}

/// Objects that git calls odd and takes: a tag without a tagger, links in place of git's own files, a
/// mode that nobody sets any more, a file of submodules that can't be read.
fn oddities(copy: &WorkingCopy) {
    copy.commits("one", "1\n");
    let stream = "\
blob
mark :1
data 1
x
blob
mark :2
data 10
[submodule
commit refs/heads/main
mark :3
committer A <a@b> 1000 +0000
data 1
1
M 120000 :1 .mailmap
M 120000 :1 sub/.gitignore
M 100644 :2 .gitmodules
tag odd
from :3
data 1
1
";
    copy.git_with(&["fast-import", "--quiet", "--force"], stream.as_bytes())
        .succeeds();
    let blob = copy.git("rev-parse main:.mailmap").succeeds();
    let raw: Vec<u8> = (0..blob.len() / 2)
        .map(|at| u8::from_str_radix(&blob[at * 2..at * 2 + 2], 16).unwrap())
        .collect();
    let tree = [b"100664 old\0".as_slice(), &raw].concat();
    let tree = copy
        .git_with(
            &["hash-object", "-t", "tree", "-w", "--stdin", "--literally"],
            &tree,
        )
        .succeeds();
    let commit = copy
        .git_with(&["commit-tree", &tree, "-p", "main", "-m", "Old"], b"")
        .succeeds();
    copy.git_with(&["update-ref", "refs/heads/old", &commit], b"")
        .succeeds();
}

#[test]
fn what_git_warns_of_is_told_in_the_same_words_and_the_push_is_taken() {
    let server = Server::start();
    let alice = server.user("alice");
    for format in ["sha1", "sha256"] {
        let copy = WorkingCopy(alice.new_folder());
        copy.git(&format!("init -q -b main --object-format={format} ."))
            .succeeds();
        oddities(&copy);
        copy.git(&format!(
            "init -q --bare --object-format={format} stock.git"
        ))
        .succeeds();
        copy.git("-C stock.git config receive.fsckObjects true")
            .succeeds();
        let theirs = warnings(&copy.git("push stock.git main old odd"));
        assert_eq!(theirs.len(), 5, "{theirs:?}");
        for via in Via::BOTH {
            let name = format!("{format}-{via:?}");
            let remote =
                alice.creates_repository_with(&name, &[&format!("--object-format={format}")]);
            let url = alice.url(&remote, via);
            let ours = copy.git_with(&["push", &url, "main", "old", "odd"], b"");
            assert_eq!(warnings(&ours), theirs, "{name}");
            // Words for people are on no account part of the report.
            let again = copy.git_with(&["push", "--porcelain", &url, "main"], b"");
            assert!(again.stdout().contains("[up to date]"), "{name}");
        }
    }
}

/// Somebody pushes a history of odd objects, each good for a line on the terminal.
#[test]
fn a_flood_of_warnings_is_cut_and_what_is_missing_is_counted() {
    let server = Server::start();
    let alice = server.user("alice");
    let copy = WorkingCopy(alice.new_folder());
    copy.git("init -q -b main .").succeeds();
    let head = copy.commits("one", "1\n");
    let mut stream = String::new();
    for number in 0..103 {
        stream += &format!("tag t{number:03}\nfrom {head}\ndata 0\n\n");
    }
    copy.git_with(&["fast-import", "--quiet"], stream.as_bytes())
        .succeeds();
    for (tags, shown, last) in [
        ("refs/tags/t0*:refs/tags/t0*", 100, None),
        ("refs/tags/*:refs/tags/*", 101, Some("3 more like these")),
    ] {
        let remote = alice.creates_repository(&format!("novel-{shown}"));
        let url = alice.url(&remote, Via::Http);
        let push = copy.git_with(&["push", &url, tags], b"");
        let warnings = warnings(&push);
        assert_eq!(warnings.len(), shown);
        assert_eq!(
            warnings
                .iter()
                .filter(|line| line.contains(": missingTaggerEntry: "))
                .count(),
            100
        );
        if let Some(last) = last {
            assert!(warnings.iter().any(|line| line.contains(last)));
        }
    }
}
