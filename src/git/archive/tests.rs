//! Archives, held against those of `git archive`.

use std::process::Stdio;

use tempfile::TempDir;

use super::*;
use crate::git::{Repository, fixture::Stock};

/// A tree with everything that archives treat in a way of its own.
fn with_attributes(stock: Stock) -> Stock {
    let stock = stock.with_history(12);
    let long = "a-rather-long-name-of-a-folder/".repeat(4);
    let longer = "x".repeat(180);
    let target = "over/the/hills/".repeat(12);
    let mut stream = String::from(
        "commit refs/heads/main\ncommitter Carl <carl@example.org> 1700009999 -0230\n\
         data 27\nSubject\nin two lines\n\nBody\nfrom refs/heads/main^0\n",
    );
    let mut file = |mode: &str, path: &str, text: &str| {
        stream += &format!("M {mode} inline {path}\ndata {}\n{text}\n", text.len());
    };
    let attributes =
        "docs export-ignore\n*.txt export-subst\n/tools/ export-ignore\nempty/* export-ignore\n";
    file("100644", ".gitattributes", attributes);
    file(
        "100644",
        "src/.gitattributes",
        "file1* export-ignore\nfile2.txt -export-subst\n",
    );
    file("100644", "src/version.c", "$Format:%H$\n");
    file("100644", "src/keep/docs.md", "not ignored\n");
    file("100644", "empty/folder", "ignored\n");
    let placeholders =
        "H h T t P p an ae al at ai aI as ad aD cn ce ct ci cI cs cd cD s b B n % x41 zz q";
    let text: String = placeholders
        .split(' ')
        .map(|name| format!("{name}: $Format:<%{name}>$ $Format:open\n"))
        .collect();
    file("100755", "version.txt", &text);
    file("100644", &format!("{long}file"), "fits in the prefix\n");
    file("100644", &format!("{longer}/{longer}"), "fits nowhere\n");
    file("120000", "long-link", &target);
    file("100644", "é/ü.bin", "a\0b");
    file("100644", "large", &"large file\n".repeat(150_000));
    file("100644", "incompressible", "x");
    stock.import(&stream);
    stock.git(["repack", "-q", "-a", "-d"]);
    stock
}

struct Archived {
    stock: Stock,
    repository: Repository,
    _folder: TempDir,
}

impl Archived {
    fn each() -> [Self; 2] {
        Stock::each().map(|stock| {
            let stock = with_attributes(stock);
            let (folder, repository) = stock.opened();
            Self {
                stock,
                repository,
                _folder: folder,
            }
        })
    }

    fn request(&self, revision: &str) -> ArchiveRequest {
        let commit = self.stock.id(&format!("{revision}^{{commit}}"));
        let time = self.stock.git(["log", "-1", "--format=%ct", revision]);
        ArchiveRequest {
            tree: self.stock.id(&format!("{revision}^{{tree}}")),
            commit: Some(commit),
            time: time.parse().unwrap(),
            prefix: Vec::new(),
            paths: PathLimits::default(),
            files: FileLimits::default(),
            format: Format::Tar,
        }
    }

    fn written(&self, request: &ArchiveRequest) -> Result<Vec<u8>, ArchiveError> {
        let mut bytes = Vec::new();
        let mut sink = |piece: &[u8]| {
            assert!(!piece.is_empty() && piece.len() <= 2 << 20);
            bytes.extend_from_slice(piece);
            Ok(())
        };
        let refs = self.stock.refs();
        write(
            self.repository.packs(),
            &refs,
            request,
            &mut sink,
            &mut |_| {},
        )?;
        Ok(bytes)
    }

    #[track_caller]
    fn check(&self, request: &ArchiveRequest, args: &[&str]) {
        let judged = self
            .stock
            .git_with_input([&["archive"], args].concat(), b"");
        let written = self.written(request).unwrap();
        let differs = written.iter().zip(&judged).position(|(a, b)| a != b);
        assert_eq!(
            (written.len(), differs),
            (judged.len(), None),
            "{args:?}: {:?}",
            differs.map(
                |at| String::from_utf8_lossy(&written[at.saturating_sub(99)..][..200]).into_owned()
            )
        );
    }
}

fn paths(texts: &[&str]) -> PathLimits {
    let texts: Vec<_> = texts.iter().map(|text| text.as_bytes().to_vec()).collect();
    PathLimits::new(&texts).unwrap()
}

#[test]
fn a_tar_archive_has_the_bytes_of_gits() {
    for archived in Archived::each() {
        let main = archived.request("main");
        archived.check(&main, &["main"]);
        archived.check(&archived.request("v1"), &["v1"]);
        for prefix in ["novel/", "novel", "deep/er//", "/"] {
            let request = ArchiveRequest {
                prefix: prefix.as_bytes().to_vec(),
                ..main.clone()
            };
            archived.check(&request, &[&format!("--prefix={prefix}"), "main"]);
        }
        for limits in [
            &["src"][..],
            &["src/"],
            &["src/keep", "README"],
            &["*.c"],
            &["src/*e[st]*"],
            &["."],
            &["tools", "README"],
        ] {
            let request = ArchiveRequest {
                paths: paths(limits),
                ..main.clone()
            };
            archived.check(&request, &[&["main"], limits].concat());
        }
        let folder = ArchiveRequest {
            tree: archived.stock.id("main:src"),
            commit: None,
            time: 1_234_567_890,
            ..main
        };
        archived.check(&folder, &["--mtime=@1234567890", "main:src"]);
    }
}

#[test]
fn a_limit_that_matches_nothing_is_refused_before_the_first_byte() {
    let [archived, _] = Archived::each();
    for limit in ["nowhere", "src/nowhere", "*.nothing", "README/x"] {
        let request = ArchiveRequest {
            paths: paths(&["src", limit]),
            ..archived.request("main")
        };
        let text = limit.to_owned();
        assert_eq!(
            archived.written(&request),
            Err(ArchiveError::Unmatched(text))
        );
    }
    assert!(PathLimits::new(&[b":(glob)x".to_vec()]).is_none());
    assert!(PathLimits::new(&vec![b"x".to_vec(); PathLimits::COUNT_MAX]).is_some());
    assert!(PathLimits::new(&vec![b"x".to_vec(); PathLimits::COUNT_MAX + 1]).is_none());
}

/// What a program prints for this input.
fn filtered(program: &str, args: &[&str], input: &[u8]) -> Vec<u8> {
    #[expect(
        clippy::disallowed_methods,
        reason = "stock programs are the judges in tests"
    )]
    let mut child = std::process::Command::new(program)
        .args(args)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let output = std::thread::scope(|scope| {
        scope.spawn(move || std::io::Write::write_all(&mut stdin, input));
        child.wait_with_output().unwrap()
    });
    assert!(output.status.success());
    output.stdout
}

#[test]
fn a_compressed_tar_is_the_tar_compressed() {
    let [archived, _] = Archived::each();
    let main = archived.request("main");
    let plain = archived.written(&main).unwrap();
    let mut lengths = Vec::new();
    for level in [None, Some(0), Some(1), Some(9)] {
        let request = ArchiveRequest {
            format: Format::TarGz(level),
            ..main.clone()
        };
        let bytes = archived.written(&request).unwrap();
        assert!(filtered("gzip", &["-dc"], &bytes) == plain, "{level:?}");
        lengths.push(bytes.len());
    }
    assert!(lengths[1] > plain.len() && lengths[2] > lengths[3]);
}

#[test]
fn a_zip_archive_holds_what_gits_holds() {
    const LIST: &str = "import sys, zipfile, io\n\
        z = zipfile.ZipFile(io.BytesIO(sys.stdin.buffer.read()))\n\
        assert z.testzip() is None\n\
        print(z.comment)\n\
        for i in z.infolist():\n  \
        print(i.filename, i.date_time, i.compress_type, i.extra, i.create_system, i.create_version,\n    \
        i.extract_version, i.flag_bits & ~8, i.internal_attr, i.external_attr, i.CRC, i.file_size)\n";
    for archived in Archived::each() {
        for level in [None, Some(0), Some(9)] {
            let request = ArchiveRequest {
                format: Format::Zip(level),
                prefix: b"novel/".to_vec(),
                ..archived.request("main")
            };
            let mut args = vec!["archive".to_owned(), "--format=zip".to_owned()];
            args.extend(level.map(|level| format!("-{level}")));
            args.extend(["--prefix=novel/", "main"].map(str::to_owned));
            let judged = archived.stock.git_with_input(args, b"");
            let written = archived.written(&request).unwrap();
            let list = |bytes: &[u8]| String::from_utf8(filtered("python3", &["-c", LIST], bytes));
            let (ours, theirs) = (list(&written).unwrap(), list(&judged).unwrap());
            let differing: Vec<_> = ours
                .lines()
                .zip(theirs.lines())
                .filter(|(ours, theirs)| ours != theirs)
                .collect();
            assert!(differing.is_empty(), "{level:?}: {differing:?}");
            assert_eq!(ours.lines().count(), theirs.lines().count());
        }
    }
}

#[test]
fn a_sink_that_stops_ends_the_work() {
    let [archived, _] = Archived::each();
    for format in [Format::Tar, Format::TarGz(None), Format::Zip(None)] {
        let request = ArchiveRequest {
            format,
            ..archived.request("main")
        };
        let mut calls = 0;
        let mut sink = |_: &[u8]| {
            calls += 1;
            Err(Stopped)
        };
        let refs = archived.stock.refs();
        let stopped = write(
            archived.repository.packs(),
            &refs,
            &request,
            &mut sink,
            &mut |_| {},
        );
        assert_eq!(stopped, Err(ArchiveError::Stopped(Stopped)));
        assert_eq!(calls, 1);
    }
}

/// Trees that hold each other ten times over, with no file at any of their paths, keep the walk going for
/// ever, and the peer that asked for it may be gone long since: nothing is sent by which that would show.
#[test]
fn a_walk_that_would_not_end_is_given_up() {
    let stock = Stock::new(crate::model::ObjectFormat::Sha1);
    let mktree = |lines: String| {
        let made = stock.git_with_input(["mktree"], lines.as_bytes());
        String::from_utf8(made).unwrap().trim().to_owned()
    };
    let mut tree = mktree(String::new());
    for _ in 0..3 {
        tree = mktree(
            (0..10)
                .map(|n| format!("040000 tree {tree}\t{n}\n"))
                .collect(),
        );
    }
    let commit = stock.git(["commit-tree", "-m", "deep", &tree]);
    stock.git(["update-ref", "refs/heads/main", &commit]);
    stock.git(["repack", "-q", "-a", "-d"]);
    let (_folder, repository) = stock.opened();
    let write = |entries_max: u64, paths: &[Vec<u8>]| {
        let request = ArchiveRequest {
            tree: tree.parse().unwrap(),
            commit: None,
            time: 0,
            prefix: Vec::new(),
            paths: PathLimits::new(paths).unwrap(),
            files: FileLimits::default(),
            format: Format::Tar,
        };
        let (packs, refs) = (repository.packs(), stock.refs());
        write_within(
            entries_max,
            packs,
            &refs,
            &request,
            &mut |_| Ok(()),
            &mut |_| (),
        )
    };
    let entries = 10 + 100 + 1000;
    assert!(matches!(write(entries, &[]), Ok(())));
    assert!(matches!(
        write(entries - 1, &[]),
        Err(ArchiveError::TooManyEntries)
    ));
    let nowhere = [b"*.txt".to_vec()];
    assert!(matches!(
        write(entries, &nowhere),
        Err(ArchiveError::Unmatched(_))
    ));
    assert!(matches!(
        write(entries - 1, &nowhere),
        Err(ArchiveError::TooManyEntries)
    ));
    assert!(PathLimits::new(&[Vec::new()]).is_some());
}
