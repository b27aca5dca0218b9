//! Times the engine beside stock git, on one repository, and prints a table.
//!
//! `cargo bench --bench engine` makes a history of its own; with `PACKHORSE_BENCH_REPOSITORY` set to the path
//! of a bare repository it takes that one, which is only read. Both sides use one thread and a warm page cache. The figures of
//! git include the start of a process, those of the engine don't: below some twenty milliseconds look at
//! the bytes rather than at the time.
//!
//! Source: git-pack-objects(1) and git-index-pack(1), called as git-upload-pack(1) and
//! git-receive-pack(1) call them.

#![expect(clippy::unwrap_used, reason = "a benchmark that fails shall stop")]
#![expect(clippy::print_stdout, reason = "the table is what it is for")]

use std::{
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Arc,
    time::{Duration, Instant},
};

use packhorse::{
    git::{
        Repository,
        fetch::{self, FetchRequest, Filter},
        receive,
    },
    model::{ObjectFormat, ObjectId, RefEntry, RefSnapshot},
};

/// Timings of each case, of which the table shows the median.
const RUNS: usize = 5;

/// Commits of the history that is made when none is given.
const COMMITS: u32 = 3_000;

fn main() {
    let folder = tempfile::TempDir::new().unwrap();
    let given = std::env::var_os("PACKHORSE_BENCH_REPOSITORY").map(PathBuf::from);
    let peer = Peer(given.unwrap_or_else(|| made(folder.path())));
    let server = Served::pushed(&peer, &folder.path().join("served"));
    println!("| case | engine ms | git ms | ratio | engine KiB | git KiB |");
    println!("|---|---:|---:|---:|---:|---:|");
    for case in cases(&peer) {
        let fresh = median(|| server.copy_again().pack(&case.request).len());
        let git = median(|| peer.run(&case.args, case.input.as_bytes()).len());
        row(case.name, &fresh, &git);
        let plan = server.plan(&case.request);
        let _first = written(&plan);
        let again = median(|| written(&plan).len());
        row(&format!("{}, asked again", case.name), &again, &git);
    }
    let pack = server.pack(&cases(&peer)[0].request);
    let ours = median(|| {
        let empty = folder.path().join("empty");
        let repository = Repository::create(&empty, server.format).unwrap();
        push(&repository, &pack);
        std::fs::remove_dir_all(&empty).unwrap();
        pack.len()
    });
    let git = median(|| {
        let empty = folder.path().join("peer.git");
        let format = format!("--object-format={}", server.format);
        let path = empty.to_str().unwrap();
        peer.run(&["init", "-q", "--bare", &format, path], b"");
        Peer(empty.clone()).run(&["index-pack", "--stdin", "--strict", "--threads=1"], &pack);
        std::fs::remove_dir_all(&empty).unwrap();
        pack.len()
    });
    row("receive it, checked", &ours, &git);
}

/// One question and how git is asked it.
struct Case {
    name: &'static str,
    request: FetchRequest,
    args: Vec<&'static str>,
    input: String,
}

fn cases(peer: &Peer) -> Vec<Case> {
    let refs = peer.refs();
    let all: Vec<ObjectId> = refs.entries().iter().map(|entry| entry.id).collect();
    let head = refs.head_id().unwrap_or(all[0]);
    let behind = peer
        .text(&["rev-list", "--first-parent", "--max-count=101", "HEAD"])
        .lines()
        .last()
        .and_then(|line| line.parse().ok())
        .unwrap_or(head);
    let lines = |ids: &[ObjectId]| ids.iter().map(|id| format!("{id}\n")).collect::<String>();
    let case = |name, more: &[&'static str], request: FetchRequest, input| Case {
        name,
        request: FetchRequest {
            ofs_delta: true,
            ..request
        },
        args: [
            &["-c", "pack.threads=1", "pack-objects", "-q", "--revs"],
            &["--stdout", "--delta-base-offset"][..],
            more,
        ]
        .concat(),
        input,
    };
    vec![
        case(
            "clone",
            &[],
            FetchRequest {
                wants: all.clone(),
                ..FetchRequest::default()
            },
            lines(&all),
        ),
        case(
            "clone of depth 1",
            &["--shallow"],
            FetchRequest {
                wants: vec![head],
                shallow: vec![head],
                ..FetchRequest::default()
            },
            format!("--shallow {head}\n{head}\n"),
        ),
        case(
            "clone without blobs",
            &["--filter=blob:none"],
            FetchRequest {
                wants: all.clone(),
                filter: Some(Filter::BlobNone),
                ..FetchRequest::default()
            },
            lines(&all),
        ),
        case(
            "fetch, 100 commits behind",
            &["--thin"],
            FetchRequest {
                wants: vec![head],
                haves: vec![behind],
                thin_pack: true,
                ..FetchRequest::default()
            },
            format!("{head}\n--not\n{behind}\n"),
        ),
    ]
}

/// A bare repository and the git that works on it.
struct Peer(PathBuf);

impl Peer {
    fn run(&self, args: &[&str], input: &[u8]) -> Vec<u8> {
        #[expect(clippy::disallowed_methods, reason = "the peer of the comparison")]
        let mut child = Command::new("git")
            .args(args)
            .current_dir(&self.0)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        let output = std::thread::scope(|scope| {
            scope.spawn(move || stdin.write_all(input).unwrap());
            child.wait_with_output().unwrap()
        });
        assert!(output.status.success(), "git {args:?} failed");
        output.stdout
    }

    fn text(&self, args: &[&str]) -> String {
        String::from_utf8(self.run(args, b"")).unwrap()
    }

    fn format(&self) -> ObjectFormat {
        let name = self.text(&["rev-parse", "--show-object-format"]);
        name.trim().parse().unwrap()
    }

    fn refs(&self) -> RefSnapshot {
        let listed = self.text(&[
            "for-each-ref",
            "--format=%(objectname) %(*objectname) %(refname)",
        ]);
        let entry = |line: &str| {
            let mut words = line.split(' ');
            Some(RefEntry {
                id: words.next()?.parse().ok()?,
                peeled: words.next()?.parse().ok(),
                name: words.next()?.parse().ok()?,
            })
        };
        let head = self.text(&["symbolic-ref", "HEAD"]);
        let head = head.trim().parse().unwrap();
        RefSnapshot::new(1, head, listed.lines().filter_map(entry).collect())
    }
}

/// The same objects as the engine keeps them.
struct Served {
    folder: PathBuf,
    format: ObjectFormat,
    repository: Repository,
    refs: RefSnapshot,
}

impl Served {
    fn pushed(peer: &Peer, folder: &Path) -> Self {
        let format = peer.format();
        let repository = Repository::create(folder, format).unwrap();
        let refs = peer.refs();
        let tips = refs.entries().iter().map(|entry| format!("{}\n", entry.id));
        let pack = ["pack-objects", "-q", "--revs", "--stdout"];
        let pack = peer.run(
            &[&pack[..], &["--delta-base-offset"]].concat(),
            tips.collect::<String>().as_bytes(),
        );
        push(&repository, &pack);
        Self {
            folder: folder.to_owned(),
            format,
            repository,
            refs,
        }
    }

    /// Opened once more, with nothing remembered.
    fn copy_again(&self) -> Self {
        Self {
            folder: self.folder.clone(),
            repository: Repository::open(&self.folder, self.format).unwrap(),
            refs: self.refs.clone(),
            ..*self
        }
    }

    fn plan(&self, request: &FetchRequest) -> fetch::PackPlan {
        let packs = Arc::clone(&self.repository.packs());
        fetch::prepare(&self.repository, packs, &self.refs, request, &mut |_| {}).unwrap()
    }

    fn pack(&self, request: &FetchRequest) -> Vec<u8> {
        written(&self.plan(request))
    }
}

fn push(repository: &Repository, mut pack: &[u8]) {
    let limits = receive::Limits::default();
    receive::ingest(repository, &mut pack, &limits, &mut |_| {})
        .unwrap()
        .publish()
        .unwrap();
}

fn written(plan: &fetch::PackPlan) -> Vec<u8> {
    let mut pack = Vec::new();
    let mut sink = |bytes: &[u8]| {
        pack.extend_from_slice(bytes);
        Ok(())
    };
    plan.write_to(&mut sink, &mut |_| {}).unwrap();
    pack
}

/// A time and the bytes that came of it.
struct Figure {
    time: Duration,
    bytes: usize,
}

fn median(mut work: impl FnMut() -> usize) -> Figure {
    let mut bytes = 0;
    let mut times: Vec<Duration> = (0..RUNS)
        .map(|_| {
            let start = Instant::now();
            bytes = work();
            start.elapsed()
        })
        .collect();
    times.sort_unstable();
    Figure {
        time: times[RUNS / 2],
        bytes,
    }
}

fn row(case: &str, engine: &Figure, git: &Figure) {
    let ms = |figure: &Figure| figure.time.as_secs_f64() * 1e3;
    println!(
        "| {case} | {:.1} | {:.1} | {:.2} | {} | {} |",
        ms(engine),
        ms(git),
        ms(git) / ms(engine),
        engine.bytes >> 10,
        git.bytes >> 10,
    );
}

/// A history of files that grow and change, packed as stock git packs it.
fn made(folder: &Path) -> PathBuf {
    let path = folder.join("made.git");
    let peer = Peer(folder.to_owned());
    peer.run(
        &["init", "-q", "--bare", "-b", "main", path.to_str().unwrap()],
        b"",
    );
    let peer = Peer(path.clone());
    let mut stream = String::new();
    for n in 1..=COMMITS {
        let message = format!("Commit {n}\n");
        stream += &format!(
            "commit refs/heads/main\ncommitter C <c@example.org> {} +0000\n",
            1_700_000_000 + n
        );
        stream += &format!("data {}\n{message}", message.len());
        for file in 0..3 {
            let seed = n * 7 + file * 131;
            let text: String = (0..200 + n % 90)
                .map(|line| {
                    format!(
                        "{} {}\n",
                        line,
                        (line * 2_654_435_761u32.wrapping_mul(1 + seed / 40)) >> 20
                    )
                })
                .collect();
            let place = format!("part{}/sub{}/file{}.txt", seed % 11, seed % 17, seed % 53);
            stream += &format!("M 100644 inline {place}\ndata {}\n{text}\n", text.len());
        }
    }
    peer.run(&["fast-import", "--quiet"], stream.as_bytes());
    peer.run(&["-c", "pack.threads=1", "repack", "-adfq"], b"");
    path
}
