//! Repositories of our own API.

use super::*;

#[tokio::test]
async fn a_repository_is_made_shown_by_path_and_id_and_deleted() {
    let world = World::new().await;
    let alice = world.user("alice").await;
    let path = "/api/v1/admin/repositories";
    let body = json!({
        "path": "alice/team/novel",
        "visibility": "internal",
        "object_format": "sha256",
        "default_branch": "trunk",
        "description": "It was a dark and stormy night.",
    });
    let made = world.post(path, &alice, body.clone()).await.is(201);
    assert_eq!(made["path"], "alice/team/novel");
    assert_eq!(made["visibility"], "internal");
    assert_eq!(made["object_format"], "sha256");
    assert_eq!(made["default_branch"], "trunk");
    assert_eq!(made["http_url"], "https://git.example/alice/team/novel.git");
    world.post(path, &alice, body).await.refused(409);
    let by_path = format!("{path}/alice%2Fteam%2fnovel");
    let by_id = format!("{path}/{}", made["id"]);
    for one in [&by_path, &by_id] {
        assert_eq!(world.get(one, &alice).await.is(200), made);
    }
    world.delete(&by_id, &alice).await.is(204);
    for one in [&by_path, &by_id] {
        world.get(one, &alice).await.refused(404);
        world.delete(one, &alice).await.refused(404);
    }
}

#[tokio::test]
async fn what_can_t_be_a_repository_is_refused() {
    let world = World::new().await;
    let alice = world.user("alice").await;
    let path = "/api/v1/admin/repositories";
    for (body, status) in [
        (json!({"path": "alice"}), 400),
        (json!({"path": "alice/../x"}), 400),
        (json!({"path": "api/x"}), 400),
        (json!({"path": "alice/x", "visibility": "secret"}), 400),
        (json!({"path": "alice/x", "object_format": "md5"}), 400),
        (json!({"path": "alice/x", "default_branch": "a..b"}), 400),
        (
            json!({"path": "alice/x", "description": "x".repeat(2001)}),
            400,
        ),
        (json!({"path": "absent/x"}), 404),
        (json!({"path": "admin/x"}), 404),
    ] {
        world.post(path, &alice, body).await.refused(status);
    }
    let body = json!({"path": "alice/x"});
    world.post(path, "", body.clone()).await.refused(401);
    let reader = world.token("alice", &["git:write"]).await;
    world.post(path, &reader, body).await.refused(403);
    world
        .get(&format!("{path}/nonsense"), &alice)
        .await
        .refused(400);
}

#[tokio::test]
async fn the_list_shows_what_its_reader_may_see() {
    let world = World::new().await;
    let (alice, bob) = (world.user("alice").await, world.user("bob").await);
    for (path, visibility) in [
        ("alice/a", "private"),
        ("alice/b", "internal"),
        ("alice/c", "public"),
    ] {
        let body = json!({"path": path, "visibility": visibility});
        world.makes("repositories", body).await;
    }
    let all = "/api/v1/admin/repositories";
    let of_alice = "/api/v1/admin/namespaces/alice/repositories";
    for path in [all, of_alice] {
        for (token, expected) in [
            (alice.as_str(), &["alice/a", "alice/b", "alice/c"][..]),
            (world.admin.as_str(), &["alice/a", "alice/b", "alice/c"]),
            (bob.as_str(), &["alice/b", "alice/c"]),
            ("", &["alice/c"]),
        ] {
            let listed = world.get(path, token).await.is(200);
            assert_eq!(each(&listed["items"], "path"), expected, "{path}");
        }
        let first = world.get(&format!("{path}?limit=2"), &alice).await.is(200);
        assert_eq!(each(&first["items"], "path"), ["alice/a", "alice/b"]);
        let cursor = first["next_cursor"].as_str().unwrap();
        let rest = format!("{path}?limit=2&cursor={cursor}");
        let rest = world.get(&rest, &alice).await.is(200);
        assert_eq!(each(&rest["items"], "path"), ["alice/c"]);
        assert_eq!(rest["has_more"], false);
    }
}

#[tokio::test]
async fn settings_change_together_or_not_at_all() {
    let world = World::new().await;
    let (alice, bob) = (world.user("alice").await, world.user("bob").await);
    world.repository("alice/novel").await;
    let path = "/api/v1/admin/repositories/alice%2Fnovel";
    let change = json!({"visibility": "public", "default_branch": "trunk"});
    world.patch(path, &bob, change.clone()).await.refused(404);
    let changed = world.patch(path, &alice, change.clone()).await.is(200);
    assert_eq!(changed["visibility"], "public");
    assert_eq!(changed["default_branch"], "trunk");
    world.patch(path, &bob, change).await.refused(403);
    for bad in [
        json!({"visibility": "private", "default_branch": "a b"}),
        json!({"visibility": "private", "description": "x".repeat(2001)}),
        json!({"visibility": "private", "name": "other"}),
    ] {
        world.patch(path, &alice, bad).await.refused(400);
        assert_eq!(world.get(path, &alice).await.is(200), changed);
    }
}
