//! The server under attack, its one repository, and a way to say anything to it.

use std::{
    io::{Read as _, Write as _},
    net::TcpStream,
    path::{Path, PathBuf},
    time::Duration,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use packhorse_protocol::pkt_line;
use tempfile::TempDir;

use crate::support::{Administrator, Folder, Process, Via, WorkingCopy, clean_command};

/// Most memory that the server may ever have used.
const MEMORY_KIB: u64 = 150 << 10;
/// How long a test waits for an answer before it calls the server dead.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
/// The null id of SHA-1.
pub(super) const NOTHING: &str = "0000000000000000000000000000000000000000";

/// A server that the attacks of one test are aimed at.
pub(super) struct Victim {
    folder: TempDir,
    pub(super) server: Process,
    administrator: Administrator,
    source: WorkingCopy,
}

impl Victim {
    /// Starts one with this `[limits]` table and a repository `admin/novel`.
    pub(super) fn with_limits(limits: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = folder.path().join("config.toml");
        std::fs::write(&config, format!("[limits]\n{limits}\n")).unwrap();
        let server = start(folder.path());
        let administrator = Administrator::new(folder.path());
        administrator
            .admin(&["repo", "create", "admin/novel"])
            .succeeds();
        let source = WorkingCopy(administrator.git_folder("source"));
        source.git("init --quiet -b main .").succeeds();
        source.commits("one", "1\n");
        let url = administrator.url(&server.addresses, "admin/novel", Via::Http);
        source
            .git_with(&["remote", "add", "origin", &url], b"")
            .succeeds();
        source.git("push --quiet origin main").succeeds();
        Self {
            folder,
            server,
            administrator,
            source,
        }
    }

    /// Starts one with the limits that nobody changed.
    pub(super) fn new() -> Self {
        Self::with_limits("")
    }

    /// The same after the server was stopped, `tamper` was let at the folder of its repositories, and
    /// the server was started again.
    pub(super) fn tampered_with(self, tamper: impl FnOnce(&Path)) -> Self {
        assert!(self.server.terminate().success());
        tamper(&self.administrator.repositories());
        let server = start(self.folder.path());
        let url = self
            .administrator
            .url(&server.addresses, "admin/novel", Via::Http);
        self.source
            .git_with(&["remote", "set-url", "origin", &url], b"")
            .succeeds();
        Self { server, ..self }
    }

    /// The administrator's token.
    pub(super) fn token(&self) -> String {
        let url = self.url(Via::Http);
        let (_, rest) = url.split_once("admin:").unwrap();
        rest.split_once('@').unwrap().0.to_owned()
    }

    /// Where the repositories lie.
    pub(super) fn repositories(&self) -> PathBuf {
        self.administrator.repositories()
    }

    /// An empty folder for a client of its own.
    pub(super) fn client(&self, name: &str) -> Folder {
        self.administrator.git_folder(name)
    }

    /// The URL of the repository with the administrator's token inside, or for SSH without any.
    pub(super) fn url(&self, via: Via) -> String {
        self.administrator
            .url(&self.server.addresses, "admin/novel", via)
    }

    /// `ssh` with the administrator's key and this command.
    pub(super) fn ssh(&self, command: &str) -> std::process::Command {
        let (_, ssh) = &self.source.environment[0];
        let address = self.server.addresses.ssh.unwrap();
        let (port, host) = (address.port(), address.ip());
        let line = format!("exec {ssh} -p {port} git@{host} \"{command}\"");
        let mut shell = clean_command("sh", self.folder.path());
        shell.args(["-c", &line]);
        shell
    }

    /// A clone that was made before any attack.
    pub(super) fn source(&self) -> &WorkingCopy {
        &self.source
    }

    /// The tip of the one branch.
    pub(super) fn tip(&self) -> String {
        self.source.head()
    }

    /// Whether all is as before: a clone over each transport holds the one commit, no ref was added, nothing lies
    /// about, and the server has not used more memory than it may.
    #[track_caller]
    pub(super) fn is_unharmed(&self, after: &str) {
        for via in Via::BOTH {
            let fresh = tempfile::tempdir_in(self.folder.path()).unwrap();
            let name = fresh.path().file_name().unwrap().to_str().unwrap();
            let copy = self.administrator.git_folder(name);
            copy.git_with(&["clone", "--quiet", &self.url(via), "."], b"")
                .succeeds();
            assert_eq!(WorkingCopy(copy).head(), self.tip(), "after {after}");
        }
        let listed = self.source.git("ls-remote origin").succeeds();
        assert_eq!(listed.lines().count(), 2, "after {after}: {listed}");
        self.is_modest(after);
    }

    /// Whether the server has not used more memory than it may.
    #[track_caller]
    pub(super) fn is_modest(&self, after: &str) {
        let used = self.peak_kib();
        assert!(used <= MEMORY_KIB, "after {after}: {used} KiB");
    }

    /// The most memory that the server ever used.
    fn peak_kib(&self) -> u64 {
        self.server.peak_kib()
    }

    /// A connection to the HTTP side.
    pub(super) fn connects(&self) -> TcpStream {
        connect(self.server.addresses.http.unwrap())
    }

    /// A connection to the SSH side.
    pub(super) fn connects_by_ssh(&self) -> TcpStream {
        connect(self.server.addresses.ssh.unwrap())
    }

    /// The head of a Git request with the administrator's credential; `headers` end in a line end each.
    pub(super) fn head(&self, service: &str, headers: &str) -> String {
        let url = self.url(Via::Http);
        let (credential, _) = url
            .strip_prefix("http://")
            .unwrap()
            .split_once('@')
            .unwrap();
        format!(
            "POST /admin/novel.git/git-{service} HTTP/1.1\r\nhost: victim\r\n\
             authorization: Basic {}\r\ncontent-type: application/x-git-{service}-request\r\n\
             connection: close\r\n{headers}\r\n",
            BASE64_STANDARD.encode(credential)
        )
    }

    /// Sends one Git request over HTTP and reads the whole answer, status line and all.
    pub(super) fn posts(&self, service: &str, headers: &str, body: &[u8]) -> String {
        let length = format!("content-length: {}\r\n{headers}", body.len());
        let mut stream = self.connects();
        stream
            .write_all(self.head(service, &length).as_bytes())
            .unwrap();
        // The server may answer, and hang up, before it has read all of it.
        stream.write_all(body).ok();
        answer(stream)
    }

    /// Pushes this pack as a new branch and tells what the server reports.
    pub(super) fn pushes(&self, pack: &[u8]) -> String {
        let new = "1111111111111111111111111111111111111111";
        let mut body = commands(&[(NOTHING, new, "refs/heads/evil")]);
        body.extend_from_slice(pack);
        self.posts("receive-pack", "", &body)
    }
}

/// The real program over this folder's data, configured by its `config.toml`.
fn start(folder: &Path) -> Process {
    let config = format!("PACKHORSE_CONFIG={}", folder.join("config.toml").display());
    Process::start_by(folder, &["env", &config])
}

fn connect(address: std::net::SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// All that the peer says until it hangs up, one way or the other.
#[track_caller]
pub(super) fn answer(mut stream: TcpStream) -> String {
    let mut answer = Vec::new();
    let mut piece = [0; 4096];
    loop {
        match stream.read(&mut piece) {
            Ok(0) => break,
            Ok(length) => answer.extend_from_slice(&piece[..length]),
            Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => break,
            Err(error) => panic!("no answer: {error}"),
        }
    }
    String::from_utf8_lossy(&answer).into_owned()
}

/// The commands of a push: old, new, name.
pub(super) fn commands(commands: &[(&str, &str, &str)]) -> Vec<u8> {
    let mut wire = Vec::new();
    for (at, (old, new, name)) in commands.iter().enumerate() {
        let capabilities = if at == 0 { "\0report-status" } else { "" };
        let line = format!("{old} {new} {name}{capabilities}");
        pkt_line::write_data(line.as_bytes(), &mut wire).unwrap();
    }
    pkt_line::write_flush(&mut wire);
    wire
}

/// Some lines, `0001` among them for a delimiter, then a flush.
pub(super) fn lines(lines: &[&str]) -> Vec<u8> {
    let mut wire = Vec::new();
    for line in lines {
        match *line {
            "0001" => pkt_line::write_delimiter(&mut wire),
            line => pkt_line::write_data(line.as_bytes(), &mut wire).unwrap(),
        }
    }
    pkt_line::write_flush(&mut wire);
    wire
}
