//! Commits made by API on the real server: many at once, large ones, refused ones, and what git says of
//! them afterwards.

use std::{
    io::{BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use crate::support::{Administrator, Process, Server, User, Via, WorkingCopy};

/// Decoded bytes of a chunk, as the published clients cut them.
const CHUNK: usize = 4 << 20;

/// A commit on its way to the server, sent in the manner of the published clients: without a length.
struct Upload {
    stream: TcpStream,
}

impl Upload {
    fn begin(address: SocketAddr, repository: &str, token: &str) -> Self {
        let mut stream = TcpStream::connect(address).unwrap();
        let patience = Some(Duration::from_secs(120));
        stream.set_read_timeout(patience).unwrap();
        stream.set_write_timeout(patience).unwrap();
        let head = format!(
            "POST /api/v1/repos/commit-pack?repo={repository} HTTP/1.1\r\nhost: server\r\n\
             authorization: Bearer {token}\r\ncontent-type: application/x-ndjson\r\n\
             transfer-encoding: chunked\r\nconnection: close\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        Self { stream }
    }

    fn line(&mut self, line: &Value) {
        let line = format!("{line}\n");
        let head = format!("{:x}\r\n", line.len());
        for part in [head.as_bytes(), line.as_bytes(), b"\r\n"] {
            self.stream.write_all(part).unwrap();
        }
    }

    fn chunk(&mut self, id: &str, bytes: &[u8], eof: bool) {
        let data = BASE64_STANDARD.encode(bytes);
        self.line(&json!({"blob_chunk": {"content_id": id, "data": data, "eof": eof}}));
    }

    /// Ends the body and reads the answer.
    fn ends(mut self) -> (u16, Value) {
        self.stream.write_all(b"0\r\n\r\n").unwrap();
        self.answer()
    }

    fn answer(self) -> (u16, Value) {
        let mut text = String::new();
        BufReader::new(self.stream)
            .read_to_string(&mut text)
            .unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(body).unwrap())
    }
}

fn metadata(file: &str, guard: Option<&str>) -> Value {
    let mut metadata = json!({
        "target_branch": "main",
        "commit_message": format!("Add {file}"),
        "author": {"name": "Ann", "email": "ann@example.org"},
        "files": [{"path": file, "content_id": "1", "mode": "100644"}],
    });
    if let Some(guard) = guard {
        metadata["expected_head_sha"] = guard.into();
    }
    json!({ "metadata": metadata })
}

fn commits(user: &User<'_>, address: SocketAddr, file: &str, guard: Option<&str>) -> (u16, Value) {
    let mut upload = Upload::begin(address, "alice/novel", &user.token);
    upload.line(&metadata(file, guard));
    upload.chunk("1", file.as_bytes(), true);
    upload.ends()
}

#[test]
fn a_hundred_commits_at_once_stand_in_a_line_and_of_those_with_a_guard_one_does() {
    let server = Server::start();
    let alice = server.user("alice");
    let novel = alice.creates_repository("novel");
    let address = server.addresses.http.unwrap();
    let (status, first) = commits(&alice, address, "first", None);
    assert_eq!(status, 201, "{first}");
    let at_once = |guard: Option<&str>| -> Vec<(u16, Value)> {
        std::thread::scope(|scope| {
            let alice = &alice;
            let threads: Vec<_> = (0..100)
                .map(|number| {
                    let file = format!("{}/{number}", guard.map_or("free", |_| "guarded"));
                    scope.spawn(move || commits(alice, address, &file, guard))
                })
                .collect();
            threads
                .into_iter()
                .map(|thread| thread.join().unwrap())
                .collect()
        })
    };
    let free = at_once(None);
    for (status, answer) in &free {
        assert_eq!(*status, 201, "{answer}");
    }
    let copy = alice.clones(&novel, Via::Http);
    let tip = copy.head();
    let guarded = at_once(Some(&tip));
    let made: Vec<_> = guarded
        .iter()
        .filter(|(status, _)| *status == 201)
        .collect();
    assert_eq!(made.len(), 1);
    let refused = guarded.iter().filter(|(status, answer)| {
        *status == 409 && answer["result"]["status"] == "precondition_failed"
    });
    assert_eq!(refused.count(), 99);

    copy.git("pull --quiet").succeeds();
    copy.git("fsck --strict").succeeds();
    let count = copy.git("rev-list --count HEAD").succeeds();
    assert_eq!(count, "102");
    assert_eq!(copy.git("rev-list --min-parents=2 HEAD").succeeds(), "");
    let files = copy.git("ls-tree -r --name-only HEAD free").succeeds();
    assert_eq!(files.lines().count(), 100);
    // Each one saw the tip that it replaced.
    let mut tips: Vec<_> = free
        .iter()
        .map(|(_, answer)| answer["result"]["old_sha"].as_str().unwrap())
        .collect();
    tips.sort_unstable();
    tips.dedup();
    assert_eq!(tips.len(), 100);
    // And git goes on from there.
    copy.commits("by-git", "x");
    copy.git("push --quiet origin HEAD:main").succeeds();
    let (status, _) = commits(&alice, address, "after-git", None);
    assert_eq!(status, 201);
}

#[test]
fn a_refusal_reaches_a_client_that_goes_on_sending() {
    let server = Server::start();
    let alice = server.user("alice");
    alice.creates_repository("novel");
    let address = server.addresses.http.unwrap();
    let (status, _) = commits(&alice, address, "first", None);
    assert_eq!(status, 201);
    let zeros = "0".repeat(40);
    let bytes = vec![7; CHUNK];
    let refused = |token: &str, guard: Option<&str>| {
        let mut upload = Upload::begin(address, "alice/novel", token);
        upload.line(&metadata("large", guard));
        for _ in 0..8 {
            upload.chunk("1", &bytes, false);
        }
        upload.ends()
    };
    let (status, answer) = refused(&alice.token, Some(&zeros));
    assert_eq!(status, 409, "{answer}");
    assert_eq!(answer["result"]["status"], "precondition_failed");
    assert_eq!(answer["result"]["old_sha"].as_str().unwrap().len(), 40);
    let (status, answer) = refused("ph_nonsense", None);
    assert_eq!(status, 401, "{answer}");
    assert_eq!(answer["result"]["status"], "unauthorized");
    // A client that goes away in the middle leaves nothing.
    let mut upload = Upload::begin(address, "alice/novel", &alice.token);
    upload.line(&metadata("large", None));
    upload.chunk("1", &bytes, false);
    drop(upload);
    let (status, _) = commits(&alice, address, "second", None);
    assert_eq!(status, 201);
}

/// Bytes that do not compress, the same for the same seed.
struct Noise(u64);

impl Noise {
    fn fill(&mut self, bytes: &mut [u8]) {
        for piece in bytes.chunks_mut(8) {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            let word = self.0.to_le_bytes();
            piece.copy_from_slice(&word[..piece.len()]);
        }
    }
}

/// `PACKHORSE_UPLOAD_BYTES=1073741824 tests/run -E 'test(a_large_upload)'` sends a gibibyte.
#[test]
fn a_large_upload_passes_through_without_being_held() {
    const MEMORY_KIB: u64 = 200 << 10;
    let length = std::env::var("PACKHORSE_UPLOAD_BYTES");
    let length: usize = length.map_or(48 << 20, |text| text.parse().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let server = Process::start(folder.path());
    let administrator = Administrator::new(folder.path());
    administrator
        .admin(&["repo", "create", "admin/novel"])
        .succeeds();
    let token = std::fs::read_to_string(folder.path().join("data/admin-token")).unwrap();
    let address = server.addresses.http.unwrap();
    let mut upload = Upload::begin(address, "admin/novel", token.trim());
    upload.line(&metadata("large", None));
    let mut bytes = vec![0; CHUNK];
    let mut noise = Noise(1);
    let mut left = length;
    while left > 0 {
        let size = left.min(CHUNK);
        noise.fill(&mut bytes[..size]);
        left -= size;
        upload.chunk("1", &bytes[..size], left == 0);
    }
    let (status, made) = upload.ends();
    assert_eq!(status, 201, "{made}");
    let pack_bytes = made["commit"]["pack_bytes"].as_u64().unwrap();
    assert!(pack_bytes > u64::try_from(length).unwrap());
    let used = server.peak_kib();
    assert!(used < MEMORY_KIB, "{used} KiB");

    let copy = administrator.git_folder("copy");
    let url = administrator.url(&server.addresses, "admin/novel", Via::Http);
    copy.git_with(&["clone", "--quiet", &url, "."], b"")
        .succeeds();
    let copy = WorkingCopy(copy);
    copy.git("fsck --strict").succeeds();
    assert_eq!(
        copy.git("cat-file -s HEAD:large").succeeds(),
        length.to_string()
    );
    let listed = copy.git("rev-parse HEAD:large").succeeds();
    assert_eq!(copy.git("hash-object large").succeeds(), listed);
}
