//! Patches applied to trees, with stock git as judge of what applies and of what comes out.

use std::process::{Command, Stdio};

use super::*;
use crate::{
    git::{
        diff::tests::{Judge, eventful, history::Dice},
        fixture::Stock,
    },
    model::ObjectFormat,
};

/// Modes and blobs by path.
type Files = BTreeMap<Vec<u8>, (u32, ObjectId)>;

struct Bench<'a> {
    stock: &'a Stock,
    packs: Arc<PackSet>,
}

impl<'a> Bench<'a> {
    fn new(stock: &'a Stock) -> Self {
        let indices = crate::git::packs::indices(&stock.path().join("objects/pack")).unwrap();
        Self {
            stock,
            packs: Arc::new(PackSet::open(stock.format(), &indices).unwrap()),
        }
    }

    /// `<mode> … <id>…\t<path>\0`, as several commands of git list files.
    fn files(listing: &[u8], id_at: usize) -> Files {
        let entries = listing
            .split(|byte| *byte == 0)
            .filter(|entry| !entry.is_empty());
        let file = |entry: &[u8]| {
            let tab = entry.iter().position(|byte| *byte == b'\t').unwrap();
            let words: Vec<_> = std::str::from_utf8(&entry[..tab])
                .unwrap()
                .split(' ')
                .collect();
            let mode = u32::from_str_radix(words[0], 8).unwrap();
            (
                entry[tab + 1..].to_vec(),
                (mode, words[id_at].parse().unwrap()),
            )
        };
        entries.map(file).collect()
    }

    fn files_of(&self, revision: &str) -> Files {
        let listing = self
            .stock
            .git_with_input(["ls-tree", "-r", "-z", revision], b"");
        Self::files(&listing, 2)
    }

    /// What git makes of it; nothing if it refuses.
    fn by_git(&self, revision: &str, patch: &[u8]) -> Option<Files> {
        self.stock.git(["read-tree", revision]);
        #[expect(clippy::disallowed_methods, reason = "stock git is the judge in tests")]
        let mut child = Command::new("git")
            .arg("-C")
            .arg(self.stock.path())
            .args(["apply", "--cached", "--binary", "--whitespace=nowarn"])
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .stdin(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::io::Write::write_all(&mut child.stdin.take().unwrap(), patch).unwrap();
        let applied = child.wait().unwrap().success();
        applied.then(|| {
            let listing = self.stock.git_with_input(["ls-files", "-s", "-z"], b"");
            Self::files(&listing, 1)
        })
    }

    fn by_us(&self, revision: &str, patch: &[u8]) -> Result<Files, ApplyError> {
        let tree = self.stock.id(&format!("{revision}^{{tree}}"));
        let hash = self.stock.format().kind();
        let mut write = |content: &[u8]| {
            Ok::<_, ApplyError>(gix_object::compute_hash(hash, Kind::Blob, content).unwrap())
        };
        let edits = apply(Arc::clone(&self.packs), Some(&tree), patch, &mut write)?;
        let mut files = self.files_of(revision);
        for edit in edits {
            match edit.file {
                Some(file) => drop(files.insert(edit.path, file)),
                None => assert!(files.remove(&edit.path).is_some(), "what goes was there"),
            }
        }
        Ok(files)
    }

    /// Both must come to the same end; answers whether they applied it.
    #[track_caller]
    fn check(&self, revision: &str, patch: &[u8]) -> bool {
        let (ours, gits) = (self.by_us(revision, patch), self.by_git(revision, patch));
        match (&ours, &gits) {
            (Ok(ours), Some(gits)) => assert_eq!(ours, gits),
            (Err(_), None) => {}
            (Ok(_), None) => panic!("git refuses:\n{}", String::from_utf8_lossy(patch)),
            (Err(error), Some(_)) => {
                panic!(
                    "git applies, we say {error}:\n{}",
                    String::from_utf8_lossy(patch)
                )
            }
        }
        gits.is_some()
    }
}

const OPTIONS: [&[&str]; 3] = [&[], &["-C"], &["--no-renames"]];

#[test]
fn what_git_prints_applies_and_makes_the_same_files() {
    for (seed, format) in [(11, ObjectFormat::Sha1), (12, ObjectFormat::Sha256)] {
        let stock = eventful(format, seed, 40);
        let bench = Bench::new(&stock);
        let mut judge = Judge::new(stock.path(), format);
        for (before, after) in judge.pairs_of_history(&["main"]) {
            let expected = bench.files_of(&after);
            for options in OPTIONS {
                let command = [
                    &["diff", "--binary", "--full-index"],
                    options,
                    &[&before, &after],
                ];
                let patch = judge.git(&command.concat());
                if !patch.is_empty() {
                    assert_eq!(
                        bench.by_us(&before, &patch).unwrap(),
                        expected,
                        "{before} {after}"
                    );
                }
            }
            let pairs = judge.pairs((&before, &after), &super::super::Paths::default(), None);
            let patch = judge.patch(&pairs, super::super::Form::Applicable);
            if !patch.is_empty() {
                assert_eq!(
                    bench.by_us(&before, &patch).unwrap(),
                    expected,
                    "{before} {after}"
                );
            }
        }
    }
}

#[test]
fn what_was_made_for_another_tree_applies_where_git_applies_it() {
    let stock = eventful(ObjectFormat::Sha1, 13, 40);
    let bench = Bench::new(&stock);
    let judge = Judge::new(stock.path(), ObjectFormat::Sha1);
    let history = judge.pairs_of_history(&["main"]);
    let (mut applied, mut refused) = (0, 0);
    for distance in [1, 2, 5] {
        for (one, other) in history.iter().zip(&history[distance..]) {
            for (from, onto) in [(one, &other.1), (other, &one.0)] {
                let patch = judge.git(&["diff", "--binary", "--full-index", &from.0, &from.1]);
                if patch.is_empty() {
                    continue;
                }
                match bench.check(onto, &patch) {
                    true => applied += 1,
                    false => refused += 1,
                }
            }
        }
    }
    assert!(
        applied > 20 && refused > 20,
        "{applied} applied, {refused} refused"
    );
}

/// A repository for patches written by hand.
fn written_by_hand() -> Stock {
    let stock = Stock::new(ObjectFormat::Sha1);
    let lines: String = (1..=12).map(|n| format!("line {n}\n")).collect();
    let mut stream =
        "commit refs/heads/main\ncommitter Ann <ann@example.org> 1700000000 +0000\ndata 0\n\n"
            .to_owned();
    for (mode, path, text) in [
        ("100644", "a.txt", &*lines),
        ("100644", "dir/b.txt", "one\ntwo\nthree"),
        ("100644", "dir/only/c.txt", "c\n"),
        ("100644", "empty", ""),
        ("100644", "repeated", "x\ny\nx\ny\nx\ny\n"),
        ("100755", "tool", "#!/bin/sh\n"),
        ("120000", "link", "dir"),
        ("100644", "zero", "\0one"),
    ] {
        stream += &format!("M {mode} inline {path}\ndata {}\n{text}\n", text.len());
    }
    stream += &format!("M 160000 {} module\n", "1".repeat(40));
    stock.import(&stream);
    stock.git(["repack", "-q", "-a", "-d"]);
    stock
}

fn modified(path: &str, hunks: &str) -> String {
    format!("diff --git a/{path} b/{path}\n--- a/{path}\n+++ b/{path}\n{hunks}")
}

fn created(path: &str) -> String {
    format!(
        "diff --git a/{path} b/{path}\nnew file mode 100644\n--- /dev/null\n+++ b/{path}\n@@ -0,0 +1 @@\n+new\n"
    )
}

fn renamed(from: &str, to: &str) -> String {
    format!("diff --git a/{from} b/{to}\nrename from {from}\nrename to {to}\n")
}

#[test]
fn patches_by_hand_apply_where_git_applies_them() {
    let stock = written_by_hand();
    let bench = Bench::new(&stock);
    let applies = |patch: &str| assert!(bench.check("main", patch.as_bytes()), "{patch}");
    let fails = |patch: &str| assert!(!bench.check("main", patch.as_bytes()), "{patch}");

    let middle = "@@ -4,3 +4,3 @@ line 3\n line 4\n-line 5\n+line five\n line 6\n";
    applies(&modified("a.txt", middle));
    applies(&format!(
        "From: Ann\n\nWords --- and\n---\n{}-- \n2.47\n",
        modified("a.txt", middle)
    ));
    // By another program, with and without dates, and with a blank cut off.
    applies(&format!("--- x/a.txt\n+++ y/a.txt\n{middle}"));
    applies(&format!(
        "--- x/a.txt\t2024-01-01 00:00:00\n+++ y/a.txt\t2024-01-02 00:00:00\n{middle}"
    ));
    applies("--- /dev/null\n+++ b/new\n@@ -0,0 +1 @@\n+new\n");
    applies("--- a/tool\n+++ /dev/null\n@@ -1 +0,0 @@\n-#!/bin/sh\n");
    // Elsewhere, nearer below than above, and nowhere.
    applies(&modified(
        "a.txt",
        "@@ -2,3 +2,3 @@\n line 8\n-line 9\n+nine\n line 10\n",
    ));
    applies(&modified("repeated", "@@ -2,3 +2,3 @@\n x\n-y\n+z\n x\n"));
    applies(&modified("repeated", "@@ -3,2 +3,3 @@\n x\n+z\n y\n"));
    fails(&modified(
        "a.txt",
        "@@ -1,3 +1,3 @@\n line 8\n-line 9\n+nine\n line 10\n",
    ));
    fails(&modified(
        "a.txt",
        "@@ -4,3 +4,2 @@\n line 4\n line 5\n-line 6\n",
    ));
    fails(&modified(
        "a.txt",
        "@@ -4,3 +4,3 @@\n line 4\n-line V\n+line five\n line 6\n",
    ));
    // At the beginning and the end, without a line feed.
    applies(&modified(
        "a.txt",
        "@@ -1,2 +1,3 @@\n+line 0\n line 1\n line 2\n",
    ));
    applies(&modified(
        "a.txt",
        "@@ -10,3 +10,4 @@\n line 10\n line 11\n line 12\n+line 13\n",
    ));
    fails(&modified(
        "a.txt",
        "@@ -1,2 +1,3 @@\n line 2\n+line 2b\n line 3\n",
    ));
    let bare = "\\ No newline at end of file\n";
    applies(&modified(
        "dir/b.txt",
        &format!("@@ -1,3 +1,3 @@\n one\n two\n-three\n{bare}+three\n"),
    ));
    applies(&modified(
        "dir/b.txt",
        &format!("@@ -1,3 +1,2 @@\n one\n-two\n three\n{bare}"),
    ));
    fails(&modified(
        "dir/b.txt",
        "@@ -1,3 +1,2 @@\n one\n-two\n three\n",
    ));
    applies(&modified(
        "a.txt",
        &format!("@@ -11,2 +11,2 @@\n line 11\n-line 12\n+line 12\n{bare}"),
    ));
    // Two hunks, two sections; a hunk does not match what another one wrote.
    let late = "@@ -9,3 +9,4 @@\n line 9\n+line 9b\n line 10\n line 11\n";
    applies(&modified("a.txt", &format!("{middle}{late}")));
    applies(&(modified("a.txt", middle) + &modified("a.txt", late)));
    fails(&modified(
        "a.txt",
        &format!("{middle}@@ -4,3 +4,3 @@\n line 4\n-line five\n+line 5\n line 6\n"),
    ));
    // Modes, and files that come, go and move.
    applies("diff --git a/tool b/tool\nold mode 100755\nnew mode 100644\n");
    fails("diff --git a/tool b/tool\nold mode 100644\nnew mode 100644\n");
    fails("diff --git a/tool b/tool\nold mode 120000\nnew mode 120001\n");
    fails("diff --git a/tool b/tool\nold mode 100755\nnew mode 120000\n");
    fails("diff --git a/tool b/tool\nold mode 100755\nnew mode 40000\n");
    applies(&created("new"));
    applies(&created("new/in/folders"));
    fails(&created("a.txt"));
    fails(&created("a.txt/new"));
    fails(&created("dir"));
    fails(&created("link/new"));
    fails(&(created("new") + &created("new/new")));
    applies("diff --git a/new b/new\nnew file mode 100755\nindex 0000000..e69de29\n");
    applies("diff --git a/empty b/empty\ndeleted file mode 100644\nindex e69de29..0000000\n");
    fails("diff --git a/tool b/tool\ndeleted file mode 100755\n");
    fails("diff --git a/gone b/gone\ndeleted file mode 100644\n");
    let gone = "deleted file mode 100644\n--- a/dir/only/c.txt\n+++ /dev/null\n@@ -1 +0,0 @@\n-c\n";
    let gone = format!("diff --git a/dir/only/c.txt b/dir/only/c.txt\n{gone}");
    applies(&gone);
    applies(&format!("{gone}{}", created("dir/only")));
    fails(&format!("{gone}{}", created("dir")));
    fails(&format!("{gone}{gone}"));
    applies(&renamed("a.txt", "dir/a.txt"));
    applies(&(renamed("a.txt", "tool") + &renamed("tool", "a.txt")));
    fails(&renamed("a.txt", "tool"));
    fails(&renamed("gone", "new"));
    fails(&(renamed("a.txt", "new") + &modified("a.txt", middle)));
    applies(&(renamed("a.txt", "new") + &modified("new", middle)));
    applies("diff --git a/tool b/copy\ncopy from tool\ncopy to copy\n");
    applies(&format!(
        "diff --git a/tool b/tool\ndeleted file mode 100755\n--- a/tool\n+++ /dev/null\n@@ -1 +0,0 @@\n-#!/bin/sh\n{}",
        "diff --git a/tool b/tool\nnew file mode 120000\n--- /dev/null\n+++ b/tool\n@@ -0,0 +1 @@\n+a\n"
    ));
    // A submodule is a line of text.
    let (one, two) = ("1".repeat(40), "2".repeat(40));
    let module = |old: &str, new: &str| {
        modified(
            "module",
            &format!("@@ -1 +1 @@\n-Subproject commit {old}\n+Subproject commit {new}\n"),
        )
    };
    applies(&module(&one, &two));
    fails(&module(&two, &one));
    fails(&module(&one, "somewhere"));
    // What is no patch, or a broken one.
    for text in [
        "",
        "words\n",
        "diff --git a/a.txt b/a.txt\n",
        "diff --git a/a.txt b/a.txt\nindex 1111111..2222222 100644\n",
        &modified("a.txt", "@@ -4,3 +4,3 @@\n line 4\n-line 5\n+line five\n"),
        &modified("a.txt", "@@ -4,2 +4,2 @@\n line 4\n line 5\n"),
        &modified(
            "a.txt",
            "@@ -4,1 +4,1 @@\n line 4\n-line 5\n+line five\n line 6\n",
        ),
        &modified(
            "a.txt",
            "@@ -4,3 +4,3 @@\n line 4\nline 5\n+line five\n line 6\n",
        ),
        "diff --git a/new b/new\nnew file mode 100644\n--- /dev/null\n+++ b/new\n@@ -1 +1 @@\n-x\n+y\n",
        "diff --git a/new b/new\nnew file mode 100644\ndeleted file mode 100644\n",
        "diff --git a/a.txt b/b.txt\nold mode 100644\nnew mode 100755\n",
        middle,
    ] {
        fails(text);
    }
}

#[test]
fn binary_data_must_be_whole_and_for_the_content_that_is_there() {
    let stock = written_by_hand();
    let id = |content: &[u8]| {
        let id = stock.git_with_input(["hash-object", "-w", "--stdin"], content);
        String::from_utf8(id).unwrap().trim().to_owned()
    };
    let many: Vec<u8> = (0..5000u32).flat_map(|n| (n * n).to_le_bytes()).collect();
    let (old, new) = (
        id(&many),
        id(&[&many[..9000], b"\0changed", &many[9000..]].concat()),
    );
    for (id, name) in [(&old, "old"), (&new, "new")] {
        let entry = format!("100644 blob {id}\tzero\n");
        let tree = stock.git_with_input(["mktree"], entry.as_bytes());
        stock.git(["tag", name, String::from_utf8(tree).unwrap().trim()]);
    }
    stock.git(["repack", "-q", "-a", "-d"]);
    let bench = Bench::new(&stock);
    let diff = |from: &str, to: &str| {
        let patch = stock.git_with_input(["diff", "--binary", "--full-index", from, to], b"");
        String::from_utf8(patch).unwrap()
    };
    let delta = diff("old", "new");
    assert!(delta.contains("\ndelta "), "{delta}");
    assert!(bench.check("old", delta.as_bytes()));
    let patch = diff("main^{tree}", "new");
    assert!(patch.contains("\nliteral "), "{patch}");
    assert!(bench.check("main", patch.as_bytes()));
    let refused = |revision: &str, patch: &str| {
        let refused = bench.by_us(revision, patch.as_bytes()).unwrap_err();
        refused.to_string()
    };
    // git would find some of these results by their ids in the repository.
    assert!(refused("new", &delta).contains("not that of the patch"));
    let note = stock.git_with_input(["diff", "--full-index", "old", "new"], b"");
    assert!(refused("old", &String::from_utf8(note).unwrap()).contains("no binary data"));
    assert!(refused("old", &delta.replace(&new, &old)).contains("other content"));
    assert!(refused("old", &delta.replace(&new, &new[..9])).contains("whole ids"));
    let line = delta
        .lines()
        .position(|line| line.starts_with("delta "))
        .unwrap()
        + 1;
    let first = delta.lines().nth(line).unwrap();
    for (from, to) in [
        (first, &first[1..]),
        (first, "z"),
        (&*first[..6].to_owned(), "z    "),
        ("delta ", "delta 9"),
        ("delta ", "literal "),
        ("delta ", "delta x"),
        ("\n\n", "\n"),
    ] {
        let broken = delta.replacen(from, to, 1);
        assert!(
            bench.by_us("old", broken.as_bytes()).is_err(),
            "{from} {to}"
        );
    }
    let huge = delta.replacen("delta ", "literal 99999999", 1);
    assert!(matches!(
        bench.by_us("old", huge.as_bytes()),
        Err(ApplyError::TooMuch(_) | ApplyError::Malformed { .. })
    ));
}

#[test]
fn no_path_leads_out_of_the_tree_or_into_git() {
    let stock = written_by_hand();
    let bench = Bench::new(&stock);
    for path in [
        "../x",
        "dir/../../x",
        "dir/../x",
        "./x",
        "dir/./x",
        ".git/config",
        ".GIT/config",
        "dir/.git/hooks/x",
        "git~1/x",
        ".git\u{200c}/x",
        ".git. ./x",
        "dir\\.git\\x",
    ] {
        for patch in [
            created(path),
            renamed("a.txt", path),
            modified(path, "@@ -1 +1 @@\n-x\n+y\n"),
        ] {
            let refused = bench.by_us("main", patch.as_bytes());
            assert!(
                matches!(refused, Err(ApplyError::Refused { .. })),
                "{patch}: {refused:?}"
            );
        }
    }
    // git takes some of these names on this system.
    for path in ["../x", "dir/../x", ".git/config", ".GIT/config"] {
        assert!(
            bench.by_git("main", created(path).as_bytes()).is_none(),
            "{path}"
        );
    }
    let longest = format!("{}x", "d/".repeat(2047));
    assert!(bench.by_us("main", created(&longest).as_bytes()).is_ok());
    assert!(
        bench
            .by_us("main", created(&format!("{longest}xx")).as_bytes())
            .is_err()
    );
}

/// A patch with lines lost, doubled, moved or changed.
fn mangled(patch: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut lines: Vec<Vec<u8>> = patch
        .split_inclusive(|byte| *byte == b'\n')
        .map(<[u8]>::to_vec)
        .collect();
    for _ in 0..=dice.below(2) {
        let (at, other) = (dice.below(lines.len()), dice.below(lines.len()));
        match dice.below(7) {
            0 if lines.len() > 1 => drop(lines.remove(at)),
            1 => {
                let line = lines[at].clone();
                lines.insert(other, line);
            }
            2 => lines.swap(at, other),
            3 => {
                let line = &mut lines[at];
                let place = dice.below(line.len());
                line[place] = dice.one_of(b" +-\\\n0129/.@abAzZ\"\0\xff");
            }
            4 => {
                let length = dice.below(lines[at].len() + 1);
                lines[at].truncate(length);
            }
            5 => lines.truncate(at + 1),
            _ => {
                let line = dice.one_of(&[
                    "@@ -1 +1 @@\n",
                    "@@ -0,0 +1 @@\n",
                    "\\ No newline at end of file\n",
                    "+++ b/x\n",
                    "--- a/x\n",
                    "rename from a\n",
                    "new file mode 100644\n",
                    "deleted file mode 100644\n",
                    "GIT binary patch\n",
                    "literal 3\n",
                    "old mode 100644\n",
                    "\n",
                ]);
                lines.insert(at, line.as_bytes().to_vec());
            }
        }
    }
    lines.concat()
}

#[test]
fn a_mangled_patch_is_refused_or_does_what_git_does() {
    let stock = eventful(ObjectFormat::Sha1, 14, 40);
    let bench = Bench::new(&stock);
    let judge = Judge::new(stock.path(), ObjectFormat::Sha1);
    let mut dice = Dice::new(15);
    let (mut applied, mut refused) = (0, 0);
    for (before, after) in judge.pairs_of_history(&["main"]) {
        let patch = judge.git(&["diff", "--full-index", &before, &after, "--"]);
        if patch.is_empty() || patch.len() > 20_000 {
            continue;
        }
        for _ in 0..8 {
            let patch = mangled(&patch, &mut dice);
            match bench.by_us(&before, &patch) {
                Ok(files) => {
                    let gits = bench.by_git(&before, &patch);
                    let shown = String::from_utf8_lossy(&patch);
                    assert_eq!(Some(files), gits, "{before}:\n{shown}");
                    applied += 1;
                }
                Err(_) => refused += 1,
            }
        }
    }
    assert!(
        applied > 20 && refused > 20,
        "{applied} applied, {refused} refused"
    );
}
