//! A stock Git server over HTTPS: `git http-backend` behind a listener of the test's own.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    path::PathBuf,
    sync::{Arc, Mutex},
};

use rustls::{
    ServerConfig, ServerConnection, StreamOwned,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};
use tempfile::TempDir;

use super::{
    Finished,
    git::{Folder, clean_command},
    issuer::key_file,
};

/// How the server behaves.
#[derive(Debug, Clone, Default)]
pub(crate) struct Behaviour {
    /// What `authorization` must be; else 401.
    pub(crate) authorization: Option<String>,
    /// Every request is answered with this head and no body.
    pub(crate) answer: Option<String>,
    /// The answer to a fetch breaks off after so many bytes.
    pub(crate) cut_after: Option<usize>,
}

/// A running upstream with the bare repository `o/n.git`.
pub(crate) struct Upstream {
    folder: TempDir,
    pub(crate) port: u16,
    behaviour: Arc<Mutex<Behaviour>>,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Upstream {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let upstream = Self {
            folder,
            port,
            behaviour: Arc::default(),
            heads: Arc::default(),
        };
        std::fs::write(
            upstream.folder.path().join("gitconfig"),
            "[gc]\n\tauto = 0\n",
        )
        .unwrap();
        std::fs::create_dir_all(upstream.repository()).unwrap();
        upstream.git("init --quiet --bare -b trunk .").succeeds();
        let certificates = CertificateDer::pem_file_iter(key_file("tls-cert.pem")).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                certificates.map(Result::unwrap).collect(),
                PrivateKeyDer::from_pem_file(key_file("tls-key.pem")).unwrap(),
            )
            .unwrap();
        let config = Arc::new(config);
        let (root, behaviour, heads) = (
            upstream.folder.path().to_owned(),
            Arc::clone(&upstream.behaviour),
            Arc::clone(&upstream.heads),
        );
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let connection = ServerConnection::new(Arc::clone(&config)).unwrap();
                let stream = StreamOwned::new(connection, stream);
                let (root, behaviour) = (root.clone(), behaviour.lock().unwrap().clone());
                let heads = Arc::clone(&heads);
                // Whoever hangs up in the middle is the client under test.
                std::thread::spawn(move || answer(stream, &root, &behaviour, &heads).ok());
            }
        });
        upstream
    }

    pub(crate) fn repository(&self) -> PathBuf {
        self.folder.path().join("o/n.git")
    }

    /// Runs git in the bare repository.
    pub(crate) fn git(&self, arguments: &str) -> Finished {
        self.folder_of_git().git(arguments)
    }

    /// Feeds a stream to `git fast-import`.
    pub(crate) fn import(&self, stream: &str) {
        self.folder_of_git()
            .git_with(&["fast-import", "--quiet", "--force"], stream.as_bytes())
            .succeeds();
    }

    /// Adds a commit with this message to a branch.
    pub(crate) fn commits(&self, branch: &str, message: &str) -> String {
        let full = format!("refs/heads/{branch}");
        let known = self.git(&format!("rev-parse --verify --quiet {full}"));
        let from = match known.succeeded() {
            true => format!("from {full}^0\n"),
            false => String::new(),
        };
        self.import(&format!(
            "commit {full}\ncommitter C <c@example.com> 1700000000 +0000\ndata {}\n{message}\n{from}\
             M 100644 inline {message}.txt\ndata {}\n{message}\n\n",
            message.len(),
            message.len(),
        ));
        self.git(&format!("rev-parse {full}")).succeeds()
    }

    fn folder_of_git(&self) -> Folder {
        Folder {
            program: PathBuf::from("git"),
            path: self.repository(),
            home: self.folder.path().to_owned(),
            environment: Vec::new(),
        }
    }

    pub(crate) fn behaves(&self, behaviour: Behaviour) {
        *self.behaviour.lock().unwrap() = behaviour;
    }

    /// The heads of the requests since the last call.
    pub(crate) fn heads(&self) -> Vec<String> {
        std::mem::take(&mut *self.heads.lock().unwrap())
    }
}

type Encrypted = StreamOwned<ServerConnection, TcpStream>;

fn answer(
    stream: Encrypted,
    root: &std::path::Path,
    behaviour: &Behaviour,
    heads: &Mutex<Vec<String>>,
) -> std::io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut head = String::new();
    while stream.read_line(&mut head)? > 2 {}
    heads.lock().unwrap().push(head.clone());
    let header = |name: &str| {
        head.lines().find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then(|| value.to_owned())
        })
    };
    let length = header("content-length").map_or(0, |length| length.parse().unwrap());
    let mut body = vec![0; length];
    stream.read_exact(&mut body)?;
    let mut words = head.split(' ');
    let (method, target) = (
        words.next().unwrap_or_default(),
        words.next().unwrap_or_default(),
    );
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let stream = stream.get_mut();
    if let Some(answer) = &behaviour.answer {
        write!(
            stream,
            "{answer}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
        )?;
        return finish(stream);
    }
    if behaviour.authorization.is_some() && header("authorization") != behaviour.authorization {
        write!(
            stream,
            "HTTP/1.1 401 Unauthorized\r\nwww-authenticate: Basic realm=\"x\"\r\n\
             content-length: 0\r\nconnection: close\r\n\r\n"
        )?;
        return finish(stream);
    }
    let mut command = clean_command("git", root);
    command
        .arg("http-backend")
        .env("GIT_PROJECT_ROOT", root)
        .env("GIT_HTTP_EXPORT_ALL", "")
        .env("REQUEST_METHOD", method)
        .env("PATH_INFO", path)
        .env("QUERY_STRING", query)
        .env("CONTENT_LENGTH", length.to_string())
        .env("CONTENT_TYPE", header("content-type").unwrap_or_default())
        .env("GIT_PROTOCOL", header("git-protocol").unwrap_or_default());
    let said = Finished::run(command, &body).bytes();
    let end = said
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .unwrap();
    let (head, body) = said.split_at(end + 4);
    let head = String::from_utf8_lossy(&head[..end]);
    let status = head.lines().find_map(|line| line.strip_prefix("Status: "));
    let kept = head.lines().filter(|line| !line.starts_with("Status: "));
    let kept: String = kept.map(|line| format!("{line}\r\n")).collect();
    write!(
        stream,
        "HTTP/1.1 {}\r\n{kept}content-length: {}\r\nconnection: close\r\n\r\n",
        status.unwrap_or("200 OK"),
        body.len()
    )?;
    let cut = behaviour.cut_after.filter(|_| method == "POST");
    stream.write_all(&body[..cut.unwrap_or(body.len()).min(body.len())])?;
    finish(stream)
}

fn finish(stream: &mut Encrypted) -> std::io::Result<()> {
    stream.conn.send_close_notify();
    stream.flush()
}
