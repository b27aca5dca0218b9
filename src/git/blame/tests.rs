//! Lines held against `git blame --line-porcelain`.

use std::{collections::HashMap, time::Duration};

use super::*;
use crate::{
    git::{Repository, fixture::Stock},
    model::ObjectFormat,
};

/// A line as one text: commit, original line and path, commit before.
fn shown(line: &BlamedLine) -> String {
    let path = String::from_utf8_lossy(&line.original_path);
    let previous = line.previous.map(|id| id.to_string()).unwrap_or_default();
    format!(
        "{} {} {} {path} {previous}",
        line.number, line.commit, line.original_number
    )
}

fn by_git(stock: &Stock, arguments: &[&str]) -> Vec<String> {
    let command = [&["blame", "--line-porcelain"], arguments].concat();
    let output = stock.git_with_input(command, b"");
    let mut shown = Vec::new();
    let (mut head, mut facts) = (String::new(), HashMap::new());
    for line in String::from_utf8_lossy(&output).split('\n') {
        if line.starts_with('\t') {
            let words: Vec<_> = head.split(' ').collect();
            let fact = |name: &str| facts.get(name).cloned().unwrap_or_default();
            let previous: String = fact("previous");
            let previous = previous.split(' ').next().unwrap().to_owned();
            shown.push(format!(
                "{} {} {} {} {previous}",
                words[2],
                words[0],
                words[1],
                fact("filename")
            ));
            head.clear();
            facts.clear();
        } else if head.is_empty() {
            line.clone_into(&mut head);
        } else if let Some((name, value)) = line.split_once(' ') {
            facts.insert(name.to_owned(), value.to_owned());
        }
    }
    shown
}

fn request(commit: ObjectId, path: &str) -> BlameRequest {
    BlameRequest {
        commit,
        path: path.as_bytes().to_vec(),
        ranges: Vec::new(),
        moves: false,
        deadline: Instant::now() + Duration::from_secs(600),
    }
}

#[track_caller]
fn check(stock: &Stock, repository: &Repository, asked: &BlameRequest) {
    let (commit, path) = (
        asked.commit.to_string(),
        String::from_utf8_lossy(&asked.path).into_owned(),
    );
    let mut arguments: Vec<&str> = asked
        .ranges
        .iter()
        .flat_map(|range| ["-L", range])
        .collect();
    if asked.moves {
        arguments.push("-M");
    }
    arguments.extend([&*commit, "--", &path]);
    let told = blame(repository.packs(), asked).unwrap();
    let told: Vec<_> = told.iter().map(shown).collect();
    let expected = by_git(stock, &arguments);
    let different = told
        .iter()
        .zip(&expected)
        .find(|(told, expected)| told != expected);
    assert!(
        told == expected,
        "{arguments:?}: {} and {} lines, {different:?}",
        told.len(),
        expected.len()
    );
}

#[test]
fn lines_are_from_where_git_says() {
    for stock in Stock::each() {
        let stock = stock.with_history(60);
        let (_folder, repository) = stock.opened();
        let files = stock.git(["ls-tree", "-r", "main"]);
        for line in files.lines().filter(|line| !line.starts_with("160000")) {
            let (_, path) = line.split_once('\t').unwrap();
            check(&stock, &repository, &request(stock.id("main"), path));
        }
        let asked = |ranges: &[&str]| BlameRequest {
            ranges: ranges.iter().map(|range| (*range).to_owned()).collect(),
            ..request(stock.id("main"), "README")
        };
        for ranges in [
            &["10,30"][..],
            &["5,+3", "100,110"],
            &[":line 1[0-9]", "^:ver"],
            &["/line 7 /,+5", "1,2"],
            &["150"],
        ] {
            check(&stock, &repository, &asked(ranges));
        }
    }
}

#[test]
fn files_are_followed_and_lines_that_moved_if_asked() {
    let stock = Stock::new(ObjectFormat::Sha1);
    let mut stream = String::new();
    let lines = |from: u32, to: u32| -> String {
        (from..to)
            .map(|line| format!("this is line number {line} of the text\n"))
            .collect()
    };
    let versions = [
        ("old/name", lines(0, 40)),
        ("old/name", lines(0, 10) + &lines(20, 40) + &lines(10, 20)),
        ("new/name", lines(0, 10) + &lines(20, 41) + &lines(10, 20)),
        (
            "new/name",
            lines(30, 41) + "}\n\n" + &lines(0, 10) + &lines(20, 30) + &lines(12, 20),
        ),
        (
            "newest",
            lines(30, 41)
                + "}\n\n"
                + &lines(0, 10)
                + "an insertion\n"
                + &lines(20, 30)
                + &lines(12, 20),
        ),
    ];
    let mut last = "";
    for (number, (path, text)) in (1..).zip(&versions) {
        stream += &format!(
            "commit refs/heads/main\nmark :{number}\ncommitter C <c@c> {} +0000\ndata 1\nm\n",
            1000 + number
        );
        if *path != last && !last.is_empty() {
            stream += &format!("D {last}\n");
        }
        stream += &format!("M 100644 inline {path}\ndata {}\n{text}\n", text.len());
        last = path;
    }
    // A branch that changed the same file elsewhere, merged.
    let text = lines(0, 5) + "from the side\n" + &lines(5, 40);
    stream += &format!(
        "commit refs/heads/side\nmark :9\ncommitter C <c@c> 1050 +0000\ndata 1\nm\nfrom :1\nM 100644 inline old/name\ndata {}\n{text}\n",
        text.len()
    );
    let merged =
        lines(30, 41) + "}\n\n" + &lines(0, 5) + "from the side\n" + &lines(5, 10) + &lines(20, 30);
    stream += &format!(
        "commit refs/heads/main\nmark :10\ncommitter C <c@c> 1100 +0000\ndata 1\nm\nfrom :5\nmerge :9\nM 100755 inline newest\ndata {}\n{merged}\n",
        merged.len()
    );
    stock.import(&stream);
    stock.git(["repack", "-q", "-a", "-d"]);
    let (_folder, repository) = stock.opened();
    for (revision, path) in [
        ("main", "newest"),
        ("main~1", "newest"),
        ("main~2", "new/name"),
        ("main~3", "new/name"),
        ("side", "old/name"),
    ] {
        for moves in [false, true] {
            let asked = BlameRequest {
                moves,
                ..request(stock.id(revision), path)
            };
            check(&stock, &repository, &asked);
        }
    }
}

#[test]
fn what_can_not_be_told_is_refused() {
    let stock = Stock::new(ObjectFormat::Sha1).with_history(20);
    let mut stream = String::from("commit refs/heads/long\ncommitter C <c@c> 1 +0000\ndata 1\nm\n");
    for (path, lines) in [("most", FILE_LINES_MAX - 1), ("more", FILE_LINES_MAX)] {
        stream += &format!(
            "M 100644 inline {path}\ndata {lines}\n{}\n",
            "\n".repeat(lines)
        );
    }
    stock.import(&stream);
    stock.git(["repack", "-q", "-a", "-d"]);
    let (_folder, repository) = stock.opened();
    let some = |path: &str| BlameRequest {
        ranges: vec!["7,9".to_owned()],
        ..request(stock.id("long"), path)
    };
    assert_eq!(blame(repository.packs(), &some("most")).unwrap().len(), 3);
    assert!(matches!(
        blame(repository.packs(), &some("more")),
        Err(BlameError::TooMuch(_))
    ));
    let many = request(stock.id("long"), "most");
    assert!(matches!(
        blame(repository.packs(), &many),
        Err(BlameError::TooMuch(_))
    ));
    let refused = |asked: BlameRequest| blame(repository.packs(), &asked).unwrap_err();
    for path in ["absent", "src", "module", "README/x"] {
        let error = refused(request(stock.id("main"), path));
        assert!(matches!(error, BlameError::NoFile), "{path}: {error}");
    }
    let beyond = BlameRequest {
        ranges: vec!["9999".to_owned()],
        ..request(stock.id("main"), "README")
    };
    assert!(matches!(
        refused(beyond),
        BlameError::Ranges(RangesError::Beyond { .. })
    ));
    let late = BlameRequest {
        deadline: Instant::now(),
        ..request(stock.id("main"), "README")
    };
    assert!(matches!(refused(late), BlameError::TooMuch(_)));
}

/// Holds our answers against git's over a real history: `PACKHORSE_BLAME_REPOSITORY=/path/to/bare.git` and
/// `PACKHORSE_BLAME_FILES="path path"`, at `PACKHORSE_BLAME_COMMIT`.
#[test]
#[ignore = "needs a repository with a long history"]
fn real_files_are_told_as_by_git() {
    let variable = |name: &str| std::env::var(name).expect("what to look at is named");
    let folder = std::path::PathBuf::from(variable("PACKHORSE_BLAME_REPOSITORY"));
    let stock = Stock::new(ObjectFormat::Sha1);
    let alternates = format!("{}\n", folder.join("objects").display());
    std::fs::write(stock.path().join("objects/info/alternates"), alternates).unwrap();
    let scratch = tempfile::tempdir().unwrap();
    let objects = [folder.join("objects")];
    let repository =
        Repository::open_plain(&objects, &[], scratch.path(), ObjectFormat::Sha1).unwrap();
    let commit = stock.id(&variable("PACKHORSE_BLAME_COMMIT"));
    for path in variable("PACKHORSE_BLAME_FILES").split(' ') {
        for moves in [false, true] {
            let asked = BlameRequest {
                moves,
                ..request(commit, path)
            };
            let began = Instant::now();
            let lines = blame(repository.packs(), &asked).unwrap().len();
            let took = began.elapsed();
            let began = Instant::now();
            check(&stock, &repository, &asked);
            eprintln!(
                "{path} moves {moves}: {lines} lines in {took:?}, both once more in {:?}",
                began.elapsed()
            );
        }
    }
}
