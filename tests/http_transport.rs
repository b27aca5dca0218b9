//! HTTP as a transport: statuses, headers, compressed and chunked bodies, and who is asked to log in.

use std::io::{Read as _, Write as _};

use crate::support::{Server, Via};

/// Status, headers and body of one request.
fn request(
    server: &Server,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> (u16, ureq::http::HeaderMap, Vec<u8>) {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .build()
        .into();
    let mut builder = ureq::http::Request::builder()
        .method(method)
        .uri(format!("{}{path}", server.url()));
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    let mut response = agent.run(builder.body(body.to_vec()).unwrap()).unwrap();
    let mut read = Vec::new();
    response
        .body_mut()
        .as_reader()
        .read_to_end(&mut read)
        .unwrap();
    (response.status().as_u16(), response.headers().clone(), read)
}

fn basic(user: &str, password: &str) -> String {
    use base64::{Engine as _, prelude::BASE64_STANDARD};
    format!(
        "Basic {}",
        BASE64_STANDARD.encode(format!("{user}:{password}"))
    )
}

#[test]
fn statuses_tell_git_what_to_do_next() {
    let server = Server::start();
    let alice = server.user("alice");
    let bob = server.user("bob");
    alice.creates_repository("private");
    alice.creates_repository_with("open", &["--public"]);
    alice.creates_repository_with("house", &["--internal"]);
    let (nobody, alice_says, bob_says) = (
        String::new(),
        basic("alice", &alice.token),
        basic("bob", &bob.token),
    );
    let wrong = basic("alice", "ph_wrong");
    let fetch = "info/refs?service=git-upload-pack";
    let push = "info/refs?service=git-receive-pack";
    for (path, who, expected) in [
        (format!("/alice/private.git/{fetch}"), &nobody, 401),
        (format!("/alice/absent.git/{fetch}"), &nobody, 401),
        (format!("/alice/private.git/{fetch}"), &wrong, 401),
        (format!("/alice/private.git/{fetch}"), &bob_says, 404),
        (format!("/alice/absent.git/{fetch}"), &bob_says, 404),
        (format!("/alice/private.git/{fetch}"), &alice_says, 200),
        (format!("/alice/private/{push}"), &alice_says, 200),
        (format!("/alice/open.git/{fetch}"), &nobody, 200),
        (format!("/alice/open.git/{push}"), &nobody, 401),
        (format!("/alice/open.git/{push}"), &bob_says, 403),
        (format!("/alice/open.git/{fetch}"), &wrong, 401),
        (format!("/alice/house.git/{fetch}"), &nobody, 401),
        (format!("/alice/house.git/{fetch}"), &bob_says, 200),
        ("/alice/open.git/info/refs".to_owned(), &nobody, 403),
        ("/alice/open.git/HEAD".to_owned(), &nobody, 404),
        ("/../alice/open.git/HEAD".to_owned(), &nobody, 404),
    ] {
        let headers: &[(&str, &str)] = if who.is_empty() {
            &[]
        } else {
            &[("authorization", who)]
        };
        let (status, headers, _) = request(&server, "GET", &path, headers, b"");
        assert_eq!(status, expected, "{path} as {who:?}");
        if status == 401 {
            let challenge = headers.get("www-authenticate").unwrap().to_str().unwrap();
            assert!(challenge.starts_with("Basic realm="), "{challenge}");
        }
    }
}

#[test]
fn requests_may_be_compressed_chunked_and_must_say_what_they_are() {
    let server = Server::start();
    let alice = server.user("alice");
    let novel = alice.creates_repository_with("open", &["--public"]);
    let copy = alice.clones(&novel, Via::Http);
    copy.git("switch --quiet -c main").stderr();
    copy.commits("one", "1\n");
    copy.git("push --quiet origin main").succeeds();

    let asks = b"0014command=ls-refs\n0016object-format=sha1\n0000";
    let asks: Vec<u8> = [&asks[..20], b"0017object-format=sha1\n", b"0000"].concat();
    let git = ("content-type", "application/x-git-upload-pack-request");
    let v2 = ("git-protocol", "version=2");
    let path = "/alice/open.git/git-upload-pack";
    let (status, headers, plain) = request(&server, "POST", path, &[git, v2], &asks);
    assert_eq!(status, 200);
    assert_eq!(
        headers.get("content-type").unwrap(),
        "application/x-git-upload-pack-result"
    );
    assert!(String::from_utf8_lossy(&plain).contains("refs/heads/main"));

    let gzip = gzipped(&server, &asks);
    let (status, _, inflated) = request(
        &server,
        "POST",
        path,
        &[git, v2, ("content-encoding", "gzip")],
        &gzip,
    );
    assert_eq!((status, inflated), (200, plain.clone()));

    let (status, ..) = request(&server, "POST", path, &[v2], &asks);
    assert_eq!(status, 415, "a form of a web page is no Git request");
    let (status, ..) = request(
        &server,
        "POST",
        path,
        &[git, v2, ("content-encoding", "br")],
        &asks,
    );
    assert_eq!(status, 415);
    let (status, headers, _) = request(&server, "GET", path, &[], b"");
    assert_eq!(
        (status, headers.get("allow").unwrap().to_str().unwrap()),
        (405, "POST")
    );

    // By hand, in chunks of one byte.
    let address = server.addresses.http.unwrap();
    let mut stream = std::net::TcpStream::connect(address).unwrap();
    let mut chunked = format!(
        "POST {path} HTTP/1.1\r\nhost: {address}\r\n{}: {}\r\n{}: {}\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n",
        git.0, git.1, v2.0, v2.1
    )
    .into_bytes();
    for byte in &asks {
        chunked.extend_from_slice(&[b'1', b'\r', b'\n', *byte, b'\r', b'\n']);
    }
    chunked.extend_from_slice(b"0\r\n\r\n");
    stream.write_all(&chunked).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let answer = String::from_utf8_lossy(&answer);
    assert!(
        answer.starts_with("HTTP/1.1 200") && answer.contains("refs/heads/main"),
        "{answer}"
    );
}

/// `gzip` is on every machine that has git.
fn gzipped(server: &Server, bytes: &[u8]) -> Vec<u8> {
    let mut gzip = crate::support::clean_command("gzip", &server.home());
    gzip.arg("-c");
    crate::support::Finished::run(gzip, bytes).bytes()
}

/// A small body that inflates without end (a "gzip bomb") must cost the server nothing.
#[test]
fn a_body_that_inflates_too_far_is_refused() {
    let server = Server::start_with(|settings| settings.limits.fetch_request_bytes = 1 << 20);
    let alice = server.user("alice");
    alice.creates_repository_with("open", &["--public"]);
    let bomb = gzipped(&server, &vec![b'0'; 64 << 20]);
    assert!(bomb.len() < 1 << 20);
    let (status, _, answer) = request(
        &server,
        "POST",
        "/alice/open.git/git-upload-pack",
        &[
            ("content-type", "application/x-git-upload-pack-request"),
            ("git-protocol", "version=2"),
            ("content-encoding", "gzip"),
        ],
        &bomb,
    );
    // "0000" is a flush, so the bomb reads as a polite end; what matters is that it ends.
    assert!(
        matches!(status, 200 | 400 | 413),
        "{status} {}",
        String::from_utf8_lossy(&answer)
    );
}

#[test]
fn operators_find_health_readiness_and_metrics() {
    let server = Server::start();
    for (path, words) in [("/healthz", "ok"), ("/readyz", "ready")] {
        let (status, _, body) = request(&server, "GET", path, &[], b"");
        assert_eq!(
            (status, String::from_utf8_lossy(&body).trim()),
            (200, words)
        );
    }
    let (status, _, body) = request(&server, "GET", "/metrics", &[], b"");
    assert_eq!(status, 200);
    assert!(String::from_utf8_lossy(&body).contains("packhorse_http_requests_total"));
}

#[test]
fn two_credentials_in_one_request_are_one_too_many() {
    let server = Server::start();
    let alice = server.user("alice");
    alice.creates_repository("novel");
    let both = [
        ("authorization", basic("alice", &alice.token)),
        ("private-token", alice.token.clone()),
    ];
    let headers: Vec<_> = both
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let (status, ..) = request(
        &server,
        "GET",
        "/alice/novel.git/info/refs?service=git-upload-pack",
        &headers,
        b"",
    );
    assert_eq!(status, 401);
}

#[test]
fn the_token_may_travel_in_any_header_that_our_clients_use() {
    let server = Server::start();
    let alice = server.user("alice");
    alice.creates_repository("novel");
    let bearer = format!("Bearer {}", alice.token);
    for header in [
        ("authorization", bearer.as_str()),
        ("private-token", &alice.token),
        ("x-auth-token", &alice.token),
        ("authorization", &basic("whoever", &alice.token)),
    ] {
        let path = "/alice/novel.git/info/refs?service=git-upload-pack";
        let (status, ..) = request(&server, "GET", path, &[header], b"");
        assert_eq!(status, 200, "{}", header.0);
    }
}
