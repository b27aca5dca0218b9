//! Under systemd: sockets that are handed over, the ready message, the watchdog, the units.

use std::{
    io::Read as _,
    net::{TcpListener, TcpStream},
    os::{fd::AsRawFd as _, unix::net::UnixDatagram},
    path::Path,
    process::Stdio,
};

use crate::support::{Finished, binary, clean_command};

/// Passes two sockets as descriptors 3 and 4 the way systemd does, by a shell that puts them there.
#[test]
fn sockets_are_taken_over_and_readiness_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let http = TcpListener::bind("127.0.0.1:0").unwrap();
    let ssh = TcpListener::bind("127.0.0.1:0").unwrap();
    let notify = folder.path().join("notify");
    let messages = UnixDatagram::bind(&notify).unwrap();
    messages
        .set_read_timeout(Some(std::time::Duration::from_secs(60)))
        .unwrap();
    let script = format!(
        "exec 3<&{} 4<&{}; export LISTEN_PID=$$; exec {} serve --data data --http off --ssh off",
        inherited(&http),
        inherited(&ssh),
        binary().display()
    );
    let mut command = clean_command("bash", folder.path());
    command
        .args(["-c", &script])
        .current_dir(folder.path())
        .env("LISTEN_FDS", "2")
        .env("LISTEN_FDNAMES", "http:ssh")
        .env("NOTIFY_SOCKET", &notify)
        .env("WATCHDOG_USEC", "200000")
        .stdin(Stdio::null())
        .stdout(Stdio::null());
    let mut child = command.spawn().unwrap();
    let told = |word: &str| {
        let mut buffer = [0; 256];
        loop {
            let length = messages
                .recv(&mut buffer)
                .expect("the server tells systemd");
            if String::from_utf8_lossy(&buffer[..length]).contains(word) {
                return;
            }
        }
    };
    told("READY=1");
    told("WATCHDOG=1");
    let mut banner = [0; 8];
    TcpStream::connect(ssh.local_addr().unwrap())
        .unwrap()
        .read_exact(&mut banner)
        .unwrap();
    assert_eq!(&banner, b"SSH-2.0-");
    let health = ureq::get(format!("http://{}/healthz", http.local_addr().unwrap()))
        .call()
        .unwrap();
    assert_eq!(health.status(), 200);

    let mut kill = clean_command("kill", folder.path());
    kill.args(["-TERM", &child.id().to_string()]);
    Finished::run(kill, b"").succeeds();
    told("STOPPING=1");
    assert!(child.wait().unwrap().success());
}

/// A duplicate of the socket that survives `exec`; the shell closes nothing it was given.
fn inherited(listener: &TcpListener) -> i32 {
    let copy = rustix::io::dup(listener).unwrap();
    rustix::io::fcntl_setfd(&copy, rustix::io::FdFlags::empty()).unwrap();
    let number = copy.as_raw_fd();
    std::mem::forget(copy);
    number
}

#[test]
fn the_units_are_what_systemd_understands() {
    let analyze = Path::new("/usr/bin/systemd-analyze");
    assert!(
        analyze.exists(),
        "systemd-analyze is missing: tests/run installs it (package systemd)"
    );
    let folder = tempfile::tempdir().unwrap();
    // The units name the installed program; the check wants it to exist.
    for unit in [
        "packhorse.service",
        "packhorse-http.socket",
        "packhorse-ssh.socket",
    ] {
        let text = std::fs::read_to_string(
            Path::new(env!("CARGO_MANIFEST_DIR"))
                .join("systemd")
                .join(unit),
        )
        .unwrap();
        let text = text.replace("/usr/bin/packhorse", binary().to_str().unwrap());
        std::fs::write(folder.path().join(unit), text).unwrap();
    }
    let mut verify = clean_command(analyze, folder.path());
    verify
        .args([
            "verify",
            "--man=no",
            "packhorse.service",
            "packhorse-http.socket",
            "packhorse-ssh.socket",
        ])
        .current_dir(folder.path())
        .env("SYSTEMD_UNIT_PATH", format!("{}:", folder.path().display()));
    let verified = Finished::run(verify, b"");
    verified.succeeds();
    assert_eq!(verified.stderr(), "");
}
