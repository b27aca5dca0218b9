//! Users, their tokens and keys.

use super::*;

#[tokio::test]
async fn an_administrator_makes_users_and_others_may_not() {
    let world = World::new().await;
    let made = world
        .makes(
            "users",
            json!({"name": "alice", "email": "a@example.org", "password": "correct horse battery"}),
        )
        .await;
    assert_eq!(made["name"], "alice");
    assert_eq!(made["admin"], false);
    assert_eq!(made["has_password"], true);
    assert!(made["created_at"].as_str().unwrap().ends_with('Z'));
    let users = "/api/v1/admin/users";
    for (body, status) in [
        (json!({"name": "Alice"}), 409),
        (json!({"name": "api"}), 400),
        (json!({"name": "bob", "email": "nowhere"}), 400),
        (json!({"name": "bob", "password": ""}), 400),
    ] {
        world.post(users, &world.admin, body).await.refused(status);
    }
    let alice = world.token("alice", &["api"]).await;
    let body = json!({"name": "bob"});
    world.post(users, &alice, body.clone()).await.refused(403);
    world.post(users, "", body.clone()).await.refused(401);
    world.get(users, &alice).await.refused(403);
    // An administrator's token without the scope administers nothing.
    let lesser = world.token("admin", &["api"]).await;
    world.post(users, &lesser, body).await.refused(403);
}

#[tokio::test]
async fn users_are_listed_page_by_page() {
    let world = World::new().await;
    for name in ["a1", "a2", "a3", "a4"] {
        world.makes("users", json!({"name": name})).await;
    }
    let mut names = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/api/v1/admin/users?limit=2{cursor}");
        let page = world.get(&path, &world.admin).await.is(200);
        names.extend(each(&page["items"], "name").into_iter().map(str::to_owned));
        if page["has_more"] == false {
            assert!(page.get("next_cursor").is_none());
            break;
        }
        cursor = format!("&cursor={}", page["next_cursor"].as_str().unwrap());
    }
    assert_eq!(names, ["admin", "a1", "a2", "a3", "a4"]);
    for query in ["limit=0", "limit=x", "cursor=x", "cursor=-1"] {
        let path = format!("/api/v1/admin/users?{query}");
        world.get(&path, &world.admin).await.refused(400);
    }
}

#[tokio::test]
async fn an_account_shows_itself_to_its_owner_alone() {
    let world = World::new().await;
    let (alice, bob) = (world.user("alice").await, world.user("bob").await);
    let path = "/api/v1/admin/users/alice";
    assert_eq!(world.get(path, &alice).await.is(200)["name"], "alice");
    world.get(path, &world.admin).await.is(200);
    world.get(path, &bob).await.refused(403);
    world.get(path, "").await.refused(401);
    let nobody = "/api/v1/admin/users/nobody";
    world.get(nobody, &world.admin).await.refused(404);
    // The same as for somebody who exists.
    world.get(nobody, &bob).await.refused(403);
}

#[tokio::test]
async fn a_blocked_user_is_out_at_once_and_can_be_let_in_again() {
    let world = World::new().await;
    let alice = world.user("alice").await;
    let path = "/api/v1/admin/users/alice";
    let blocked = |blocked: bool| json!({"blocked": blocked});
    world.patch(path, &alice, blocked(false)).await.refused(403);
    let row = world.patch(path, &world.admin, blocked(true)).await.is(200);
    assert_eq!(row["blocked"], true);
    world.get(path, &alice).await.refused(401);
    world
        .patch(path, &world.admin, blocked(false))
        .await
        .is(200);
    world.get(path, &alice).await.is(200);
}

#[tokio::test]
async fn a_password_is_set_and_taken_away() {
    let world = World::new().await;
    let alice = world.user("alice").await;
    let path = "/api/v1/admin/users/alice/password";
    let fit = json!({"password": "correct horse battery"});
    world
        .put(path, &alice, json!({"password": ""}))
        .await
        .refused(400);
    world.put(path, &alice, fit).await.is(204);
    let shown = world.get("/api/v1/admin/users/alice", &alice).await.is(200);
    assert_eq!(shown["has_password"], true);
    world.delete(path, &alice).await.is(204);
    let shown = world.get("/api/v1/admin/users/alice", &alice).await.is(200);
    assert_eq!(shown["has_password"], false);
}

#[tokio::test]
async fn a_token_is_shown_once_and_worthless_once_deleted() {
    let world = World::new().await;
    let alice = world.user("alice").await;
    let path = "/api/v1/admin/users/alice/tokens";
    let body = json!({
        "name": "ci",
        "scopes": ["git:read"],
        "refs": [["main", ["no-push"]]],
        "expires_at": "2999-01-01T00:00:00Z",
    });
    let made = world.post(path, &alice, body).await.is(201);
    let secret = made["token"].as_str().unwrap();
    assert!(secret.starts_with("ph_"));
    let listed = world.get(path, &alice).await;
    assert!(!String::from_utf8_lossy(&listed.body).contains(secret));
    let listed = listed.is(200);
    let item = &listed["items"][1];
    assert_eq!(item["id"], made["id"]);
    assert_eq!(item["scopes"], json!(["git:read"]));
    assert_eq!(item["refs"], json!([["main", ["no-push"]]]));
    assert_eq!(item["expires_at"], "2999-01-01T00:00:00Z");
    let one = format!("{path}/{}", made["id"]);
    world
        .get("/api/v1/admin/repositories", secret)
        .await
        .is(200);
    world.delete(&one, &alice).await.is(204);
    world.delete(&one, &alice).await.refused(404);
    world
        .delete(&format!("{path}/x"), &alice)
        .await
        .refused(404);
    world
        .get("/api/v1/admin/repositories", secret)
        .await
        .refused(401);
}

#[tokio::test]
async fn a_token_makes_no_token_that_may_more() {
    let world = World::new().await;
    let alice = world.user("alice").await;
    let path = "/api/v1/admin/users/alice/tokens";
    let reader = world.token("alice", &["git:read"]).await;
    world.post(path, &reader, json!({})).await.refused(403);
    let beyond = json!({"scopes": ["admin"]});
    world.post(path, &alice, beyond).await.refused(403);
    for body in [
        json!({"scopes": ["everything"]}),
        json!({"expires_at": "soon"}),
        json!({"refs": [["main", ["no-fun"]]]}),
        json!({"name": "a\nb"}),
    ] {
        world.post(path, &alice, body).await.refused(400);
    }
    let bob = world.user("bob").await;
    world.post(path, &bob, json!({})).await.refused(403);
}

#[tokio::test]
async fn keys_are_added_listed_and_deleted() {
    let world = World::new().await;
    let (alice, bob) = (world.user("alice").await, world.user("bob").await);
    let path = "/api/v1/admin/users/alice/keys";
    let key = ssh_key("laptop");
    let made = world.post(path, &alice, json!({"key": key})).await.is(201);
    assert_eq!(made["title"], "laptop");
    assert!(made["fingerprint"].as_str().unwrap().starts_with("SHA256:"));
    let again = world.post(path, &alice, json!({"key": key})).await;
    again.refused(409);
    let nonsense = world.post(path, &alice, json!({"key": "ssh-rsa x"})).await;
    nonsense.refused(400);
    let listed = world.get(path, &alice).await.is(200);
    assert_eq!(each(&listed["items"], "title"), ["laptop"]);
    world.get(path, &bob).await.refused(403);
    let one = format!("{path}/{}", made["id"]);
    world.delete(&one, &bob).await.refused(403);
    world.delete(&one, &alice).await.is(204);
    world.delete(&one, &alice).await.refused(404);
}

#[tokio::test]
async fn the_audit_log_tells_who_did_what_newest_first() {
    let world = World::new().await;
    let alice = world.user("alice").await;
    let log = world
        .get("/api/v1/admin/audit?limit=1", &world.admin)
        .await
        .is(200);
    assert_eq!(each(&log["items"], "action"), ["token.create"]);
    assert_eq!(log["has_more"], true);
    let cursor = log["next_cursor"].as_str().unwrap();
    let path = format!("/api/v1/admin/audit?limit=1&cursor={cursor}");
    let log = world.get(&path, &world.admin).await.is(200);
    assert_eq!(each(&log["items"], "action"), ["user.create"]);
    assert_eq!(each(&log["items"], "actor"), ["admin"]);
    world.get("/api/v1/admin/audit", &alice).await.refused(403);
}
