//! Redirects, credentials and refused addresses, against servers on loopback that say what they are told to.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::TcpListener,
    sync::mpsc,
};

use super::*;

/// A server that answers each request in turn, and tells the head of each.
struct Script {
    port: u16,
    heads: mpsc::Receiver<String>,
}

/// Answers with these, in which `PORT` stands for its own port.
fn script(answers: &[&str]) -> Script {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (tell, heads) = mpsc::channel();
    let answers: Vec<_> = answers
        .iter()
        .map(|answer| answer.replace("PORT", &port.to_string()))
        .collect();
    std::thread::spawn(move || {
        for answer in answers {
            let Ok((mut stream, _)) = listener.accept() else {
                return;
            };
            let mut head = String::new();
            let mut reader = BufReader::new(stream.try_clone().unwrap());
            while reader.read_line(&mut head).is_ok_and(|count| count > 2) {}
            if head.to_lowercase().contains("content-length: 1\r\n") {
                reader.read_exact(&mut [0]).ok();
            }
            tell.send(head).ok();
            stream.write_all(answer.as_bytes()).ok();
        }
    });
    Script { port, heads }
}

fn found(to: &str) -> String {
    format!(
        "HTTP/1.1 302 Found\r\nlocation: {to}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    )
}

const FINE: &str = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\nfine";

fn outbound(private: bool) -> Outbound {
    let reach = Reach {
        private,
        certificates: None,
    };
    Outbound::new(&reach).unwrap()
}

fn call<'a>(login: Option<&'a Login>, body: Option<&'a [u8]>) -> Call<'a> {
    Call {
        headers: &[("git-protocol", "version=2")],
        login,
        body,
        deadline: Instant::now() + Duration::from_secs(20),
    }
}

fn login() -> Login {
    Login {
        user: "alice".to_owned(),
        password: Secret::new("hunter2".to_owned()),
    }
}

/// Attack: a user makes a mirror of a host whose name leads to the server itself, to its neighbours, or
/// to the cloud's metadata, in every spelling that a resolver takes.
#[test]
fn private_addresses_are_not_dialled_however_they_are_written() {
    let script = script(&[FINE]);
    let outbound = outbound(false);
    for host in [
        "127.0.0.1",
        "localhost",
        "127.1",
        "0x7f.1",
        "2130706433",
        "0",
        "0.0.0.0",
        "[::1]",
        "[::]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "10.0.0.1",
        "169.254.169.254",
        "192.168.1.1",
        "172.16.0.1",
        "100.64.0.1",
        "[fe80::1]",
        "[fd00:ec2::254]",
        "[64:ff9b::7f00:1]",
    ] {
        for scheme in ["http", "https"] {
            let url = format!("{scheme}://{host}:{}/", script.port);
            let refused = outbound.call(&url, &call(None, None)).err().unwrap();
            let private = matches!(refused, OutboundError::Private { .. });
            // Not every resolver takes every spelling.
            let unknown = matches!(
                refused,
                OutboundError::Unreachable { .. } | OutboundError::Url(_)
            );
            let odd = host.starts_with("0x") || host.parse::<u32>().is_ok() || host == "127.1";
            assert!(private || (odd && unknown), "{url}: {refused:?}");
            assert!(!refused.is_temporary() || odd);
        }
    }
    assert!(script.heads.try_recv().is_err(), "nobody was called");
}

#[test]
fn what_is_no_plain_url_is_not_called_and_not_repeated() {
    let outbound = outbound(true);
    for url in [
        "ftp://example.com/",
        "file:///etc/passwd",
        "example.com",
        "http://",
        "http://u:hunter2@h/",
        "http://hunter2@h/",
        "//example.com/",
        "",
    ] {
        let refused = outbound.call(url, &call(None, None)).err().unwrap();
        assert!(
            matches!(refused, OutboundError::Url(_)),
            "{url}: {refused:?}"
        );
        assert!(!refused.to_string().contains("hunter2"), "{refused}");
    }
}

#[test]
fn redirects_are_followed_and_the_credential_stays_with_its_server() {
    let same = script(&[
        &found("/b"),
        &found("http://127.0.0.1:PORT/c"),
        &found("//127.0.0.1:PORT/d#x"),
        FINE,
    ]);
    let login = login();
    let url = format!("http://127.0.0.1:{}/a", same.port);
    let answer = outbound(true)
        .call(&url, &call(Some(&login), None))
        .unwrap();
    assert!(answer.same_server);
    assert_eq!(answer.uri.path(), "/d");
    for path in ["/a", "/b", "/c", "/d"] {
        let head = same.heads.recv().unwrap().to_lowercase();
        assert!(head.starts_with(&format!("get {path} http/1.1")), "{head}");
        assert!(head.contains("authorization: basic "), "{head}");
        assert!(head.contains("git-protocol: version=2"), "{head}");
    }

    let other = script(&[FINE]);
    let first = script(&[&found(&format!("http://127.0.0.1:{}/there", other.port))]);
    let url = format!("http://127.0.0.1:{}/a", first.port);
    let answer = outbound(true)
        .call(&url, &call(Some(&login), None))
        .unwrap();
    assert!(!answer.same_server);
    assert!(
        first
            .heads
            .recv()
            .unwrap()
            .to_lowercase()
            .contains("authorization")
    );
    let head = other.heads.recv().unwrap().to_lowercase();
    assert!(
        head.starts_with("get /there") && !head.contains("authorization"),
        "{head}"
    );
}

/// Attack: a server that anybody may call redirects to one that only we reach. The test lets loopback pass
/// for the first call alone, as a public address would.
#[test]
fn a_redirect_ends_at_a_private_address_as_a_first_call_does() {
    let target = script(&[FINE]);
    let outbound = outbound(false);
    let from: Uri = "http://public.example/a".parse().unwrap();
    let next = redirected(&from, &format!("http://127.0.0.1:{}/", target.port)).unwrap();
    let refused = outbound.once(&next, &call(None, None), false).unwrap_err();
    assert!(
        matches!(refused, OutboundError::Private { .. }),
        "{refused:?}"
    );
    assert!(target.heads.try_recv().is_err());
}

#[test]
fn redirects_that_lead_nowhere_are_refused() {
    let refused = |answers: &[&str]| {
        let script = script(answers);
        let url = format!("http://127.0.0.1:{}/", script.port);
        outbound(true).call(&url, &call(None, None)).err().unwrap()
    };
    let around = found("/");
    let round = vec![&*around; REDIRECTS_MAX + 1];
    assert!(matches!(refused(&round), OutboundError::Redirects));
    let without = "HTTP/1.1 301 Moved\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
    assert!(matches!(refused(&[without]), OutboundError::Redirects));
    for to in ["file:///etc/passwd", "relative", "http://u:p@127.0.0.1/"] {
        assert!(
            matches!(refused(&[&found(to)]), OutboundError::Url(_)),
            "{to}"
        );
    }
    // Nothing is followed that sends a body.
    let script = script(&[&found("/b"), FINE]);
    let url = format!("http://127.0.0.1:{}/a", script.port);
    let answer = outbound(true).call(&url, &call(None, Some(b"x"))).unwrap();
    assert_eq!(answer.response.status(), 302);
}

#[test]
fn encryption_is_not_dropped_and_ports_tell_servers_apart() {
    let uri = |text: &str| text.parse::<Uri>().unwrap();
    let same = |a: &str, b: &str| origin(&uri(a)) == origin(&uri(b));
    assert!(same("https://h/a", "https://H:443/b"));
    assert!(same("http://h/a", "http://h:80/b"));
    assert!(!same("https://h/", "http://h/"));
    assert!(!same("https://h/", "https://h:444/"));
    assert!(!same("https://h/", "https://h.evil/"));
    let from = uri("https://h/a");
    let next = redirected(&from, "//other/x").unwrap();
    assert_eq!(next.to_string(), "https://other/x");
    let down = redirected(&from, "http://h/a");
    assert!(matches!(down, Err(OutboundError::Downgrade)), "{down:?}");
}

#[test]
fn a_deadline_that_has_passed_calls_nobody() {
    let script = script(&[FINE]);
    let url = format!("http://127.0.0.1:{}/", script.port);
    let late = Call {
        deadline: Instant::now(),
        ..call(None, None)
    };
    let refused = outbound(true).call(&url, &late).err().unwrap();
    assert!(matches!(refused, OutboundError::Late) && refused.is_temporary());
    assert!(script.heads.try_recv().is_err());
}
