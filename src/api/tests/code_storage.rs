//! Repositories as Code Storage's clients make, list, show and delete them.

use super::*;

/// Each route with the scope that its pages demand, if any.
const ROUTES: &[(Method, &str, Option<&str>)] = &[
    (Method::POST, "/api/v1/repos", Some("repo:write")),
    (Method::GET, "/api/v1/repo", None),
    (Method::GET, "/api/v1/repos/branches", Some("git:read")),
    (Method::GET, "/api/v1/repos/commits", Some("git:read")),
    (Method::GET, "/api/v1/repos/files", Some("git:read")),
    (Method::GET, "/api/v1/repos/file?path=a", Some("git:read")),
    (
        Method::GET,
        "/api/v1/repos/files/metadata",
        Some("git:read"),
    ),
    (Method::GET, "/api/v1/repos/commit?sha=a", Some("git:read")),
    (Method::GET, "/api/v1/repos/tags", Some("git:read")),
    (Method::GET, "/api/v1/repos/notes?sha=a", Some("git:read")),
    (Method::GET, "/api/v1/repos/notes/refs", Some("git:read")),
    (
        Method::POST,
        "/api/v1/repos/branches/create",
        Some("git:write"),
    ),
    (Method::DELETE, "/api/v1/repos/branches", Some("git:write")),
    (Method::POST, "/api/v1/repos/tags", Some("git:write")),
    (Method::DELETE, "/api/v1/repos/tags", Some("git:write")),
    (Method::POST, "/api/v1/repos/notes", Some("git:write")),
    (Method::DELETE, "/api/v1/repos/notes", Some("git:write")),
    (Method::POST, "/api/v1/repos/commit-pack", Some("git:write")),
    (Method::POST, "/api/v1/repos/diff-commit", Some("git:write")),
    (
        Method::POST,
        "/api/v1/repos/restore-commit",
        Some("git:write"),
    ),
    (Method::DELETE, "/api/v1/repos/delete", Some("repo:write")),
];

#[tokio::test]
async fn every_route_demands_exactly_its_scope() {
    let world = World::new().await;
    world.issuer("acme").await;
    for (method, path, needed) in ROUTES {
        for scope in ["git:read", "git:write", "repo:write", "org:read"] {
            let allowed = match *needed {
                None => true,
                Some("git:read") => scope == "git:read" || scope == "git:write",
                Some(needed) => scope == needed,
            };
            let token = jwt("novel", &[scope]);
            let answer = world.ask(method.clone(), path, &token, Value::Null).await;
            let refused = answer.status == StatusCode::UNAUTHORIZED;
            assert_eq!(refused, !allowed, "{method} {path} with {scope}");
            if *path == ROUTES[0].1 && allowed {
                answer.is(201);
            }
        }
        let answer = world.ask(method.clone(), path, "", Value::Null).await;
        answer.refused(401);
    }
    let list = "/api/v1/repos";
    for (scopes, status) in [(["org:read"], 200), (["git:read"], 401)] {
        let answer = world.get(list, &jwt("org", &scopes)).await;
        assert_eq!(answer.status.as_u16(), status, "{scopes:?}");
    }
}

#[tokio::test]
async fn a_jwt_makes_the_repository_it_names() {
    let world = World::new().await;
    world.issuer("acme").await;
    let token = jwt("team/novel", &["repo:write"]);
    let path = "/api/v1/repos";
    for body in [
        json!({"base_repo": {"provider": "svn", "owner": "o", "name": "n"}}),
        json!({"default_branch": "refs/tags/v1"}),
        json!({"default_branch": "a..b"}),
        json!([1]),
        json!({"default_branch": 1}),
    ] {
        world.post(path, &token, body).await.refused(400);
    }
    let made = world.post(path, &token, Value::Null).await.is(201);
    assert_eq!(made["id"], "team/novel");
    assert_eq!(made["repo_id"], "team/novel");
    assert_eq!(made["http_url"], "https://git.example/acme/team/novel.git");
    assert_eq!(made["message"], "repository created");
    let created_at = made["created_at"].as_str().unwrap();
    assert_eq!(created_at.len(), "2024-01-15T10:30:00Z".len());
    world.post(path, &token, Value::Null).await.refused(409);

    let shown = world.get("/api/v1/repo", &token).await.is(200);
    assert_eq!(
        shown,
        json!({
            "repo_id": "team/novel",
            "url": "team/novel",
            "default_branch": "main",
            "created_at": created_at,
        })
    );
    let other = jwt("other", &["repo:write"]);
    let body = json!({"default_branch": "refs/heads/trunk", "unknown": 1});
    world.post(path, &other, body).await.is(201);
    let shown = world.get("/api/v1/repo", &other).await.is(200);
    assert_eq!(shown["default_branch"], "trunk");
}

#[tokio::test]
async fn of_two_that_make_the_same_repository_at_once_one_wins() {
    let world = World::new().await;
    world.issuer("acme").await;
    let token = jwt("novel", &["repo:write"]);
    let make = || world.post("/api/v1/repos", &token, Value::Null);
    let answers = tokio::join!(make(), make(), make());
    let mut statuses = [answers.0, answers.1, answers.2].map(|answer| answer.status.as_u16());
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409, 409]);
}

#[tokio::test]
async fn a_deleted_repository_is_gone_and_its_name_free() {
    let world = World::new().await;
    world.issuer("acme").await;
    let token = jwt("novel", &["repo:write", "git:read"]);
    let delete = "/api/v1/repos/delete";
    world.delete(delete, &token).await.refused(404);
    world
        .post("/api/v1/repos", &token, Value::Null)
        .await
        .is(201);
    // Clients send a body, which says nothing.
    let answer = world.ask(Method::DELETE, delete, &token, json!({})).await;
    assert_eq!(answer.is(200)["repo_id"], "novel");
    world.delete(delete, &token).await.refused(404);
    for (method, path, _) in &ROUTES[1..6] {
        let answer = world.ask(method.clone(), path, &token, Value::Null).await;
        answer.refused(404);
    }
    world
        .post("/api/v1/repos", &token, Value::Null)
        .await
        .is(201);
}

#[tokio::test]
async fn a_jwt_opens_its_namespace_and_no_parameter_widens_it() {
    let world = World::new().await;
    world.issuer("acme").await;
    let alice = world.user("alice").await;
    for path in ["acme/novel", "acme/other", "alice/diary"] {
        world.repository(path).await;
    }
    let token = jwt("novel", &["git:read", "org:read", "repo:write"]);
    let shown = world.get("/api/v1/repo?repo=alice/diary", &token).await;
    assert_eq!(shown.is(200)["repo_id"], "novel");
    // A JWT for one repository lists none; one for the organization opens none.
    world.get("/api/v1/repos", &token).await.refused(403);
    let whole = jwt("org", &["git:read", "org:read", "repo:write"]);
    world.get("/api/v1/repo", &whole).await.refused(403);
    world
        .post("/api/v1/repos", &whole, Value::Null)
        .await
        .refused(403);
    let listed = world.get("/api/v1/repos", &whole).await.is(200);
    assert_eq!(each(&listed["repos"], "url"), ["novel", "other"]);

    let late = signed(&json!({
        "iss": "acme", "sub": "tests", "repo": "novel", "scopes": ["git:read"],
        "iat": 1_000_000_000, "exp": 1_000_000_060,
    }));
    world.get("/api/v1/repo", &late).await.refused(401);

    // Other credentials name the repository in the query.
    let shown = world.get("/api/v1/repo?repo=alice/diary", &alice).await;
    assert_eq!(shown.is(200)["repo_id"], "alice/diary");
    world.get("/api/v1/repo", &alice).await.refused(400);
    world
        .get("/api/v1/repo?repo=diary", &alice)
        .await
        .refused(400);
    let hidden = world.get("/api/v1/repo?repo=acme/novel", &alice).await;
    let absent = world.get("/api/v1/repo?repo=acme/absent", &alice).await;
    assert_eq!(hidden.refused(404), absent.refused(404));
}

#[tokio::test]
async fn repositories_are_listed_searched_and_paged() {
    let world = World::new().await;
    world.issuer("acme").await;
    for path in ["acme/b", "acme/a", "acme/Team/c", "acme/team/d", "acme/e"] {
        world.repository(path).await;
    }
    let token = jwt("org", &["org:read"]);
    let page = async |query: &str| world.get(&format!("/api/v1/repos?{query}"), &token).await;
    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let listed = page(&format!("limit=2{cursor}")).await.is(200);
        let urls = each(&listed["repos"], "url");
        seen.extend(urls.into_iter().map(str::to_owned));
        if listed["has_more"] == false {
            assert!(listed.get("next_cursor").is_none());
            break;
        }
        cursor = format!("&cursor={}", listed["next_cursor"].as_str().unwrap());
    }
    assert_eq!(seen, ["a", "b", "e", "Team/c", "team/d"]);
    let found = page("q=TEAM&limit=1").await.is(200);
    assert_eq!(each(&found["repos"], "url"), ["Team/c"]);
    assert_eq!(found["has_more"], true);
    let found = page("q=TEAM&limit=2").await.is(200);
    assert_eq!(each(&found["repos"], "url"), ["Team/c", "team/d"]);
    assert_eq!(found["has_more"], false);
    assert_eq!(page("q=nothing").await.is(200)["repos"], json!([]));
    for query in ["limit=0", "limit=-1", "cursor=..", "limit=1&limit=2"] {
        page(query).await.refused(400);
    }
}
