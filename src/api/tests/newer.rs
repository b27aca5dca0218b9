//! The newer spelling: the repository in the path, other names, the same answers.

use super::*;
use crate::model::ObjectFormat;

async fn novel() -> (World, String) {
    let world = World::new().await;
    world.issuer("acme").await;
    world.repository("acme/team/novel").await;
    let stock = Stock::new(ObjectFormat::Sha1).with_history(12);
    let ephemeral = "refs/namespaces/ephemeral/refs/heads/draft";
    stock.git(["update-ref", ephemeral, "main~2"]);
    stock.git(["repack", "-q", "-a", "-d"]);
    world.fill("acme/team/novel", &stock, &[]).await;
    let token = jwt("team/novel", &["git:read", "git:write", "repo:write"]);
    (world, token)
}

#[tokio::test]
async fn both_spellings_answer_the_same() {
    let (world, token) = novel().await;
    for (newer, older) in [
        ("branches", "branches"),
        ("branches/", "branches"),
        ("branches?limit=1", "branches?limit=1"),
        ("branches?ref_is_ephemeral=true", "branches?ephemeral=true"),
        ("branches?ephemeral=true", "branches?ephemeral=true"),
        ("commits?ref=side&limit=3", "commits?branch=side&limit=3"),
        ("commits?branch=side&limit=3", "commits?branch=side&limit=3"),
        (
            "commits?ref=draft&ref_is_ephemeral=true",
            "commits?branch=draft&ephemeral=true",
        ),
        ("files?ref=side", "files?ref=side"),
        ("files/metadata?ref=side", "files/metadata?ref=side"),
        ("commit?ref=side", "commit?sha=side"),
        ("tags", "tags"),
        (
            "branches/diff?ref=side&base_ref=main",
            "branches/diff?branch=side&base=main",
        ),
        (
            "merge/preview?source_ref=side&target_branch=main",
            "merge/preview?source_branch=side&target_branch=main",
        ),
        (
            "files?ref=draft&ref_is_ephemeral=true",
            "files?ref=draft&ephemeral=true",
        ),
    ] {
        let expected = world
            .get(&format!("/api/v1/repos/{older}"), &token)
            .await
            .is(200);
        let found = world
            .get(&format!("/api/repos/team%2Fnovel/{newer}"), &token)
            .await;
        assert_eq!(found.is(200), expected, "{newer}");
    }
    let older = world.get("/api/v1/repo", &token).await.is(200);
    for path in [
        "/api/repos/team%2Fnovel",
        "/api/repos/team%2fnovel/",
        "/api/repos/acme%2Fteam%2Fnovel",
    ] {
        let mut newer = world.get(path, &token).await.is(200);
        assert_eq!(newer["repo_name"], "team/novel");
        newer.as_object_mut().unwrap().remove("repo_name");
        assert_eq!(newer, older, "{path}");
    }
    let head = world.ask(
        Method::HEAD,
        "/api/repos/team%2Fnovel/branches",
        &token,
        Value::Null,
    );
    assert_eq!(head.await.status, StatusCode::OK);
    // Whoever is no issuer names the namespace, too.
    let listed = world
        .get("/api/repos/acme%2Fteam%2Fnovel/branches", &world.admin)
        .await;
    assert_eq!(listed.is(200)["branches"].as_array().unwrap().len(), 2);
    let org = jwt("org", &["org:read"]);
    let older = world.get("/api/v1/repos", &org).await.is(200);
    assert_eq!(world.get("/api/repos", &org).await.is(200), older);
}

/// Attack: a JWT for one repository names another one in the path.
#[tokio::test]
async fn a_jwt_opens_no_other_repository_in_the_path() {
    let (world, token) = novel().await;
    world.repository("acme/other").await;
    for path in [
        "other",
        "other/branches",
        "acme%2Fother/commits",
        "other%2F..%2Fteam%2Fnovel",
    ] {
        world
            .get(&format!("/api/repos/{path}"), &token)
            .await
            .refused(403);
    }
    world.delete("/api/repos/other", &token).await.refused(403);
    world.get("/api/repos/team%2Fnovel", "").await.refused(401);
    world
        .get("/api/repos/team%2Fnovel", "rubbish")
        .await
        .refused(401);
    world.get("/api/repos/%zz", &token).await.refused(400);
    world
        .get("/api/repos/team%2Fnovel/nothing", &token)
        .await
        .refused(404);
    world
        .get("/api/repos/team/novel", &token)
        .await
        .refused(403);
    let wrong = world
        .put("/api/repos/team%2Fnovel/branches", &token, json!({}))
        .await;
    wrong.refused(405);
}

#[tokio::test]
async fn repositories_are_made_and_deleted_and_credentials_named_by_path() {
    let (world, token) = novel().await;
    let copy = jwt("copy", &["repo:write", "git:read"]);
    let base = json!({"provider": "code", "owner": "acme", "name": "team/novel",
        "auth": {"token": jwt("team/novel", &["git:read"])}});
    let made = world
        .post("/api/repos", &copy, json!({"base_repo": base}))
        .await
        .is(201);
    assert_eq!(made["repo_id"], "copy");
    world
        .post("/api/repos/copy", &copy, Value::Null)
        .await
        .refused(409);
    let shown = world.get("/api/repos/copy", &copy).await.is(200);
    assert_eq!(shown["base_repo"]["name"], "team/novel");
    assert_eq!(
        world.delete("/api/repos/copy", &copy).await.is(200)["repo_name"],
        "copy"
    );
    world.get("/api/repos/copy", &copy).await.refused(404);

    let credentials = "/api/repos/team%2Fnovel/git-credentials";
    let made = world
        .post(credentials, &token, json!({"password": "s3cr3t"}))
        .await
        .is(200);
    let id = made["id"].as_str().unwrap();
    let named = format!("{credentials}/{id}");
    world
        .put(&named, &token, json!({"password": "x"}))
        .await
        .refused(403);
    let org = jwt("org", &["repo:write"]);
    let changed = world
        .put(&named, &org, json!({"password": "x"}))
        .await
        .is(200);
    assert_eq!(changed["id"], id);
    world.delete(&named, &org).await.is(200);
    world.delete(&named, &org).await.refused(404);
}

#[tokio::test]
async fn commits_notes_and_branches_are_written_by_their_newer_names() {
    let (world, token) = novel().await;
    let below = "/api/repos/team%2Fnovel";
    let metadata = json!({"metadata": {
        "target_branch": "topic", "base_ref": "side", "commit_message": "Add a\n",
        "author": {"name": "A", "email": "a@example.com"},
        "files": [{"path": "a.txt", "content_id": "1"}],
    }});
    let chunk = json!({"blob_chunk": {"content_id": "1", "data": "YQ==", "eof": true}});
    let body = format!("{metadata}\n{chunk}\n");
    let path = format!("{below}/commit-pack");
    let made = world.sends(&path, &token, body.clone()).await.is(201);
    assert_eq!(made["result"]["branch"], "topic");
    assert_eq!(made["result"]["target_branch"], "topic");
    let commit = made["commit"]["commit_sha"].as_str().unwrap();
    let guarded = body.replace("base_ref", "expected_target_sha");
    world.sends(&path, &token, guarded).await.refused(400);

    let note = json!({"object_ref": commit, "action": "add", "note": "Well done.",
        "author": {"name": "A", "email": "a@example.com"}});
    let notes = format!("{below}/notes");
    world.post(&notes, &token, note).await.is(201);
    let read = world
        .get(&format!("{notes}?object_ref={commit}"), &token)
        .await
        .is(200);
    assert!(
        read["note"].as_str().unwrap().contains("Well done."),
        "{read}"
    );

    let tag = json!({"name": "v-new", "target": commit});
    world
        .post(&format!("{below}/tags"), &token, tag)
        .await
        .is(200);
    let gone = world
        .delete(&format!("{below}/tags/v-new"), &token)
        .await
        .is(200);
    assert_eq!(gone["name"], "v-new");
    let removed = json!({"target_branch": "topic", "target_is_ephemeral": false});
    let branches = format!("{below}/branches");
    let answer = world.ask(Method::DELETE, &branches, &token, removed).await;
    assert_eq!(answer.is(200)["name"], "topic");
}
