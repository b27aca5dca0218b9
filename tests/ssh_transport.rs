//! SSH as a transport: what a session may ask for, and what opens nothing.

use std::{io::Read as _, net::TcpStream, sync::Arc, time::Duration};

use russh::{
    ChannelMsg, client,
    keys::{PrivateKeyWithHashAlg, PublicKeyOrCertificate, load_secret_key},
};

use crate::support::{Finished, Server, User, Via, clean_command, ed25519_key, installed};

/// `ssh` as this user with these flags and this command.
fn ssh(server: &Server, user: &User<'_>, flags: &[&str], command: &[&str]) -> Finished {
    let folder = user.new_folder();
    let (_, line) = &folder.environment[0];
    let mut words = line.split_whitespace();
    let mut ssh = clean_command(words.next().unwrap(), &server.home());
    let address = server.addresses.ssh.unwrap();
    ssh.args(words)
        .args(flags)
        .args(["-p", &address.port().to_string(), "git@127.0.0.1"])
        .args(command);
    Finished::run(ssh, b"")
}

#[test]
fn a_session_without_a_command_is_greeted_by_name() {
    let server = Server::start();
    let alice = server.user("alice");
    let greeted = ssh(&server, &alice, &["-T"], &[]);
    greeted.succeeds();
    assert!(
        greeted.stderr().contains("Hi alice!"),
        "{}",
        greeted.stderr()
    );
}

/// An attacker with a valid key tries to run something else than Git (CVE-2024-39930 and its kin).
#[test]
fn nothing_but_git_runs() {
    let server = Server::start();
    let alice = server.user("alice");
    for command in [
        "id",
        "git-upload-pack",
        "git-upload-pack 'a' 'b'",
        "git-upload-pack 'alice/x'; id",
        "git-upload-pack --upload-pack=id 'alice/x'",
        "sh -c id",
        "git-lfs-authenticate alice/x download",
    ] {
        ssh(&server, &alice, &["-T"], &[command]).fails_with("packhorse:");
    }
    ssh(&server, &alice, &["-T", "-s"], &["sftp"]).fails_with("subsystem request failed");
    let forwarded = ssh(&server, &alice, &["-T", "-W", "127.0.0.1:1"], &[]);
    forwarded.fails_with("forwarding failed");
}

/// An attacker owns no key but has seen the victim's public key, and offers it without being able
/// to sign; then proves a key of their own (CVE-2024-45337).
#[test]
fn a_key_that_is_offered_and_not_signed_for_opens_nothing() {
    let server = Server::start();
    let alice = server.user("alice");
    let mallory = server.user("mallory");
    let novel = alice.creates_repository("novel");
    alice.clones(&novel, Via::Ssh);

    // The public half of alice's key beside a private half that does not belong to it.
    let forged = ed25519_key(server.scratch(), "forged");
    std::fs::copy(
        alice.key.with_extension("pub"),
        forged.with_extension("pub"),
    )
    .unwrap();
    let mut thief = mallory.with_token("none");
    thief.key = forged.clone();
    let (_, refused) = thief.tries_to_clone(&novel, Via::Ssh, &[]);
    refused.fails_with("Permission denied");

    // Alice's key is offered first, mallory's own is proven: the session must be mallory's.
    let both = format!("-i {} -i {}", forged.display(), mallory.key.display());
    let folder = mallory.new_folder();
    let mut environment = folder.environment.clone();
    environment[0].1 = environment[0]
        .1
        .replace(&format!("-i {}", mallory.key.display()), &both);
    let folder = crate::support::Folder {
        environment,
        ..folder
    };
    let url = mallory.url(&novel, Via::Ssh);
    folder
        .git_with(&["ls-remote", &url], b"")
        .fails_with("not found");
}

#[test]
fn an_agent_full_of_other_keys_does_not_lock_its_owner_out() {
    let server = Server::start();
    let alice = server.user("alice");
    let novel = alice.creates_repository("novel");
    let others: String = (0..12)
        .map(|number| {
            format!(
                "-i {} ",
                ed25519_key(server.scratch(), &number.to_string()).display()
            )
        })
        .collect();
    let folder = alice.new_folder();
    let mut environment = folder.environment.clone();
    environment[0].1 = environment[0].1.replacen("-i ", &format!("{others}-i "), 1);
    let folder = crate::support::Folder {
        environment,
        ..folder
    };
    folder
        .git_with(&["ls-remote", &alice.url(&novel, Via::Ssh)], b"")
        .succeeds();
}

#[test]
fn a_peer_that_never_authenticates_is_cut_off() {
    let server = Server::start_with(|settings| settings.limits.ssh_handshake_seconds = 1);
    let mut silent = TcpStream::connect(server.addresses.ssh.unwrap()).unwrap();
    silent
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    let mut said = Vec::new();
    // Reading to the end succeeds only because the server hangs up.
    silent.read_to_end(&mut said).ok();
    assert!(said.starts_with(b"SSH-2.0-packhorse_"));
    let alice = server.user("alice");
    let novel = alice.creates_repository("novel");
    alice.clones(&novel, Via::Ssh);
}

/// Somebody proves a key, answers every keepalive and asks for nothing, for ever.
#[test]
fn a_peer_that_runs_no_command_is_cut_off() {
    let server = Server::start_with(|settings| settings.limits.ssh_command_seconds = 3);
    let alice = server.user("alice");
    // No channel at all: the client waits until the server hangs up.
    ssh(&server, &alice, &["-N"], &[]).fails_with("");
    // A channel, and nothing asked for on it.
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let session = silent_client(&server, &alice).await;
        let mut channel = session.channel_open_session().await.unwrap();
        while channel.wait().await.is_some() {}
        session.channel_open_session().await.unwrap_err();
    });
    let novel = alice.creates_repository("novel");
    alice.clones(&novel, Via::Ssh);
}

/// Somebody keeps a connection after its one command.
#[test]
fn a_connection_is_kept_for_the_next_command_as_long_as_a_peer_may_be_silent() {
    let server = Server::start_with(|settings| {
        settings.limits.ssh_command_seconds = 3;
        settings.limits.idle_timeout_seconds = 5;
    });
    let alice = server.user("alice");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let session = silent_client(&server, &alice).await;
        for _ in 0..2 {
            let mut channel = session.channel_open_session().await.unwrap();
            channel.request_shell(true).await.unwrap();
            let mut greeted = false;
            while let Some(message) = channel.wait().await {
                greeted |= matches!(message, ChannelMsg::ExtendedData { .. });
            }
            assert!(greeted);
        }
        let idle = std::time::Instant::now();
        let mut channel = session.channel_open_session().await.unwrap();
        while channel.wait().await.is_some() {}
        assert!(
            idle.elapsed() >= Duration::from_secs(4),
            "{:?}",
            idle.elapsed()
        );
    });
}

#[test]
fn a_connection_has_so_many_channels_and_no_more() {
    let server = Server::start_with(|settings| settings.limits.ssh_channels = 2);
    let alice = server.user("alice");
    let runtime = tokio::runtime::Runtime::new().unwrap();
    runtime.block_on(async {
        let session = silent_client(&server, &alice).await;
        let first = session.channel_open_session().await.unwrap();
        let _second = session.channel_open_session().await.unwrap();
        let refused = session.channel_open_session().await.unwrap_err();
        assert!(
            refused.to_string().contains("ResourceShortage"),
            "{refused}"
        );
        // Room is made by whoever leaves.
        first.close().await.unwrap();
        session.channel_open_session().await.unwrap();
    });
}

#[test]
fn so_many_keys_may_be_tried_and_no_more() {
    let server = Server::start_with(|settings| settings.limits.ssh_authentication_tries = 3);
    let alice = server.user("alice");
    for (others, admitted) in [(2, true), (3, false)] {
        let keys: Vec<_> = (0..others)
            .map(|number| ed25519_key(server.scratch(), &format!("{others}-{number}")))
            .chain([alice.key.clone()])
            .collect();
        let flags: Vec<&str> = keys
            .iter()
            .flat_map(|key| ["-i", key.to_str().unwrap()])
            .collect();
        let address = server.addresses.ssh.unwrap();
        let mut command = clean_command("ssh", &server.home());
        command
            .args([
                "-F",
                "/dev/null",
                "-o",
                "IdentitiesOnly=yes",
                "-o",
                "IdentityAgent=none",
            ])
            .args(["-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no"])
            .args(["-o", "UserKnownHostsFile=/dev/null", "-T"])
            .args(&flags)
            .args(["-p", &address.port().to_string(), "git@127.0.0.1"]);
        let said = Finished::run(command, b"");
        assert_eq!(said.succeeded(), admitted, "{}", said.everything());
        assert_eq!(said.stderr().contains("Hi alice!"), admitted);
    }
}

/// A client that proves the key of `user` and then does what a test says.
async fn silent_client(server: &Server, user: &User<'_>) -> client::Handle<Trusting> {
    let configuration = Arc::new(client::Config::default());
    let address = server.addresses.ssh.unwrap();
    let mut session = client::connect(configuration, address, Trusting)
        .await
        .unwrap();
    let key = load_secret_key(&user.key, None).unwrap();
    let key = PrivateKeyWithHashAlg::new(Arc::new(key), None);
    let proven = session.authenticate_publickey("git", key).await.unwrap();
    assert!(proven.success());
    session
}

/// Takes whoever answers for the server.
struct Trusting;

impl client::Handler for Trusting {
    type Error = russh::Error;

    async fn check_server_key(&mut self, _: &PublicKeyOrCertificate) -> Result<bool, russh::Error> {
        Ok(true)
    }
}

#[test]
fn refusals_read_the_same_for_absent_and_for_foreign_repositories() {
    let server = Server::start();
    let alice = server.user("alice");
    let bob = server.user("bob");
    let novel = alice.creates_repository("novel");
    let absent = crate::support::Remote::new("alice/absent");
    let said = |remote| {
        let (_, refused) = bob.tries_to_clone(remote, Via::Ssh, &[]);
        refused.fails_with("repository not found");
        refused.stderr().replace("novel", "absent")
    };
    assert_eq!(said(&novel), said(&absent));
}

/// Weak defaults (CVE-2023-48795 and older ones): what ssh-audit fails must not be offered.
#[test]
fn ssh_audit_finds_no_failure() {
    let server = Server::start();
    let mut audit = clean_command(installed("python/bin/ssh-audit"), &server.home());
    let port = server.addresses.ssh.unwrap().port().to_string();
    audit.args(["--json", "--skip-rate-test", "--port", &port, "127.0.0.1"]);
    // Its exit status counts warnings too.
    let said = Finished::run(audit, b"").stdout();
    let report: serde_json::Value = serde_json::from_str(&said).expect(&said);
    let mut judged = 0;
    for kind in ["kex", "key", "enc", "mac"] {
        for algorithm in report[kind].as_array().unwrap() {
            let fail = &algorithm["notes"]["fail"];
            assert!(fail.is_null(), "{kind} {}: {fail}", algorithm["algorithm"]);
            judged += 1;
        }
    }
    assert!(judged > 8, "{said}");
    assert_eq!(report["cves"].as_array().map_or(0, Vec::len), 0, "{said}");
    let critical = &report["recommendations"]["critical"];
    assert!(critical.is_null(), "{critical}");
}
