//! Mirrors of a stock Git server: what they take over, what they leave alone, and what they never call.

use std::time::{Duration, Instant};

use base64::{Engine as _, prelude::BASE64_STANDARD};
use serde_json::{Value, json};

use crate::support::{
    Behaviour, Remote, Server, Upstream, User, Via, claims, issuer, jwt, key_file,
};

/// How long a sync may take on a machine with much else to do.
const SYNC: Duration = Duration::from_secs(60);

/// A server that may call loopback, and trusts the upstream's certificate.
fn server() -> Server {
    Server::start_with(|settings| {
        settings.allow_private_targets = true;
        settings.outbound_ca = Some(key_file("tls-cert.pem").into());
    })
}

fn ask(server: &Server, token: &str, method: &str, path: &str, body: &Value) -> (u16, Value) {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .build()
        .into();
    let request = ureq::http::Request::builder()
        .method(method)
        .uri(format!("{}{path}", server.url()))
        .header("authorization", format!("Bearer {token}"))
        .body(match body {
            Value::Null => String::new(),
            body => body.to_string(),
        })
        .unwrap();
    let mut answer = agent.run(request).unwrap();
    let text = answer.body_mut().read_to_string().unwrap();
    let status = answer.status().as_u16();
    (
        status,
        serde_json::from_str(&text).unwrap_or(Value::String(text)),
    )
}

/// A mirror of `o/n` at `upstream`, named by a JWT of the issuer `acme`.
struct Mirror<'s> {
    server: &'s Server,
    token: String,
}

impl<'s> Mirror<'s> {
    fn new(server: &'s Server, name: &str) -> Self {
        let token = jwt(&claims(name, &["git:read", "git:write", "repo:write"]));
        Self { server, token }
    }

    fn of(server: &'s Server, upstream: &Upstream, name: &str, fields: &Value) -> Self {
        let mirror = Self::new(server, name);
        let mut base = json!({"provider": "forgejo", "owner": "o", "name": "n",
            "upstream_host": format!("localhost:{}", upstream.port)});
        for (field, value) in fields.as_object().unwrap() {
            base[field] = value.clone();
        }
        let (status, made) = mirror.ask("POST", "/api/v1/repos", &json!({"base_repo": base}));
        assert_eq!(status, 201, "{made}");
        mirror
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> (u16, Value) {
        ask(self.server, &self.token, method, path, body)
    }

    fn pulls(&self, body: &Value) {
        let (status, said) = self.ask("POST", "/api/v1/repos/pull-upstream", body);
        assert_eq!(status, 202, "{said}");
        assert_eq!(
            said,
            json!({"message": "Repository sync initiated successfully"})
        );
    }

    /// What the repository says of its sync, once so many runs have ended.
    #[track_caller]
    fn after(&self, runs: u64) -> Value {
        self.until(|sync| sync["runs"].as_u64() >= Some(runs) && sync["status"] != "running")
    }

    /// What the repository says of its sync, once it is this.
    #[track_caller]
    fn until(&self, reached: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + SYNC;
        loop {
            let (_, shown) = self.ask("GET", "/api/v1/repo", &Value::Null);
            if reached(&shown["sync"]) {
                return shown["sync"].clone();
            }
            assert!(Instant::now() < deadline, "{shown}");
            std::thread::yield_now();
        }
    }

    /// The refs as git sees them.
    fn refs(&self, user: &User<'_>, name: &str) -> String {
        let url = user.url(&Remote::new(&format!("acme/{name}")), Via::Http);
        user.new_folder()
            .git_with(&["ls-remote", &url], b"")
            .succeeds()
    }
}

fn admin(server: &Server) -> User<'_> {
    let user = server.user("reader");
    let token = std::fs::read_to_string(server.data().join("admin-token")).unwrap();
    user.with_token(token.trim())
}

#[test]
fn a_mirror_follows_branches_tags_and_head_and_leaves_ephemeral_branches_alone() {
    let (server, upstream) = (server(), Upstream::start());
    issuer(&server, "acme");
    let admin = admin(&server);
    let first = upstream.commits("trunk", "one");
    upstream.commits("gone", "two");
    upstream.git("tag -a -m v1 v1 trunk").succeeds();
    upstream.git("update-ref refs/pull/1/head trunk").succeeds();
    upstream
        .git("update-ref refs/namespaces/ephemeral/refs/heads/theirs trunk")
        .succeeds();
    let mirror = Mirror::of(&server, &upstream, "mirror", &json!({}));
    let sync = mirror.after(1);
    assert_eq!(
        (&sync["status"], &sync["error"]),
        (&json!("ok"), &Value::Null),
        "{sync}"
    );
    let mirrored = "HEAD refs/heads/* refs/tags/*";
    let theirs = || {
        let url = upstream.repository().display().to_string();
        let asked = [
            &["ls-remote", &url],
            &*mirrored.split(' ').collect::<Vec<_>>(),
        ]
        .concat();
        let listed = admin.new_folder().git_with(&asked, b"").succeeds();
        let plain = listed.lines().filter(|line| !line.contains("namespaces"));
        plain.collect::<Vec<_>>().join("\n")
    };
    assert_eq!(mirror.refs(&admin, "mirror"), theirs());
    let (_, shown) = mirror.ask("GET", "/api/v1/repo", &Value::Null);
    assert_eq!(shown["default_branch"], "trunk");
    assert_eq!(
        shown["base_repo"],
        json!({"provider": "forgejo", "owner": "o", "name": "n"})
    );
    let copy = admin.clones(&Remote::new("acme/mirror"), Via::Http);
    copy.git("fsck --strict").succeeds();

    // Ours: an ephemeral branch, and a branch of a name that the upstream does not have.
    copy.commits("ours.txt", "ours\n");
    let short = admin.url(&Remote::new("acme/mirror+ephemeral"), Via::Http);
    copy.git_with(&["push", "--quiet", &short, "HEAD:draft"], b"")
        .succeeds();
    copy.git("push --quiet origin HEAD:ours").succeeds();
    let drafts = copy.git_with(&["ls-remote", &short], b"").succeeds();

    // Theirs: a branch moves on, one is rewritten, one goes, one comes.
    upstream.commits("trunk", "three");
    upstream.git("branch -D gone").succeeds();
    upstream.commits("new", "four");
    mirror.pulls(&json!({}));
    assert_eq!(mirror.after(2)["status"], "ok");
    let ours = mirror.refs(&admin, "mirror");
    let without: Vec<_> = ours
        .lines()
        .filter(|line| !line.ends_with("refs/heads/ours"))
        .collect();
    assert_eq!(without.join("\n"), theirs());
    assert_eq!(without.len() + 1, ours.lines().count());
    assert_eq!(
        copy.git_with(&["ls-remote", &short], b"").succeeds(),
        drafts
    );
    upstream
        .git(&format!("update-ref refs/heads/trunk {first}"))
        .succeeds();
    let alone = upstream.commits("new", "five");
    mirror.pulls(&json!({"ref": "new"}));
    assert_eq!(mirror.after(3)["status"], "ok");
    let ours = mirror.refs(&admin, "mirror");
    assert!(ours.contains(&format!("{alone}\trefs/heads/new")));
    assert!(
        !ours.contains(&format!("{first}\trefs/heads/trunk")),
        "only one was asked for"
    );
    mirror.pulls(&Value::Null);
    mirror.after(4);
    assert!(
        mirror
            .refs(&admin, "mirror")
            .contains(&format!("{first}\trefs/heads/trunk"))
    );
    // What was mirrored is thinly built upon what was there.
    let copy = admin.clones(&Remote::new("acme/mirror"), Via::Http);
    copy.git("fsck --strict").succeeds();
}

#[test]
fn what_was_changed_on_both_sides_is_left_alone_and_said() {
    let (server, upstream) = (server(), Upstream::start());
    issuer(&server, "acme");
    let admin = admin(&server);
    upstream.commits("trunk", "one");
    let mirror = Mirror::of(
        &server,
        &upstream,
        "mirror",
        &json!({"default_branch": "trunk"}),
    );
    mirror.after(1);
    let copy = admin.clones(&Remote::new("acme/mirror"), Via::Http);
    let ours = copy.commits("ours.txt", "ours\n");
    copy.git("push --quiet origin trunk").succeeds();
    upstream.commits("trunk", "two");
    mirror.pulls(&json!({}));
    let sync = mirror.after(2);
    assert!(
        sync["error"].as_str().unwrap().contains("refs/heads/trunk"),
        "{sync}"
    );
    assert!(
        mirror
            .refs(&admin, "mirror")
            .contains(&format!("{ours}\trefs/heads/trunk"))
    );
    // The upstream takes our commit over and goes on: then nothing of ours is lost by following.
    copy.git_with(
        &[
            "push",
            "--quiet",
            "--force",
            upstream.repository().to_str().unwrap(),
            "trunk",
        ],
        b"",
    )
    .succeeds();
    let next = upstream.commits("trunk", "three");
    mirror.pulls(&json!({}));
    let sync = mirror.after(3);
    assert_eq!(sync["error"], Value::Null);
    assert!(
        mirror
            .refs(&admin, "mirror")
            .contains(&format!("{next}\trefs/heads/trunk"))
    );
}

#[test]
fn a_credential_is_used_and_never_shown() {
    let (server, upstream) = (server(), Upstream::start());
    issuer(&server, "acme");
    let admin = admin(&server);
    upstream.commits("trunk", "one");
    let basic = |pair: &str| Some(format!("Basic {}", BASE64_STANDARD.encode(pair)));
    let demands = |pair: &str| {
        upstream.behaves(Behaviour {
            authorization: basic(pair),
            ..Behaviour::default()
        });
    };
    demands("bot:s3cr3t");
    let mirror = Mirror::of(&server, &upstream, "mirror", &json!({}));
    let sync = mirror.after(1);
    assert_eq!(sync["status"], "failed", "{sync}");
    assert!(
        sync["error"].as_str().unwrap().contains("credential"),
        "{sync}"
    );
    upstream.heads();

    let credentials = "/api/v1/repos/git-credentials";
    let new = json!({"repo_id": "mirror", "username": "bot", "password": "s3cr3t"});
    let (status, made) = mirror.ask("POST", credentials, &new);
    assert_eq!(status, 200, "{made}");
    assert!(!made.to_string().contains("s3cr3t"));
    let id = made["id"].as_str().unwrap();
    assert_eq!(mirror.ask("POST", credentials, &new).0, 409);
    mirror.pulls(&json!({}));
    assert_eq!(mirror.after(2)["status"], "ok");
    for head in upstream.heads() {
        assert!(head.contains(&basic("bot:s3cr3t").unwrap()), "{head}");
    }
    let store = std::fs::read(server.data().join("packhorse.redb")).unwrap();
    assert!(
        !store.windows(6).any(|bytes| bytes == b"s3cr3t"),
        "it is sealed"
    );
    let (_, audit) = ask(
        &server,
        &admin.token,
        "GET",
        "/api/v1/admin/audit",
        &Value::Null,
    );
    assert!(audit.to_string().contains("credential.create"), "{audit}");
    assert!(!audit.to_string().contains("s3cr3t"));

    // Changed and removed by a JWT for the organization.
    let org = jwt(&claims("org", &["repo:write"]));
    let change = json!({"id": id, "password": "an0ther"});
    let (status, said) = ask(&server, &mirror.token, "PUT", credentials, &change);
    assert_eq!(status, 403, "{said}");
    let (status, changed) = ask(&server, &org, "PUT", credentials, &change);
    assert_eq!((status, &changed["id"]), (200, &json!(id)), "{changed}");
    demands("bot:an0ther");
    mirror.pulls(&json!({}));
    assert_eq!(mirror.after(3)["status"], "ok");
    let (status, _) = ask(&server, &org, "DELETE", credentials, &json!({"id": id}));
    assert_eq!(status, 200);
    for method in ["PUT", "DELETE"] {
        let (status, _) = ask(&server, &org, method, credentials, &change);
        assert_eq!(status, 404, "{method}");
    }
    for (body, status) in [
        (json!({"repo_id": "other", "password": "x"}), 403),
        (json!({"repo_id": "mirror"}), 400),
        (json!({"repo_id": "mirror", "password": ""}), 400),
        (json!({"repo_id": "mirror", "password": "a\nb"}), 400),
        (
            json!({"repo_id": "mirror", "username": "a:b", "password": "x"}),
            400,
        ),
    ] {
        let (found, said) = mirror.ask("POST", credentials, &body);
        assert_eq!(found, status, "{body}: {said}");
    }
}

#[test]
fn a_failed_run_says_why_and_moves_nothing() {
    let (server, upstream) = (server(), Upstream::start());
    issuer(&server, "acme");
    let admin = admin(&server);
    upstream.commits("trunk", "one");
    let answers = |line: &str| {
        upstream.behaves(Behaviour {
            answer: Some(line.to_owned()),
            ..Behaviour::default()
        });
    };
    for (number, (line, words)) in [
        ("HTTP/1.1 404 Not Found", "no such repository"),
        ("HTTP/1.1 200 OK", "no Git server"),
        (
            "HTTP/1.1 302 Found\r\nlocation: http://localhost:1/",
            "drops the encryption",
        ),
        (
            "HTTP/1.1 302 Found\r\nlocation: https://localhost:1/elsewhere",
            "can't be reached",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        answers(line);
        let name = format!("mirror-{number}");
        let mirror = Mirror::of(&server, &upstream, &name, &json!({}));
        let sync = mirror.after(1);
        assert_eq!(sync["status"], "failed", "{line}");
        assert!(
            sync["error"].as_str().unwrap().contains(words),
            "{line}: {sync}"
        );
        assert_eq!(mirror.refs(&admin, &name), "", "{line}");
    }
    // A pack that breaks off is asked for again, after a pause.
    upstream.behaves(Behaviour {
        cut_after: Some(40),
        ..Behaviour::default()
    });
    let mirror = Mirror::of(&server, &upstream, "cut", &json!({}));
    let sync = mirror.after(1);
    assert_eq!(sync["status"], "failed", "{sync}");
    assert_eq!(mirror.refs(&admin, "cut"), "");
    upstream.behaves(Behaviour::default());
    // Nobody asks for it.
    mirror.until(|sync| sync["status"] == "ok");
    assert!(mirror.refs(&admin, "cut").contains("refs/heads/trunk"));
}

/// Attack: an issuer makes a mirror of the server's own neighbour, or of a host that redirects there, to
/// read through the server what only it can reach.
#[test]
fn private_addresses_are_refused_unless_they_are_allowed() {
    let upstream = Upstream::start();
    upstream.commits("trunk", "one");
    let server = Server::start_with(|settings| {
        settings.outbound_ca = Some(key_file("tls-cert.pem").into());
    });
    issuer(&server, "acme");
    for (number, host) in [
        "localhost",
        "127.0.0.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "169.254.169.254",
    ]
    .into_iter()
    .enumerate()
    {
        let host = format!("{host}:{}", upstream.port);
        let name = format!("mirror-{number}");
        let mirror = Mirror::of(&server, &upstream, &name, &json!({"upstream_host": host}));
        let sync = mirror.after(1);
        assert_eq!(sync["status"], "failed", "{host}");
        assert!(
            sync["error"]
                .as_str()
                .unwrap()
                .contains("no public address"),
            "{sync}"
        );
    }
    assert!(upstream.heads().is_empty(), "nobody was called");
}

#[test]
fn pulling_answers_as_the_api_says() {
    let (server, upstream) = (server(), Upstream::start());
    issuer(&server, "acme");
    upstream.commits("trunk", "one");
    let mirror = Mirror::of(&server, &upstream, "mirror", &json!({}));
    mirror.after(1);
    let pull = "/api/v1/repos/pull-upstream";
    let plain = Mirror::new(&server, "plain");
    assert_eq!(plain.ask("POST", "/api/v1/repos", &Value::Null).0, 201);
    let reader = jwt(&claims("mirror", &["git:read", "repo:write"]));
    for (token, body, expected, words) in [
        (&plain.token, json!({}), 400, "no upstream"),
        (&mirror.token, json!({"ref": "a..b"}), 400, "two dots"),
        (
            &mirror.token,
            json!({"ref": "refs/pull/1/head"}),
            400,
            "neither branch nor tag",
        ),
        (&mirror.token, json!({"after": "xyz"}), 400, "no commit id"),
        (&mirror.token, json!({"ref": 1}), 400, "not understood"),
        (&reader, json!({}), 403, "lacks the scope"),
        (&"rubbish".to_owned(), json!({}), 401, "not valid"),
        (
            &jwt(&claims("nowhere", &["git:write"])),
            json!({}),
            404,
            "no such repository",
        ),
    ] {
        let (status, said) = ask(&server, token, "POST", pull, &body);
        assert_eq!(status, expected, "{body}: {said}");
        assert!(
            said["error"].as_str().unwrap().contains(words),
            "{body}: {said}"
        );
    }
    mirror.pulls(&json!({"ref": "refs/heads/nowhere", "after": "abc123"}));
    let sync = mirror.after(2);
    assert!(
        sync["error"]
            .as_str()
            .unwrap()
            .contains("no ref refs/heads/nowhere"),
        "{sync}"
    );
    for (base, words) in [
        (
            json!({"provider": "svn", "owner": "o", "name": "n"}),
            "not known",
        ),
        (
            json!({"provider": "forgejo", "owner": "o", "name": "n"}),
            "needs an upstream_host",
        ),
        (json!({"owner": "o", "name": "../n"}), "name"),
        (
            json!({"owner": "o", "name": "n", "upstream_host": "u@h"}),
            "upstream_host",
        ),
        (
            json!({"owner": "o", "name": "n", "auth": {"auth_type": "token"}}),
            "git-credentials",
        ),
        (
            json!({"owner": "o", "name": "n", "operation": "fork"}),
            "provider code",
        ),
    ] {
        let other = Mirror::new(&server, "other");
        let (status, said) = other.ask("POST", "/api/v1/repos", &json!({"base_repo": base}));
        assert_eq!(status, 400, "{base}: {said}");
        assert!(
            said["error"].as_str().unwrap().contains(words),
            "{base}: {said}"
        );
    }
}
