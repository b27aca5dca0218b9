//! What is flushed before what: a power cut keeps only what was.

use std::collections::HashMap;

use super::scene::Scene;
use crate::support::{Process, Strace, Via};

const CALLS: &str =
    "trace=fsync,fdatasync,rename,renameat,renameat2,mkdir,sendto,sendmsg,write,writev";

/// One call of the server to the kernel.
#[derive(Debug)]
struct Call {
    text: String,
    /// Line of the log in which it begins.
    begun: usize,
    /// Line of the log in which it is over.
    ended: usize,
}

/// All calls of a log, in the order in which they began.
struct Calls(Vec<Call>);

impl Calls {
    fn parse(log: &str) -> Self {
        let mut calls = Vec::new();
        let mut open: HashMap<&str, usize> = HashMap::new();
        for (at, line) in log.lines().enumerate() {
            let Some((thread, text)) = line.split_once(' ') else {
                continue;
            };
            if text.contains(" resumed>") {
                if let Some(begun) = open.remove(thread) {
                    let call: &mut Call = &mut calls[begun];
                    call.ended = at;
                }
                continue;
            }
            if text.contains("<unfinished ...>") {
                open.insert(thread, calls.len());
            }
            calls.push(Call {
                text: text.trim_start().to_owned(),
                begun: at,
                ended: at,
            });
        }
        Self(calls)
    }

    /// All calls of this name that hold all these words.
    fn all(&self, name: &str, words: &[&str]) -> Vec<&Call> {
        let name = format!("{name}(");
        let matches = |call: &&Call| {
            call.text.starts_with(&name) && words.iter().all(|word| call.text.contains(word))
        };
        self.0.iter().filter(matches).collect()
    }

    /// The only call of this name that holds all these words.
    #[track_caller]
    fn only(&self, name: &str, words: &[&str]) -> &Call {
        let found = self.all(name, words);
        assert_eq!(found.len(), 1, "{name} of {words:?} in {:#?}", self.0);
        found[0]
    }

    /// That the folder is flushed between the two calls.
    #[track_caller]
    fn flushed_between(&self, earlier: &Call, folder: &str, later: &Call) {
        let end = format!("{folder}>");
        let flushed = self
            .all("fsync", &[&end])
            .iter()
            .any(|call| earlier.ended < call.begun && call.ended < later.begun);
        assert!(
            flushed,
            "{folder} not flushed between {earlier:?} and {later:?}"
        );
    }
}

/// The path between the n-th pair of quotes.
fn quoted(call: &Call, number: usize) -> &str {
    call.text.split('"').nth(2 * number + 1).unwrap()
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap()
}

#[test]
fn objects_are_flushed_before_their_names_then_the_refs_then_the_answer_goes_out() {
    let mut scene = Scene::new(2);
    scene.creates("admin/novel");
    for number in 1..=2 {
        // The first use of a token in a while is a commit of its own.
        scene.tip("admin/novel", "main");
        let strace = Strace::attach(scene.pid(), scene.path(), &["-s", "400", "-e", CALLS]);
        scene
            .pushes("admin/novel", &scene.commit(number), Via::Http)
            .succeeds();
        scene.server.take().unwrap().kill();
        let log = strace.log();
        let calls = Calls::parse(&log);
        let pack = calls.only("renameat", &[".pack\""]);
        let index = calls.only("renameat", &[".idx\""]);
        let commits = calls.all("fdatasync", &["packhorse.redb"]);
        let committed = *commits.last().expect("a commit");
        let answer = calls
            .0
            .iter()
            .find(|call| call.text.contains("unpack ok"))
            .unwrap_or_else(|| panic!("no answer in {log}"));
        for rename in [pack, index] {
            let file = format!("incoming/{}>", file_name(quoted(rename, 0)));
            assert!(calls.only("fsync", &[&file]).ended < rename.begun, "{log}");
            calls.flushed_between(rename, "objects/pack", committed);
        }
        assert!(pack.ended < index.begun, "{log}");
        assert!(committed.ended < answer.begun, "{log}");
        scene.restarts();
    }
}

#[test]
fn a_repository_is_flushed_folder_by_folder_before_its_row() {
    let mut scene = Scene::new(1);
    let strace = Strace::attach(scene.pid(), scene.path(), &["-e", CALLS]);
    scene.creates("admin/novel");
    scene.server.take().unwrap().kill();
    let log = strace.log();
    let calls = Calls::parse(&log);
    let commits = calls.all("fdatasync", &["packhorse.redb"]);
    let committed = commits.last().expect("a commit");
    let made: Vec<_> = calls
        .all("mkdir", &["repositories", ") = 0"])
        .into_iter()
        .filter(|call| call.begun < committed.begun)
        .collect();
    assert!(made.len() >= 6, "{log}");
    for call in made {
        let path = quoted(call, 0);
        let (parent, _) = path.rsplit_once('/').unwrap();
        calls.flushed_between(call, path, committed);
        calls.flushed_between(call, parent, committed);
    }
}

#[test]
fn a_first_start_flushes_its_secrets_before_anything_rests_on_them() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("strace.log");
    let starter = [
        "strace",
        "-f",
        "-y",
        "-o",
        log.to_str().unwrap(),
        "-e",
        CALLS,
    ];
    Process::start_by(folder.path(), &starter).kill();
    let log = std::fs::read_to_string(&log).unwrap();
    let calls = Calls::parse(&log);
    let ready = calls.only("rename", &["ready.json"]);
    let commits = calls.all("fdatasync", &["packhorse.redb"]);
    let administrator = *commits.last().expect("a commit");
    for (file, within, before) in [
        ("secret-key", "data", administrator),
        ("admin-token", "data", administrator),
        ("host_ed25519_key", "data/ssh", ready),
    ] {
        let rename = calls.only("rename", &[&format!("/{file}\")")]);
        let draft = format!("/{}>", file_name(quoted(rename, 0)));
        let flushes = calls.all("fsync", &[&draft]);
        let flushed = flushes.iter().any(|flush| flush.ended < rename.begun);
        assert!(flushed, "{file} was not flushed before {rename:?}");
        calls.flushed_between(rename, within, before);
    }
    for made in ["data/ssh\"", "data/repositories\""] {
        calls.flushed_between(calls.only("mkdir", &[made]), "/data", ready);
    }
    let data = calls.only("mkdir", &["/data\""]);
    let outside = quoted(data, 0).strip_suffix("/data").unwrap();
    calls.flushed_between(data, outside, ready);
}
