//! Peers that are slow or silent: each is given up when its time is over, and its place is free for others.

use std::{
    io::{ErrorKind, Read as _, Write as _},
    net::TcpStream,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

use packhorse_protocol::pkt_line;

use super::scene::{NOTHING, PATIENCE, Victim, commands};
use crate::support::{Finished, WorkingCopy, clean_command};

/// Pushes far more than sockets hold for a peer that does not read; random, so that it stays large.
fn large_commit(source: &WorkingCopy) {
    let mut large = vec![0; 16 << 20];
    aws_lc_rs::rand::fill(&mut large).unwrap();
    std::fs::write(source.path.join("large"), large).unwrap();
    source.git("add large").succeeds();
    source.git("commit --quiet -m Large").succeeds();
    source.git("push --quiet origin main").succeeds();
}

const IMPATIENT: &str =
    "idle_timeout_seconds = 1\nhttp_header_seconds = 1\nssh_handshake_seconds = 1";

/// Whether the server hangs up by itself, long before the test gives up.
#[track_caller]
fn is_given_up(name: &str, stream: TcpStream) -> String {
    stream.set_read_timeout(Some(PATIENCE / 2)).unwrap();
    let mut stream = stream;
    let mut said = Vec::new();
    match stream.read_to_end(&mut said) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => panic!("{name} is waited for"),
        _ => String::from_utf8_lossy(&said).into_owned(),
    }
}

#[test]
fn silence_is_given_up_wherever_it_begins() {
    let victim = Victim::with_limits(IMPATIENT);
    let post = victim.head("upload-pack", "content-length: 1000\r\n");
    let push = victim.head("receive-pack", "content-length: 1000\r\n");
    let begun = [
        push.as_bytes(),
        &commands(&[(NOTHING, &victim.tip(), "refs/heads/evil")]),
        b"PACK\0\0\0\x02\0\0\0\x01",
    ]
    .concat();
    let http2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    for (name, said) in [
        ("silence from the start", b"".as_slice()),
        ("one letter", b"G"),
        ("half a method", b"POS"),
        ("half a request line", b"GET /admin/no"),
        ("half a header", b"GET / HTTP/1.1\r\nhost: x\r\nx-lon"),
        (
            "a request and then no other",
            b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n",
        ),
        ("half of HTTP/2's preface", &http2[..10]),
        ("HTTP/2's preface alone", http2),
        ("a fetch without its body", post.as_bytes()),
        ("half a push", &begun),
    ] {
        let mut stream = victim.connects();
        stream.write_all(said).unwrap();
        is_given_up(name, stream);
    }
    for (name, said) in [
        ("silence from the start", b"".as_slice()),
        ("half a version", b"SSH-2.0-ev"),
        ("a version and no more", b"SSH-2.0-evil\r\n"),
        (
            "a packet of four gigabytes",
            b"SSH-2.0-evil\r\n\xff\xff\xff\xff\x04",
        ),
        (
            "half a packet",
            b"SSH-2.0-evil\r\n\0\0\x03\x14\x04\x14abcdef",
        ),
    ] {
        let mut stream = victim.connects_by_ssh();
        stream.write_all(said).unwrap();
        let said = is_given_up(name, stream);
        assert!(said.starts_with("SSH-2.0-packhorse_"), "{name}: {said:?}");
    }
    victim.is_unharmed("silence");
}

/// One byte now and then keeps a connection alive for ever where only silence is counted.
#[test]
fn headers_that_drip_are_given_up() {
    let victim = Victim::with_limits(IMPATIENT);
    let mut stream = victim.connects();
    let started = Instant::now();
    stream.write_all(b"GET / HTTP/1.1\r\nx-drip: ").unwrap();
    stream
        .set_read_timeout(Some(Duration::from_millis(100)))
        .unwrap();
    let mut byte = [0];
    // Waiting for an answer is the pause between two bytes.
    loop {
        match stream.read(&mut byte) {
            Ok(0) => break,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                if stream.write_all(b"x").is_err() {
                    break;
                }
            }
            Err(_) => break,
        }
        assert!(
            started.elapsed() < PATIENCE / 2,
            "a dripping header is read for ever"
        );
    }
    victim.is_unharmed("a dripping header");
}

/// More silent peers than the server takes connections: those who speak wait, and are served.
#[test]
fn a_crowd_of_silent_peers_passes() {
    let victim = Victim::with_limits(&format!("{IMPATIENT}\nconnections = 16"));
    let mut crowd = Vec::new();
    for _ in 0..16 {
        let mut stream = victim.connects();
        stream.write_all(b"GET / HTT").unwrap();
        crowd.push(stream);
        crowd.push(victim.connects_by_ssh());
    }
    victim.is_unharmed("a crowd");
    drop(crowd);
}

/// Somebody with a key asks for a large clone over SSH and then does not read at all, not even what the
/// connection itself has to say; and so do some more, as many as there may be.
#[test]
fn an_ssh_peer_that_stops_reading_gives_its_connection_back() {
    let victim = Victim::with_limits("idle_timeout_seconds = 3\nconnections = 4");
    let source = victim.source();
    large_commit(source);
    let stopped: Vec<_> = (0..4).map(|_| stops_reading(&victim)).collect();
    victim.is_unharmed("peers that stopped reading");
    for mut client in stopped {
        client.kill().unwrap();
        client.wait().unwrap();
    }
}

/// A client that has asked for everything and does nothing more.
fn stops_reading(victim: &Victim) -> Child {
    let mut child = victim
        .ssh("git-upload-pack 'admin/novel'")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut body = Vec::new();
    pkt_line::write_data(format!("want {}", victim.tip()).as_bytes(), &mut body).unwrap();
    pkt_line::write_flush(&mut body);
    pkt_line::write_data(b"done", &mut body).unwrap();
    child.stdin.as_mut().unwrap().write_all(&body).unwrap();
    let (mut said, mut byte) = (Vec::new(), [0]);
    while !said.ends_with(b"NAK\n") {
        child
            .stdout
            .as_mut()
            .unwrap()
            .read_exact(&mut byte)
            .unwrap();
        said.push(byte[0]);
    }
    let mut stop = clean_command("kill", &victim.source().home);
    stop.args(["-STOP", &child.id().to_string()]);
    Finished::run(stop, b"").succeeds();
    child
}

/// Somebody asks for a large clone and does not read it; there is one slot for all.
#[test]
fn a_fetch_that_nobody_reads_gives_its_slot_back() {
    let victim = Victim::with_limits(
        "idle_timeout_seconds = 3\nserver_slots = 1\nrepository_slots = 1\ncaller_slots = 1",
    );
    let source = victim.source();
    let before = source.head();
    large_commit(source);
    let mut body = Vec::new();
    for line in ["command=fetch", "object-format=sha1"] {
        pkt_line::write_data(line.as_bytes(), &mut body).unwrap();
    }
    pkt_line::write_delimiter(&mut body);
    for line in [format!("want {}", source.head()), "done".to_owned()] {
        pkt_line::write_data(line.as_bytes(), &mut body).unwrap();
    }
    pkt_line::write_flush(&mut body);
    let headers = format!(
        "git-protocol: version=2\r\ncontent-length: {}\r\n",
        body.len()
    );
    let mut readers = Vec::new();
    for _ in 0..3 {
        let mut stream = victim.connects();
        stream
            .write_all(victim.head("upload-pack", &headers).as_bytes())
            .unwrap();
        stream.write_all(&body).unwrap();
        readers.push(stream);
    }
    victim.is_unharmed("fetches that nobody reads");
    assert_ne!(source.head(), before);
    drop(readers);
}
