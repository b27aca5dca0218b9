//! What bounds a conversation: slots, silence, time, and how much one request may ask for.

use std::{
    io::{Read as _, Write as _},
    process::{Child, ChildStdin, ChildStdout, Stdio},
    time::{Duration, Instant},
};

use crate::support::{Remote, Server, User, Via, WorkingCopy, clean_command};

fn pkt(text: &str) -> String {
    format!("{:04x}{text}", text.len() + 4)
}

/// A fetch by hand over SSH that asked for objects and holds its slot.
struct Holder {
    child: Child,
    input: ChildStdin,
    output: ChildStdout,
}

impl Holder {
    fn begin(server: &Server, user: &User<'_>, remote: &Remote, want: &str) -> Self {
        let folder = user.new_folder();
        let (_, ssh) = &folder.environment[0];
        let address = server.addresses.ssh.unwrap();
        let line = format!(
            "exec {ssh} -p {} git@{} \"git-upload-pack '{}'\"",
            address.port(),
            address.ip(),
            remote.path
        );
        let mut child = clean_command("sh", &folder.home)
            .args(["-c", &line])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut holder = Self {
            input: child.stdin.take().unwrap(),
            output: child.stdout.take().unwrap(),
            child,
        };
        while holder.reads().unwrap() != "0000" {}
        let wants = [&pkt(&format!("want {want}\n")), "0000"].concat();
        holder.input.write_all(wants.as_bytes()).unwrap();
        // The answer shows that the wants were judged: from there on the slot is taken.
        assert_eq!(holder.asks(), Some("0008NAK\n".to_owned()));
        holder
    }

    /// Tells of an object that nobody has, and reads the answer; nothing if the server hung up.
    fn asks(&mut self) -> Option<String> {
        let haves = [&pkt(&format!("have {}\n", "1".repeat(40))), "0000"].concat();
        self.input.write_all(haves.as_bytes()).ok()?;
        self.reads()
    }

    fn reads(&mut self) -> Option<String> {
        let mut line = vec![0; 4];
        self.output.read_exact(&mut line).ok()?;
        let length = usize::from_str_radix(std::str::from_utf8(&line).unwrap(), 16).unwrap();
        line.resize(length.max(4), 0);
        self.output.read_exact(&mut line[4..]).ok()?;
        Some(String::from_utf8_lossy(&line).into_owned())
    }

    fn ends(mut self) {
        drop((self.input, self.output));
        self.child.wait().unwrap();
    }
}

fn pushed(user: &User<'_>) -> (Remote, WorkingCopy) {
    let remote = user.creates_repository("novel");
    let source = user.clones(&remote, Via::Http);
    source.commits("one", "1\n");
    source.git("push --quiet origin main").succeeds();
    (remote, source)
}

#[test]
fn a_full_server_says_so_instead_of_piling_up() {
    for (limit, set) in [
        (
            "server",
            (|limits| limits.server_slots = 1) as fn(&mut packhorse::config::Limits),
        ),
        ("repository", |limits| limits.repository_slots = 1),
        ("caller", |limits| limits.caller_slots = 1),
    ] {
        let server = Server::start_with(|settings| {
            settings.limits.queue_length = 0;
            set(&mut settings.limits);
        });
        let alice = server.user("alice");
        let (remote, source) = pushed(&alice);
        let holder = Holder::begin(&server, &alice, &remote, &source.head());

        let (_, refused) = alice.tries_to_clone(&remote, Via::Http, &[]);
        refused.fails_with("429");
        let (_, refused) = alice.tries_to_clone(&remote, Via::Ssh, &[]);
        refused.fails_with("the server is busy, try again in 10 seconds");
        let body = [
            &pkt("command=fetch"),
            "0001",
            &pkt(&format!("want {}\n", source.head())),
            &pkt("done\n"),
            "0000",
        ];
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .build()
            .into();
        let answer = agent
            .post(format!("{}/{}/git-upload-pack", server.url(), remote.path))
            .header("Authorization", format!("Bearer {}", alice.token))
            .header("Git-Protocol", "version=2")
            .header("Content-Type", "application/x-git-upload-pack-request")
            .send(body.concat())
            .unwrap();
        assert_eq!(answer.status().as_u16(), 429, "{limit}");
        assert_eq!(answer.headers()["retry-after"], "10");

        // Refs need no slot, pushes have slots of their own, and what was held comes free again.
        source.git("ls-remote origin").succeeds();
        source.git("push --quiet origin main:side").succeeds();
        holder.ends();
        let cloned = (0..200).any(|_| alice.tries_to_clone(&remote, Via::Http, &[]).1.succeeded());
        assert!(cloned, "{limit}");
    }
}

#[test]
fn a_silent_peer_is_given_up_and_one_that_goes_on_and_on_too() {
    let idle = Server::start_with(|settings| settings.limits.idle_timeout_seconds = 1);
    let alice = idle.user("alice");
    let (remote, source) = pushed(&alice);
    let mut silent = Holder::begin(&idle, &alice, &remote, &source.head());
    // Nothing more is said: the server hangs up first.
    assert_eq!(silent.reads(), None);
    silent.ends();
    alice.clones(&remote, Via::Ssh);

    let total = Server::start_with(|settings| settings.limits.total_timeout_seconds = 1);
    let bob = total.user("bob");
    let (remote, source) = pushed(&bob);
    let began = Instant::now();
    let mut talker = Holder::begin(&total, &bob, &remote, &source.head());
    while talker.asks().is_some() {
        assert!(
            began.elapsed() < Duration::from_secs(60),
            "it goes on and on"
        );
    }
    assert!(began.elapsed() >= Duration::from_millis(900));
    talker.ends();
    bob.clones(&remote, Via::Ssh);
}

/// Somebody fills the server's store with refs, one push after the other.
#[test]
fn a_repository_has_so_many_refs_and_no_more() {
    let server = Server::start_with(|settings| settings.limits.repository_refs = 3);
    let alice = server.user("alice");
    let (remote, source) = pushed(&alice);
    for via in Via::BOTH {
        let url = alice.url(&remote, via);
        let push = |words: &[&str]| source.git_with(&[&["push", &url], words].concat(), b"");
        push(&["main:a", "main:b"]).succeeds();
        let refused = push(&["main:c"]);
        refused.fails_with("at most 3 refs in a repository allowed");
        // Others of the same push are done, as long as there is room.
        push(&[":a", "main:c", "main:d"]).fails_with("at most 3 refs in a repository allowed");
        push(&["--atomic", ":b", "main:d", "main:e"]).fails_with("atomic push failed");
        assert_eq!(
            source
                .git_with(&["ls-remote", "--heads", &url], b"")
                .succeeds()
                .lines()
                .count(),
            3
        );
        push(&["--atomic", ":b", ":c", "main:d", "main:e"]).succeeds();
        push(&["--force", "main:d"]).succeeds();
        push(&[":d", ":e"]).succeeds();
    }
}

#[test]
fn one_request_may_ask_for_so_much_and_no_more() {
    let server = Server::start_with(|settings| {
        settings.limits.push_commands = 3;
        settings.limits.push_options = 2;
        settings.limits.push_tree_entries = 4;
        settings.limits.push_tree_depth = 3;
        settings.limits.fetch_wants = 3;
    });
    let alice = server.user("alice");
    let (remote, source) = pushed(&alice);
    for via in Via::BOTH {
        source
            .git_with(
                &["remote", "set-url", "origin", &alice.url(&remote, via)],
                b"",
            )
            .succeeds();
        source
            .git("push --quiet --force origin main:a main:b main:c")
            .succeeds();
        source
            .git("push --force origin main:d main:e main:f main:g")
            .fails_with("too many commands, at most 3 allowed");
        source
            .git("push -o 1 -o 2 --force origin main:d")
            .succeeds();
        source
            .git("push -o 1 -o 2 -o 3 --force origin main:e")
            .fails_with("too many push options, at most 2 allowed");
        source.git("push --quiet origin :a :b :c").succeeds();
        source.git("push --quiet origin :d").succeeds();
    }
    for name in ["two", "three", "four"] {
        source.commits(name, name);
    }
    source.git("push --quiet origin main").succeeds();
    let whole = source.head();
    source.commits("five", "5\n");
    source
        .git("push origin main")
        .fails_with("more than 4 entries in a tree");
    source
        .git_with(&["reset", "--quiet", "--hard", &whole], b"")
        .succeeds();

    source.git("rm --quiet four").succeeds();
    source.commits("a/b/c", "as deep as may be\n");
    source.git("push --quiet origin main").succeeds();
    source.commits("a/b/d/e", "too deep\n");
    source
        .git("push origin main")
        .fails_with("more than 3 folders in each other");
    source.git("reset --quiet --hard HEAD~1").succeeds();

    let copy = WorkingCopy(alice.new_folder());
    copy.git("init --quiet .").succeeds();
    for via in Via::BOTH {
        let url = alice.url(&remote, via);
        let fetch = |commits: &[&str]| {
            let ids: Vec<_> = commits
                .iter()
                .map(|commit| source.git(&format!("rev-parse {commit}")).succeeds())
                .collect();
            let ids: Vec<_> = ids.iter().map(String::as_str).collect();
            copy.git_with(
                &[&["fetch", "--quiet", "--depth=1", &url], &*ids].concat(),
                b"",
            )
        };
        fetch(&["main", "main~1", "main~2"]).succeeds();
        fetch(&["main", "main~1", "main~2", "main~3"])
            .fails_with("too many wants, at most 3 allowed");
    }
}
