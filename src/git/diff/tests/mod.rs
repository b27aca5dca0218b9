//! Patches held against those of stock git, byte by byte.

pub(super) mod history;

use std::{path::Path, process::Command, sync::Arc};

use super::*;
use crate::{
    git::{browse::Browser, fixture::Stock, packs},
    model::ObjectFormat,
};

/// Commits of a made history; `PACKHORSE_DIFF_PAIRS` says how many pairs of a real one are looked at.
const COMMITS: usize = 60;

/// A bare repository and what the engine sees of it.
pub(super) struct Judge<'a> {
    path: &'a Path,
    browser: Browser,
    differ: Differ,
}

impl<'a> Judge<'a> {
    pub(super) fn new(path: &'a Path, format: ObjectFormat) -> Self {
        let indices = packs::indices(&path.join("objects/pack")).unwrap();
        let packs = Arc::new(PackSet::open(format, &indices).unwrap());
        Self {
            path,
            browser: Browser::new(Arc::clone(&packs)),
            differ: Differ::new(packs),
        }
    }

    pub(super) fn git(&self, arguments: &[&str]) -> Vec<u8> {
        #[expect(clippy::disallowed_methods, reason = "stock git is the judge in tests")]
        let output = Command::new("git")
            .arg("-C")
            .arg(self.path)
            .args(arguments)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .output()
            .unwrap();
        assert!(output.status.success(), "git {arguments:?}: {output:?}");
        output.stdout
    }

    pub(super) fn pairs(
        &mut self,
        (before, after): (&str, &str),
        paths: &Paths,
        detection: Option<Detection>,
    ) -> Pairs {
        let mut tree = |commit: &str| {
            let id = ObjectId::from_hex(commit.as_bytes()).unwrap();
            self.browser.tree_of(&id).unwrap().unwrap()
        };
        let (before, after) = (tree(before), tree(after));
        self.differ
            .pairs(Some(&before), Some(&after), paths, detection)
            .unwrap()
    }

    pub(super) fn patch(&mut self, pairs: &Pairs, form: Form) -> Vec<u8> {
        let sections = pairs.pairs.iter();
        sections
            .flat_map(|pair| self.differ.section(pair, form).unwrap().text)
            .collect()
    }

    /// Holds the patch between two commits against what git prints with these options.
    #[track_caller]
    fn check(
        &mut self,
        commits: (&str, &str),
        options: &[&str],
        paths: &[&str],
        detection: Option<Detection>,
    ) -> Pairs {
        let command = [&["diff"], options, &[commits.0, commits.1, "--"], paths].concat();
        let expected = self.git(&command);
        let limits = Paths::new(paths.iter().map(|path| path.as_bytes().to_vec()).collect());
        let pairs = self.pairs(commits, &limits, detection);
        let patch = self.patch(&pairs, Form::Readable);
        if patch != expected {
            let differ = patch
                .iter()
                .zip(&expected)
                .take_while(|(one, other)| one == other)
                .count();
            let around = |text: &[u8]| {
                let end = text.len().min(differ + 300);
                String::from_utf8_lossy(&text[differ.saturating_sub(300).min(end)..end])
                    .into_owned()
            };
            panic!(
                "git {command:?}:\n{}\n--- is told as\n{}",
                around(&expected),
                around(&patch)
            );
        }
        pairs
    }

    /// Pairs of a commit and one of its parents, the newest first.
    pub(super) fn pairs_of_history(&self, arguments: &[&str]) -> Vec<(String, String)> {
        let command = [&["rev-list", "--parents"], arguments].concat();
        let text = String::from_utf8(self.git(&command)).unwrap();
        let mut pairs = Vec::new();
        for line in text.lines() {
            let (commit, parents) = line.split_once(' ').unwrap_or((line, ""));
            let parents = parents.split_whitespace();
            pairs.extend(parents.map(|parent| (parent.to_owned(), commit.to_owned())));
        }
        pairs
    }
}

pub(super) fn eventful(format: ObjectFormat, seed: u64, commits: usize) -> Stock {
    let stock = Stock::new(format);
    history::eventful(&stock, seed, commits);
    stock.git(["repack", "-q", "-a", "-d"]);
    stock
}

#[test]
fn patches_are_what_git_prints() {
    let mut states = std::collections::BTreeMap::<char, usize>::new();
    for (seed, format) in [
        (1, ObjectFormat::Sha1),
        (2, ObjectFormat::Sha1),
        (3, ObjectFormat::Sha256),
    ] {
        let stock = eventful(format, seed, COMMITS);
        let mut judge = Judge::new(stock.path(), format);
        for (before, after) in judge.pairs_of_history(&["main"]) {
            let pairs = judge.check((&before, &after), &[], &[], Some(Detection::DEFAULT));
            for pair in pairs.pairs {
                *states.entry(pair.state.letter()).or_default() += 1;
            }
        }
    }
    // Everything that can happen did, and often enough.
    assert!(
        "ADMRT".chars().all(|letter| states[&letter] > 10),
        "{states:?}"
    );
}

#[test]
fn moves_and_copies_are_those_that_git_finds_with_the_same_options() {
    let format = ObjectFormat::Sha1;
    let stock = eventful(format, 4, COMMITS);
    let mut judge = Judge::new(stock.path(), format);
    let copies = Detection {
        copies: true,
        ..Detection::DEFAULT
    };
    let mostly = Detection {
        minimum: Similarity(48_000),
        ..Detection::DEFAULT
    };
    let few = Detection {
        candidates_max: 1,
        ..Detection::DEFAULT
    };
    let mut copied = 0;
    let history = judge.pairs_of_history(&["main"]);
    // Neighbours, and commits far from each other: then much has moved.
    let far = history
        .iter()
        .zip(&history[9..])
        .map(|(new, old)| (&old.0, &new.1));
    let near = history.iter().map(|(before, after)| (before, after));
    for (before, after) in near.chain(far) {
        let commits = (before.as_str(), after.as_str());
        judge.check(commits, &["--no-renames"], &[], None);
        judge.check(commits, &["-M80%"], &[], Some(mostly));
        judge.check(commits, &["-l1"], &[], Some(few));
        let found = judge.check(commits, &["-C"], &[], Some(copies));
        copied += found
            .pairs
            .iter()
            .filter(|pair| pair.state.letter() == 'C')
            .count();
        let paths = ["a", "src", "täst/ümlaut", "deep/er"];
        judge.check(commits, &[], &paths, Some(Detection::DEFAULT));
    }
    assert!(copied > 10, "{copied}");
}

/// `PACKHORSE_DIFF_REPOSITORY` names a bare repository whose newest pairs of commit and parent are looked at, those of
/// merges included; else a made history is.
#[test]
fn patches_of_a_long_history_are_what_git_prints() {
    let given = std::env::var_os("PACKHORSE_DIFF_REPOSITORY");
    let most = std::env::var("PACKHORSE_DIFF_PAIRS").ok();
    let most = most.map_or(2000, |most| most.parse().expect("a number of pairs"));
    let made = given
        .is_none()
        .then(|| Stock::new(ObjectFormat::Sha1).with_history(40));
    let path = made.as_ref().map_or_else(
        || Path::new(given.as_ref().expect("there is either")),
        |stock| stock.path(),
    );
    let mut judge = Judge::new(path, ObjectFormat::Sha1);
    let pairs = judge.pairs_of_history(&["HEAD"]);
    assert!(pairs.len() > 30);
    let (mut files, mut moved) = (0, 0);
    for (before, after) in pairs.iter().take(most) {
        let found = judge.check((before, after), &[], &[], Some(Detection::DEFAULT));
        files += found.pairs.len();
        let is_move = |pair: &&Pair| matches!(pair.state, State::Renamed(_));
        moved += found.pairs.iter().filter(is_move).count();
    }
    assert!(
        files > pairs.len().min(most),
        "{files} files, {moved} of them moved"
    );
}

#[test]
fn an_applicable_patch_is_taken_by_git() {
    for (seed, format) in [(5, ObjectFormat::Sha1), (6, ObjectFormat::Sha256)] {
        let stock = eventful(format, seed, 25);
        let mut judge = Judge::new(stock.path(), format);
        for (before, after) in judge.pairs_of_history(&["main"]) {
            let pairs = judge.pairs(
                (&before, &after),
                &Paths::default(),
                Some(Detection::DEFAULT),
            );
            let patch = judge.patch(&pairs, Form::Applicable);
            stock.git(["read-tree", &before]);
            if !pairs.pairs.is_empty() {
                stock.git_with_input(
                    ["apply", "--cached", "--binary", "--whitespace=nowarn"],
                    &patch,
                );
            }
            let tree = stock.id(&format!("{after}^{{tree}}")).to_string();
            assert_eq!(stock.git(["write-tree"]), tree, "{before} {after}");
        }
    }
}

#[test]
fn a_tree_may_be_missing_and_the_empty_one_need_not_be_stored() {
    for stock in Stock::each() {
        let stock = stock.with_history(12);
        let mut judge = Judge::new(stock.path(), stock.format());
        let tree = stock.id("main^{tree}");
        let empty = ObjectId::empty_tree(stock.format().kind());
        let expected = stock.git_with_input(["diff", &empty.to_string(), "main"], b"");
        for before in [None, Some(&*empty)] {
            let found = judge
                .differ
                .pairs(before, Some(&tree), &Paths::default(), None)
                .unwrap();
            assert_eq!(judge.patch(&found, Form::Readable), expected);
        }
        let back = judge
            .differ
            .pairs(Some(&tree), None, &Paths::default(), None)
            .unwrap();
        let expected = stock.git_with_input(["diff", "main", &empty.to_string()], b"");
        assert_eq!(judge.patch(&back, Form::Readable), expected);
        let blob = stock.id("main:README");
        let refused = judge
            .differ
            .pairs(Some(&tree), Some(&blob), &Paths::default(), None);
        assert!(matches!(
            refused,
            Err(DiffError::Read(ReadError::Malformed { .. }))
        ));
    }
}
