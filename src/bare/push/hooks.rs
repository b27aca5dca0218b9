//! Hooks: the one place where a process starts, and only if whoever runs this program asked for it.
//!
//! Source: githooks(5), git-receive-pack(1).
//! Bounds: a hook's words are passed on in pieces of [`PIECE_BYTES`]; the answer of `proc-receive` is
//! at most [`ANSWER_BYTES`].
//! Invariant: without [`Pusher::hooks`] nothing of a repository is ever run.
//! Not here: what follows from a hook's answer (`super`).

use std::{
    ffi::OsStr,
    fs,
    io::{self, Read, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use packhorse_protocol::pkt_line;

use super::{Pusher, transaction::Move};
use crate::{
    bare::{BareError, folder::Folder},
    model::{ObjectFormat, ObjectId},
};

/// Bytes of a hook's output that are read at once.
const PIECE_BYTES: usize = 8 << 10;
/// Bytes that `proc-receive` may answer with.
const ANSWER_BYTES: u64 = 64 << 20;

/// The hooks of one folder.
#[derive(Debug)]
pub(super) struct Hooks {
    enabled: bool,
    folder: PathBuf,
    git_dir: PathBuf,
    format: ObjectFormat,
    /// Who pushes, where the environment does not say so.
    committer: Vec<(&'static str, String)>,
    push_options: Vec<(String, String)>,
    /// Where objects under way are, for hooks that run before they are moved into place.
    quarantine: Vec<(&'static str, PathBuf)>,
}

/// Takes what a hook says.
pub(super) type Words<'a> = &'a mut dyn FnMut(&[u8]);

impl Hooks {
    pub(super) fn new(folder: &Folder, pusher: &Pusher) -> Self {
        let configured = folder.config.texts("core.hooksPath").pop();
        let hooks = configured.map_or_else(
            || folder.common.join("hooks"),
            |path| folder.git_dir.join(path),
        );
        let named = [
            ("GIT_COMMITTER_NAME", &pusher.name),
            ("GIT_COMMITTER_EMAIL", &pusher.email),
        ];
        let unset = |name: &str| std::env::var_os(name).is_none();
        let committer = named
            .into_iter()
            .filter(|(name, _)| unset(name))
            .filter_map(|(name, value)| Some((name, value.clone()?)));
        Self {
            enabled: pusher.hooks,
            folder: hooks,
            git_dir: folder.git_dir.clone(),
            format: folder.format,
            committer: committer.collect(),
            push_options: Vec::new(),
            quarantine: Vec::new(),
        }
    }

    /// Options that the pusher gave; `None` if it could give none.
    pub(super) fn with_push_options(&mut self, options: Option<&[Vec<u8>]>) {
        let Some(options) = options else { return };
        self.push_options = vec![(
            "GIT_PUSH_OPTION_COUNT".to_owned(),
            options.len().to_string(),
        )];
        for (at, option) in options.iter().enumerate() {
            let option = String::from_utf8_lossy(option).into_owned();
            self.push_options
                .push((format!("GIT_PUSH_OPTION_{at}"), option));
        }
    }

    /// Objects lie in `incoming` until [`Self::out_of_quarantine`].
    pub(super) fn in_quarantine(&mut self, incoming: &Path, objects: &Path) {
        self.quarantine = vec![
            ("GIT_QUARANTINE_PATH", incoming.to_owned()),
            ("GIT_OBJECT_DIRECTORY", incoming.to_owned()),
            ("GIT_ALTERNATE_OBJECT_DIRECTORIES", objects.to_owned()),
        ];
    }

    pub(super) fn out_of_quarantine(&mut self) {
        self.quarantine.clear();
    }

    /// Whether hooks may run at all.
    pub(super) fn are_enabled(&self) -> bool {
        self.enabled
    }

    /// The program of this name, if there is one that can be run.
    pub(super) fn find(&self, name: &str) -> Option<PathBuf> {
        let path = self.folder.join(name);
        let facts = fs::metadata(&path).ok()?;
        (facts.is_file() && facts.permissions().mode() & 0o111 != 0).then_some(path)
    }

    /// Runs a hook with this input; whether it agrees. One that is not there does.
    pub(super) fn agrees(
        &self,
        name: &str,
        arguments: &[&OsStr],
        input: &[u8],
        words: Words<'_>,
    ) -> Result<bool, BareError> {
        let Some(path) = self.find(name).filter(|_| self.enabled) else {
            return Ok(true);
        };
        let failed = |error| BareError::io("unable to run", path.clone())(error);
        let (mut output, theirs) = io::pipe().map_err(failed)?;
        let mut command = self.command(&path);
        if matches!(name, "pre-receive" | "post-receive") {
            command.envs(self.push_options.iter().map(|(name, value)| (name, value)));
        }
        command
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(theirs.try_clone().map_err(failed)?)
            .stderr(theirs);
        let mut child = command.spawn().map_err(failed)?;
        // The command holds our end of what the hook writes to.
        drop(command);
        let stdin = child.stdin.take();
        std::thread::scope(|scope| {
            // A hook need not read what it is told.
            scope.spawn(move || stdin.map(|mut stdin| stdin.write_all(input).ok()));
            pass_on(&mut output, words)
        })
        .map_err(failed)?;
        Ok(child.wait().map_err(failed)?.success())
    }

    /// `old SP new SP name LF` of each, as hooks are told.
    pub(super) fn lines<'a>(&self, moves: impl IntoIterator<Item = &'a Move>) -> Vec<u8> {
        let mut lines = Vec::new();
        for moved in moves {
            lines.extend_from_slice(self.id(moved.old).as_bytes());
            lines.push(b' ');
            lines.extend_from_slice(self.id(moved.new).as_bytes());
            lines.push(b' ');
            lines.extend_from_slice(&moved.name);
            lines.push(b'\n');
        }
        lines
    }

    /// An id as hooks are told, zeros for nothing.
    pub(super) fn id(&self, id: Option<ObjectId>) -> String {
        id.unwrap_or(ObjectId::null(self.format.kind())).to_string()
    }

    /// Hands these commands to `proc-receive`; answers its lines, an error in words, or nothing if
    /// there is no such hook.
    pub(super) fn proc_receive(
        &self,
        commands: &[Move],
        push_options: Option<&[Vec<u8>]>,
        atomic: bool,
        words: Words<'_>,
    ) -> Result<Result<Vec<Vec<u8>>, String>, BareError> {
        let Some(path) = self.find("proc-receive").filter(|_| self.enabled) else {
            return Ok(Err("fail to run proc-receive hook".to_owned()));
        };
        let failed = |error| BareError::io("unable to run", path.clone())(error);
        let mut command = self.command(&path);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().map_err(failed)?;
        let stderr = child.stderr.take();
        let (answer, said) = std::thread::scope(|scope| {
            let listening = scope.spawn(move || {
                let mut said = Vec::new();
                if let Some(stderr) = stderr {
                    stderr.take(ANSWER_BYTES).read_to_end(&mut said).ok();
                }
                said
            });
            let answer = self.converse(&mut child, commands, push_options, atomic);
            (answer, listening.join().unwrap_or_default())
        });
        words(&said);
        let status = child.wait().map_err(failed)?;
        Ok(match answer {
            Ok(_) if !status.success() => Err("fail to run proc-receive hook".to_owned()),
            Ok(lines) => Ok(lines),
            Err(error) => {
                words(format!("error: proc-receive hook: {error}\n").as_bytes());
                Err("fail to run proc-receive hook".to_owned())
            }
        })
    }

    fn converse(
        &self,
        child: &mut Child,
        commands: &[Move],
        push_options: Option<&[Vec<u8>]>,
        atomic: bool,
    ) -> io::Result<Vec<Vec<u8>>> {
        let broken = |error: &dyn std::fmt::Display| io::Error::other(error.to_string());
        let (Some(mut stdin), Some(stdout)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(broken(&"it has no input or output"));
        };
        let mut stdout = stdout.take(ANSWER_BYTES);
        let mut out = Vec::new();
        let mut line =
            |text: &[u8]| pkt_line::write_data(text, &mut out).map_err(|error| broken(&error));
        let mut features = Vec::new();
        if push_options.is_some() {
            features.push("push-options");
        }
        if atomic {
            features.push("atomic");
        }
        line(format!("version=1\0{}\n", features.join(" ")).as_bytes())?;
        pkt_line::write_flush(&mut out);
        stdin.write_all(&out)?;
        let greeting = read_lines(&mut stdout)?;
        let first = greeting.first().map(Vec::as_slice).unwrap_or_default();
        let mut halves = first.splitn(2, |byte| *byte == 0);
        let version = halves.next().unwrap_or_default().trim_ascii_end();
        // An empty answer stands for version 1, too.
        if !matches!(version, b"version=1" | b"version=0" | b"") {
            return Err(broken(&format!(
                "version {} is not supported",
                version.escape_ascii()
            )));
        }
        let takes_options = halves
            .next()
            .unwrap_or_default()
            .split(|byte| byte.is_ascii_whitespace())
            .any(|feature| feature == b"push-options");
        out.clear();
        for moved in commands {
            let text = self.lines([moved]);
            pkt_line::write_data(text.trim_ascii_end(), &mut out)
                .map_err(|error| broken(&error))?;
        }
        pkt_line::write_flush(&mut out);
        if let Some(options) = push_options.filter(|_| takes_options) {
            for option in options {
                pkt_line::write_data(option, &mut out).map_err(|error| broken(&error))?;
            }
            pkt_line::write_flush(&mut out);
        }
        stdin.write_all(&out)?;
        drop(stdin);
        read_lines(&mut stdout)
    }

    #[expect(
        clippy::disallowed_methods,
        reason = "the hooks of a plain folder, run only when its host asks for it"
    )]
    fn command(&self, path: &Path) -> Command {
        let mut command = Command::new(path);
        command
            .current_dir(&self.git_dir)
            .env("GIT_DIR", ".")
            .envs(self.committer.iter().map(|(name, value)| (name, value)))
            .envs(self.committer.iter().map(|(name, value)| (name, value)))
            .envs(self.quarantine.iter().map(|(name, value)| (name, value)));
        command
    }
}

fn pass_on(output: &mut impl Read, words: Words<'_>) -> io::Result<()> {
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        match output.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(length) => words(&piece[..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

/// Lines up to a flush, without their line ends.
fn read_lines(input: &mut impl Read) -> io::Result<Vec<Vec<u8>>> {
    let mut lines = Vec::new();
    loop {
        let mut head = [0; 4];
        input.read_exact(&mut head)?;
        let digits = std::str::from_utf8(&head).ok();
        let length = digits.and_then(|digits| usize::from_str_radix(digits, 16).ok());
        match length {
            Some(0) => return Ok(lines),
            Some(length) if length >= 4 => {
                let mut line = vec![0; length - 4];
                input.read_exact(&mut line)?;
                if line.last() == Some(&b'\n') {
                    line.pop();
                }
                lines.push(line);
            }
            _ => return Err(io::Error::other("it does not speak in pkt-lines")),
        }
    }
}
