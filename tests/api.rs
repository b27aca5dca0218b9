//! The management API seen by its clients: what is pushed with git is what the API shows.

use serde_json::Value;

use crate::support::{Server, User, Via};

/// Status and JSON of a request with this person's token.
fn ask(server: &Server, user: &User<'_>, method: &str, path: &str, body: &str) -> (u16, Value) {
    let agent: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .build()
        .into();
    let request = ureq::http::Request::builder()
        .method(method)
        .uri(format!("{}{path}", server.url()))
        .header("authorization", format!("Bearer {}", user.token))
        .header("content-type", "application/json")
        .body(body.to_owned())
        .unwrap();
    let mut response = agent.run(request).unwrap();
    let text = response.body_mut().read_to_string().unwrap();
    (
        response.status().as_u16(),
        serde_json::from_str(&text).unwrap_or(Value::String(text)),
    )
}

#[test]
fn what_git_pushed_is_what_the_api_shows() {
    let server = Server::start();
    let alice = server.user("alice");
    let novel = alice.creates_repository("novel");
    let copy = alice.clones(&novel, Via::Ssh);
    copy.git("switch --quiet -c main").stderr();
    for number in 0..25 {
        copy.commits(
            &format!("chapters/{number:02}.txt"),
            &format!("chapter {number}\n"),
        );
    }
    copy.git("branch early HEAD~20").succeeds();
    copy.git("push --quiet origin main").succeeds();
    copy.git("push --quiet origin early").succeeds();

    let (status, branches) = ask(
        &server,
        &alice,
        "GET",
        "/api/v1/repos/branches?repo=alice/novel",
        "",
    );
    assert_eq!(status, 200, "{branches}");
    let names: Vec<_> = branches["branches"]
        .as_array()
        .unwrap()
        .iter()
        .map(|branch| &branch["name"])
        .collect();
    assert_eq!(names, ["main", "early"], "in the order they were made");
    assert_eq!(branches["branches"][0]["head_sha"], copy.head());
    assert_eq!(branches["has_more"], false);

    let (status, page) = ask(
        &server,
        &alice,
        "GET",
        "/api/v1/repos/commits?repo=alice/novel",
        "",
    );
    assert_eq!(status, 200, "{page}");
    let shown: Vec<_> = page["commits"]
        .as_array()
        .unwrap()
        .iter()
        .map(|commit| commit["sha"].as_str().unwrap())
        .collect();
    let logged = copy.git("log --format=%H -20").succeeds();
    assert_eq!(shown, logged.lines().collect::<Vec<_>>());
    assert_eq!(page["next_cursor"], "20");
    assert!(page["commits"][0]["parent_shas"].is_array());

    let (status, files) = ask(
        &server,
        &alice,
        "GET",
        "/api/v1/repos/files?repo=alice/novel&ref=early",
        "",
    );
    assert_eq!(status, 200, "{files}");
    assert_eq!(files["paths"].as_array().unwrap().len(), 5);

    let (status, text) = ask(
        &server,
        &alice,
        "GET",
        "/api/v1/repos/file?repo=alice/novel&path=chapters/07.txt",
        "",
    );
    assert_eq!(
        (status, text),
        (200, Value::String("chapter 7\n".to_owned()))
    );
    let (status, _) = ask(
        &server,
        &alice,
        "GET",
        "/api/v1/repos/file?repo=alice/novel&path=absent",
        "",
    );
    assert_eq!(status, 404);
}

#[test]
fn branches_merged_by_api_are_what_git_fetches() {
    let server = Server::start();
    let alice = server.user("alice");
    let novel = alice.creates_repository("novel");
    let copy = alice.clones(&novel, Via::Http);
    copy.git("switch --quiet -c main").stderr();
    let chapter = (0..20)
        .map(|line| format!("line {line}\n"))
        .collect::<String>();
    copy.commits("chapter.txt", &chapter);
    copy.git("switch --quiet -c draft").stderr();
    copy.commits(
        "chapter.txt",
        &chapter.replace("line 1\n", "a better line\n"),
    );
    copy.commits("notes.txt", "notes\n");
    copy.git("switch --quiet main").stderr();
    copy.git("mv chapter.txt chapter-1.txt").succeeds();
    copy.commits("other.txt", "other\n");
    copy.git("push --quiet origin main draft").succeeds();
    let tree = copy.git("merge-tree --write-tree main draft").succeeds();

    let path = "/api/v1/repos/merge?repo=alice/novel";
    let body = r#"{"source_branch": "draft", "target_branch": "main", "strategy": "merge"}"#;
    let (status, merged) = ask(&server, &alice, "POST", path, body);
    assert_eq!(status, 200, "{merged}");
    copy.git("pull --quiet --ff-only origin main").succeeds();
    assert_eq!(merged["commit_sha"], copy.head());
    assert_eq!(
        copy.git("rev-parse HEAD^{tree}").succeeds().trim(),
        tree.trim()
    );
    assert_eq!(
        copy.git("rev-parse HEAD^2").succeeds(),
        copy.git("rev-parse draft").succeeds()
    );
    assert!(copy.reads("chapter-1.txt").contains("a better line"));
    copy.git("fsck --strict").succeeds();

    let path = "/api/v1/repos/blame?repo=alice/novel&path=chapter-1.txt&range=1,3";
    let (status, told) = ask(&server, &alice, "GET", path, "");
    assert_eq!(status, 200, "{told}");
    let better = copy.git("rev-parse draft~1").succeeds();
    assert_eq!(told["lines"][1]["commit_sha"], better.trim());
    assert_eq!(told["lines"][1]["original_path"], "chapter.txt");

    let path = "/api/v1/repos/grep?repo=alice/novel";
    let (status, found) = ask(
        &server,
        &alice,
        "POST",
        path,
        r#"{"query": {"pattern": "bet+er"}}"#,
    );
    assert_eq!(status, 200, "{found}");
    assert_eq!(found["matches"][0]["path"], "chapter-1.txt");
    assert_eq!(found["repo"]["commit"], copy.head());

    copy.git("switch --quiet -c rival draft~2").stderr();
    copy.commits(
        "chapter.txt",
        &chapter.replace("line 1\n", "a worse line\n"),
    );
    copy.git("push --quiet origin rival").succeeds();
    let body = r#"{"source_branch": "rival", "target_branch": "main", "strategy": "merge"}"#;
    let path = "/api/v1/repos/merge?repo=alice/novel";
    let (status, refused) = ask(&server, &alice, "POST", path, body);
    assert_eq!(status, 409, "{refused}");
    assert_eq!(
        refused["conflict_paths"],
        serde_json::json!(["chapter-1.txt"])
    );
}

#[test]
fn what_is_not_yours_is_not_there() {
    let server = Server::start();
    let alice = server.user("alice");
    let bob = server.user("bob");
    alice.creates_repository("novel");
    for path in ["branches", "commits", "files", "file?path=x"] {
        let joint = if path.contains('?') { '&' } else { '?' };
        let of = |repository: &str| {
            let path = format!("/api/v1/repos/{path}{joint}repo={repository}");
            ask(&server, &bob, "GET", &path, "")
        };
        let ((foreign, _), (absent, _)) = (of("alice/novel"), of("alice/absent"));
        assert_eq!((foreign, absent), (404, 404), "{path}");
    }
    let (status, _) = ask(
        &server,
        &bob,
        "DELETE",
        "/api/v1/admin/repositories/alice%2Fnovel",
        "",
    );
    assert_eq!(status, 404);
}

#[test]
fn a_deploy_key_is_managed_by_who_administers_its_repository() {
    let server = Server::start();
    let alice = server.user("alice");
    let bob = server.user("bob");
    alice.creates_repository_with("novel", &["--public"]);
    let key = crate::support::ed25519_key(server.scratch(), "robot");
    let key = std::fs::read_to_string(key.with_extension("pub")).unwrap();
    let body =
        serde_json::json!({"title": "robot", "key": key.trim(), "can_push": true}).to_string();
    let path = "/api/v1/admin/repositories/alice%2Fnovel/deploy_keys";
    let (status, _) = ask(&server, &bob, "POST", path, &body);
    assert_eq!(status, 403, "bob may read but not administer");
    let (status, added) = ask(&server, &alice, "POST", path, &body);
    assert_eq!(status, 201, "{added}");
    let one = format!("{path}/{}", added["id"]);
    let (status, shown) = ask(&server, &alice, "GET", &one, "");
    assert_eq!((status, &shown["can_push"]), (200, &Value::Bool(true)));
    let (status, _) = ask(&server, &alice, "POST", path, &body);
    assert_eq!(status, 409, "once is enough");
    let (status, _) = ask(&server, &alice, "DELETE", &one, "");
    assert!(status == 200 || status == 204, "{status}");
    let (status, _) = ask(&server, &alice, "GET", &one, "");
    assert_eq!(status, 404);
}
