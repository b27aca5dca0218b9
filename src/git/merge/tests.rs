//! Merges held against `git merge-tree`.

use std::fmt::Write as _;

use super::*;
use crate::{
    git::{Repository, fixture::Stock},
    model::ObjectFormat,
};

/// What git says of a merge.
struct Expected {
    ours: String,
    theirs: String,
    tree: String,
    clean: bool,
    /// `mode id stage` and path.
    stages: BTreeSet<String>,
}

/// Merges each pair with git; the labels are the revisions as given.
fn by_git(stock: &Stock, pairs: &[(String, String)]) -> Vec<Expected> {
    let mut input = String::new();
    for (ours, theirs) in pairs {
        writeln!(input, "{ours} {theirs}").unwrap();
    }
    let command = [
        "merge-tree",
        "--write-tree",
        "--allow-unrelated-histories",
        "-z",
        "--stdin",
    ];
    parse(pairs, &stock.git_with_input(command, input.as_bytes()))
}

fn parse(pairs: &[(String, String)], output: &[u8]) -> Vec<Expected> {
    let mut words = output.split(|byte| *byte == 0);
    let mut next = || String::from_utf8_lossy(words.next().unwrap()).into_owned();
    let mut all = Vec::new();
    for (ours, theirs) in pairs {
        let clean = next() == "1";
        let tree = next();
        let mut stages = BTreeSet::new();
        loop {
            let word = next();
            if word.is_empty() {
                break;
            }
            stages.insert(word);
        }
        if !clean {
            loop {
                let count = next();
                if count.is_empty() {
                    break;
                }
                for _ in 0..count.parse::<usize>().unwrap() + 2 {
                    next();
                }
            }
        }
        all.push(Expected {
            ours: ours.clone(),
            theirs: theirs.clone(),
            tree,
            clean,
            stages,
        });
    }
    all
}

fn stages(merged: &Merged) -> BTreeSet<String> {
    let mut shown = BTreeSet::new();
    for conflict in &merged.conflicts {
        let path = String::from_utf8_lossy(&conflict.path);
        for (stage, number) in conflict.stages.iter().zip(1..) {
            if let Some(Stage { mode, id }) = stage {
                shown.insert(format!("{mode:06o} {id} {number}\t{path}"));
            }
        }
    }
    shown
}

/// Holds our merges of these revisions against git's.
fn check(stock: &Stock, repository: &Repository, pairs: &[(String, String)]) {
    for expected in by_git(stock, pairs) {
        let (ours, theirs) = (stock.id(&expected.ours), stock.id(&expected.theirs));
        let labels = [expected.ours.as_bytes(), expected.theirs.as_bytes()];
        let merged = Merger::new(repository.packs())
            .merge(&ours, &theirs, labels)
            .unwrap();
        let what = format!("{} and {}", expected.ours, expected.theirs);
        assert_eq!(stages(&merged), expected.stages, "conflicts of {what}");
        assert_eq!(
            merged.clean, expected.clean,
            "state of {what}: {:?}",
            merged.obstacles
        );
        if merged.tree != *expected.tree {
            for made in &merged.made {
                let kind = made.kind.to_string();
                stock.git_with_input(
                    ["hash-object", "-w", "--stdin", "--literally", "-t", &kind],
                    &made.bytes,
                );
            }
            let difference = stock.git(["diff", &expected.tree, &merged.tree.to_string()]);
            panic!("the trees of {what} differ:\n{difference}");
        }
    }
}

/// Writes a history in the language of fast-import.
#[derive(Default)]
struct Script {
    text: String,
    marks: u32,
}

impl Script {
    /// A commit on top of these, which changes this.
    fn commit(&mut self, branch: &str, parents: &[u32], changes: &[String]) -> u32 {
        self.marks += 1;
        let mark = self.marks;
        let date = 1_700_000_000 + u64::from(mark) * 60;
        write!(
            self.text,
            "commit refs/heads/{branch}\nmark :{mark}\ncommitter C <c@c> {date} +0000\ndata 1\nm\n"
        )
        .unwrap();
        for (at, parent) in parents.iter().enumerate() {
            let word = if at == 0 { "from" } else { "merge" };
            writeln!(self.text, "{word} :{parent}").unwrap();
        }
        for change in changes {
            self.text += change;
        }
        self.text += "\n";
        mark
    }
}

fn file(mode: &str, path: &str, text: &str) -> String {
    format!("M {mode} inline {path}\ndata {}\n{text}\n", text.len())
}

fn plain(path: &str, text: &str) -> String {
    file("100644", path, text)
}

fn moved(from: &str, to: &str) -> String {
    format!("R {from} {to}\n")
}

fn removed(path: &str) -> String {
    format!("D {path}\n")
}

fn lines(from: u32, to: u32) -> String {
    (from..to).map(|line| format!("line {line}\n")).collect()
}

/// Text that resembles `lines(0, 20)`, with one line changed.
fn edited(line: u32, by: &str) -> String {
    lines(0, 20).replace(&format!("line {line}\n"), &format!("line {line} by {by}\n"))
}

/// What a side may do to a history, by name.
fn deeds(by: &str) -> Vec<(&'static str, Vec<String>)> {
    let submodule = |digit: &str| format!("M 160000 {} sub\n", digit.repeat(40));
    vec![
        ("nothing", vec![]),
        ("edit-top", vec![plain("a/one", &edited(1, by))]),
        ("edit-end", vec![plain("a/one", &edited(18, by))]),
        ("delete", vec![removed("a/one")]),
        ("rename", vec![moved("a/one", "a/uno")]),
        (
            "rename-elsewhere",
            vec![moved("a/one", &format!("{by}/one"))],
        ),
        (
            "rename-edit",
            vec![moved("a/one", "a/uno"), plain("a/uno", &edited(5, by))],
        ),
        (
            "rename-over",
            vec![removed("a/two"), moved("a/one", "a/two")],
        ),
        ("rename-folder", vec![moved("a", "z")]),
        ("rename-folder-in", vec![moved("a", "deep/er/a")]),
        (
            "rename-folder-to-root",
            vec![
                moved("a/one", "one"),
                moved("a/two", "two"),
                moved("a/three", "three"),
            ],
        ),
        (
            "split-folder",
            vec![
                moved("a/one", "x/one"),
                moved("a/two", "y/two"),
                removed("a/three"),
            ],
        ),
        (
            "add-to-folder",
            vec![plain("a/new", &format!("new by {by}\n"))],
        ),
        ("add-same", vec![plain("a/new", "new\n")]),
        (
            "add-below",
            vec![plain("a/sub/new", "in a folder of its own\n")],
        ),
        ("move-into-folder", vec![moved("b/four", "a/four")]),
        (
            "add-in-way",
            vec![plain("z/new", "in the way\n"), plain("z/one", "also\n")],
        ),
        ("executable", vec![file("100755", "a/one", &lines(0, 20))]),
        (
            "executable-edit",
            vec![file("100755", "a/one", &edited(1, by))],
        ),
        ("link", vec![file("120000", "a/one", by)]),
        (
            "file-to-folder",
            vec![removed("a/one"), plain("a/one/inside", by)],
        ),
        (
            "file-to-folder-edit",
            vec![moved("a/one", "a/one2"), plain("a/one/inside", by)],
        ),
        ("folder-to-file", vec![removed("b"), plain("b", by)]),
        ("edit-in-folder", vec![plain("b/four", &lines(40, 59))]),
        ("binary", vec![plain("a/one", &format!("\0{by}"))]),
        ("relink", vec![file("120000", "link", by)]),
        (
            "submodule",
            vec![submodule(if by == "ours" { "2" } else { "3" })],
        ),
        ("submodule-gone", vec![removed("sub")]),
        ("submodule-to-file", vec![removed("sub"), plain("sub", by)]),
        ("rename-link", vec![moved("link", &format!("link-{by}"))]),
        (
            "swap",
            vec![
                moved("a/one", "t"),
                moved("a/two", "a/one"),
                moved("t", "a/two"),
            ],
        ),
    ]
}

fn beginning() -> Vec<String> {
    vec![
        plain("a/one", &lines(0, 20)),
        plain("a/two", &lines(20, 40)),
        plain("a/three", &lines(60, 80)),
        plain("b/four", &lines(40, 60)),
        plain("c/five", &lines(80, 90)),
        plain("empty", ""),
        file("120000", "link", "a/one"),
        format!("M 160000 {} sub\n", "1".repeat(40)),
    ]
}

#[test]
fn all_that_two_sides_may_do_merges_as_with_git() {
    let stock = Stock::new(ObjectFormat::Sha1);
    let mut script = Script::default();
    let base = script.commit("base", &[], &beginning());
    for by in ["ours", "theirs"] {
        for (name, changes) in deeds(by) {
            script.commit(&format!("{by}/{name}"), &[base], &changes);
        }
    }
    stock.import(&script.text);
    stock.git(["repack", "-q", "-a", "-d"]);
    let (_folder, repository) = stock.opened();
    let mut pairs = Vec::new();
    for (ours, _) in deeds("ours") {
        for (theirs, _) in deeds("theirs") {
            let (ours, theirs) = (format!("ours/{ours}"), format!("theirs/{theirs}"));
            pairs.push((ours.clone(), theirs.clone()));
            pairs.push((theirs, ours));
        }
    }
    check(&stock, &repository, &pairs);
}

#[test]
fn histories_that_cross_or_never_met_merge_as_with_git() {
    let stock = Stock::new(ObjectFormat::Sha1);
    let mut script = Script::default();
    let base = script.commit("base", &[], &beginning());
    let mut pairs = Vec::new();
    let names: Vec<_> = deeds("ours").into_iter().map(|(name, _)| name).collect();
    let (ours, theirs) = (deeds("ours"), deeds("theirs"));
    for (number, name) in names.iter().enumerate() {
        for step in [1, 4, 9] {
            let other = (number + step) % names.len();
            let one = script.commit("x", &[base], &ours[number].1);
            let two = script.commit("x", &[base], &theirs[other].1);
            // Both sides merge the two, each in its own way, and go on.
            let branch = |side: &str| format!("{side}/{name}-{step}");
            script.commit(
                &branch("l"),
                &[one, two],
                &[plain("c/five", &lines(80, 91))],
            );
            script.commit(&branch("r"), &[two, one], &[plain("c/six", "six\n")]);
            pairs.push((branch("l"), branch("r")));
            pairs.push((branch("r"), branch("l")));
        }
    }
    script.commit(
        "alone",
        &[],
        &[plain("a/one", &edited(3, "alone")), plain("other", "x\n")],
    );
    pairs.push(("base".to_owned(), "alone".to_owned()));
    stock.import(&script.text);
    stock.git(["repack", "-q", "-a", "-d"]);
    let (_folder, repository) = stock.opened();
    check(&stock, &repository, &pairs);
}

#[test]
fn both_hashes_merge() {
    for stock in Stock::each() {
        let mut script = Script::default();
        let base = script.commit(
            "base",
            &[],
            &[plain("a/one", &lines(0, 20)), plain("b", "b\n")],
        );
        script.commit("l", &[base], &[moved("a/one", "c/one")]);
        script.commit(
            "r",
            &[base],
            &[plain("a/one", &edited(3, "r")), plain("b", "r\n")],
        );
        script.commit("s", &[base], &[plain("a/one", &edited(3, "s"))]);
        stock.import(&script.text);
        stock.git(["repack", "-q", "-a", "-d"]);
        let (_folder, repository) = stock.opened();
        let pair = |one: &str, other: &str| (one.to_owned(), other.to_owned());
        check(
            &stock,
            &repository,
            &[pair("l", "r"), pair("r", "s"), pair("base", "l")],
        );
        let mut merger = Merger::new(repository.packs());
        let (l, r) = (stock.id("l"), stock.id("r"));
        assert_eq!(merger.bases(&l, &r), Ok(vec![stock.id("base")]));
        assert_eq!(merger.ahead(&l, &r), Ok(1));
    }
}

/// Holds our merges against git's over a real history: `PACKHORSE_MERGE_REPOSITORY=/path/to/bare.git`, of which
/// `PACKHORSE_MERGE_COUNT` merges are made again.
#[test]
#[ignore = "needs a repository with many merges"]
fn real_merges_come_out_as_with_git() {
    use std::time::{Duration, Instant};
    let folder = std::env::var_os("PACKHORSE_MERGE_REPOSITORY").expect("a repository is named");
    let folder = std::path::PathBuf::from(folder);
    let count = std::env::var("PACKHORSE_MERGE_COUNT").map_or(500, |text| text.parse().unwrap());
    let scratch = tempfile::tempdir().unwrap();
    let stock = Stock::new(ObjectFormat::Sha1);
    std::fs::write(
        stock.path().join("objects/info/alternates"),
        format!("{}\n", folder.join("objects").display()),
    )
    .unwrap();
    let list = format!(
        "git --git-dir={} rev-list --all --min-parents=2 --max-parents=2 --parents --date-order",
        folder.display()
    );
    let list = stock.git(["-c", &format!("alias.x=!{list}"), "x"]);
    let all: Vec<_> = list.lines().collect();
    let step = (all.len() / count).max(1);
    let pairs: Vec<_> = all
        .iter()
        .step_by(step)
        .map(|line| {
            let words: Vec<_> = line.split(' ').collect();
            (words[1].to_owned(), words[2].to_owned())
        })
        .collect();
    let began = Instant::now();
    let expected = by_git(&stock, &pairs);
    let git_took = began.elapsed();
    let objects = [folder.join("objects")];
    let repository =
        Repository::open_plain(&objects, &[], scratch.path(), ObjectFormat::Sha1).unwrap();
    let (mut same, mut same_conflicts, mut same_left, mut different) = (0, 0, 0, Vec::new());
    let (mut took, mut longest) = (Duration::ZERO, Duration::ZERO);
    for expected in expected {
        let began = Instant::now();
        let labels = [expected.ours.as_bytes(), expected.theirs.as_bytes()];
        let (ours, theirs) = (
            expected.ours.parse().unwrap(),
            expected.theirs.parse().unwrap(),
        );
        let merged = Merger::new(repository.packs()).merge(&ours, &theirs, labels);
        took += began.elapsed();
        longest = longest.max(began.elapsed());
        let what = format!("{} {}", expected.ours, expected.theirs);
        match merged {
            Err(error) => different.push(format!("{what}: {error}")),
            Ok(merged) if merged.clean != expected.clean || stages(&merged) != expected.stages => {
                let extra: Vec<_> = stages(&merged)
                    .difference(&expected.stages)
                    .cloned()
                    .collect();
                let missing: Vec<_> = expected
                    .stages
                    .difference(&stages(&merged))
                    .cloned()
                    .collect();
                different.push(format!(
                    "{what}: {} {extra:?} instead of {} {missing:?}",
                    merged.clean, expected.clean
                ));
            }
            Ok(merged) => {
                let is_same = merged.tree == *expected.tree;
                match (expected.clean, is_same) {
                    (true, true) => same += 1,
                    (true, false) => different.push(format!(
                        "{what}: {} instead of {}",
                        merged.tree, expected.tree
                    )),
                    (false, is_same) => {
                        same_conflicts += 1;
                        same_left += usize::from(is_same);
                    }
                }
            }
        }
    }
    eprintln!(
        "{} merges: {same} clean with the same tree, {same_conflicts} with the same conflicts ({same_left} of them leave the same tree), {} different; {took:?}, longest {longest:?}; git took {git_took:?}\n{}",
        pairs.len(),
        different.len(),
        different.join("\n")
    );
    assert!(different.is_empty());
}
