//! Forks as Code Storage's clients make them.

use super::*;
use crate::model::ObjectFormat;

/// A repository `acme/novel` with branches, tags, and an ephemeral branch that reaches a commit alone.
async fn novel() -> (World, Stock) {
    let world = World::new().await;
    world.issuer("acme").await;
    world.repository("acme/novel").await;
    let stock = Stock::new(ObjectFormat::Sha1).with_history(12);
    stock.import(
        "commit refs/heads/draft\ncommitter Carl <carl@example.org> 1700009999 +0000\ndata 5\nDraft\n\
         from refs/heads/main^0\nM 100644 inline draft.txt\ndata 6\nDraft\n\n",
    );
    let ephemeral = "refs/namespaces/ephemeral/refs/heads/draft";
    stock.git(["update-ref", ephemeral, "draft"]);
    stock.git(["branch", "-D", "-q", "draft"]);
    stock.git(["repack", "-q", "-a", "-d"]);
    world.fill("acme/novel", &stock, &[]).await;
    (world, stock)
}

/// What asks for a fork of `novel` with these further fields.
fn fork(fields: Value) -> Value {
    let token = jwt("novel", &["git:read"]);
    let mut base = json!({"provider": "code", "owner": "acme", "name": "novel", "operation": "fork",
        "auth": {"token": token}});
    for (name, value) in fields.as_object().unwrap() {
        base[name] = value.clone();
    }
    json!({"base_repo": base})
}

fn creator(name: &str) -> String {
    jwt(name, &["repo:write", "git:read"])
}

#[tokio::test]
async fn a_fork_begins_with_the_branches_and_tags_of_its_source() {
    let (world, stock) = novel().await;
    let token = creator("copy");
    let made = world.post("/api/v1/repos", &token, fork(json!({}))).await;
    assert_eq!(made.is(201)["id"], "copy");
    let shown = world.get("/api/v1/repo", &token).await.is(200);
    assert_eq!(
        shown["base_repo"],
        json!({"provider": "code", "owner": "acme", "name": "novel"})
    );
    assert_eq!(shown["default_branch"], "main");
    let org = jwt("org", &["org:read"]);
    let listed = world.get("/api/v1/repos", &org).await.is(200);
    assert_eq!(listed["repos"][0]["base_repo"], shown["base_repo"]);
    assert!(listed["repos"][1].get("base_repo").is_none());
    let branches = |token: String| {
        let world = &world;
        async move { world.get("/api/v1/repos/branches", &token).await.is(200)["branches"].take() }
    };
    let mut ours: Vec<_> = names(&branches(token.clone()).await);
    let mut theirs: Vec<_> = names(&branches(jwt("novel", &["git:read"])).await);
    ours.sort_unstable();
    theirs.sort_unstable();
    assert_eq!(ours, theirs);
    let drafts = world
        .get("/api/v1/repos/branches?ephemeral=true", &token)
        .await;
    assert_eq!(drafts.is(200)["branches"], json!([]));
    let files = world
        .get("/api/v1/repos/files?ref=main", &token)
        .await
        .is(200);
    let listed = stock.git(["ls-tree", "-r", "--name-only", "main"]);
    assert_eq!(
        files["paths"].as_array().unwrap().len(),
        listed.lines().count()
    );

    // Either side goes without the other.
    let gone = jwt("novel", &["repo:write"]);
    world.delete("/api/v1/repos/delete", &gone).await.is(200);
    let again = world
        .get("/api/v1/repos/files?ref=main", &token)
        .await
        .is(200);
    assert_eq!(again, files);
    world.delete("/api/v1/repos/delete", &token).await.is(200);
    world.get("/api/v1/repo", &token).await.refused(404);
}

fn names(branches: &Value) -> Vec<String> {
    let items = branches.as_array().unwrap().iter();
    items
        .map(|branch| branch["name"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn a_fork_of_one_revision_has_one_branch() {
    let (world, stock) = novel().await;
    let old = stock.id("main~3").to_string();
    for (name, fields, outer, branch, tip) in [
        ("by-branch", json!({"ref": "side"}), None, "side", "side"),
        (
            "by-full",
            json!({"ref": "refs/heads/side"}),
            None,
            "side",
            "side",
        ),
        ("by-sha", json!({"sha": old}), None, "main", "main~3"),
        (
            "sha-wins",
            json!({"ref": "side", "sha": old}),
            None,
            "main",
            "main~3",
        ),
        (
            "renamed",
            json!({"ref": "side"}),
            Some("trunk"),
            "trunk",
            "side",
        ),
        (
            "inner-wins",
            json!({"sha": old, "default_branch": "inner"}),
            Some("outer"),
            "inner",
            "main~3",
        ),
        (
            "dotted",
            json!({"provider": "code.storage", "operation": null, "sha": &old[..12]}),
            None,
            "main",
            "main~3",
        ),
    ] {
        let mut body = fork(fields);
        if let Some(outer) = outer {
            body["default_branch"] = json!(outer);
        }
        let token = creator(name);
        world.post("/api/v1/repos", &token, body).await.is(201);
        let shown = world.get("/api/v1/repo", &token).await.is(200);
        assert_eq!(shown["default_branch"], branch, "{name}");
        let branches = world.get("/api/v1/repos/branches", &token).await.is(200);
        let branches = branches["branches"].as_array().unwrap();
        assert_eq!(branches.len(), 1, "{name}");
        assert_eq!(branches[0]["name"], branch, "{name}");
        assert_eq!(branches[0]["head_sha"], stock.id(tip).to_string(), "{name}");
    }
}

#[tokio::test]
async fn what_can_not_be_forked_says_why() {
    let (world, stock) = novel().await;
    world.repository("acme/other").await;
    let draft = stock
        .id("refs/namespaces/ephemeral/refs/heads/draft")
        .to_string();
    let with = |token: &str| json!({"auth": {"token": token}});
    let expired = json!({"iss": "acme", "repo": "novel", "scopes": ["git:read"], "exp": 1});
    for (fields, status, words) in [
        (json!({"name": "nowhere"}), 401, "does not open the source"),
        (
            with(&jwt("nowhere", &["git:read"])),
            401,
            "does not open the source",
        ),
        (
            json!({"name": "nowhere", "auth": {"token": jwt("nowhere", &["git:read"])}}),
            404,
            "no such repository",
        ),
        (with("rubbish"), 401, "does not open the source"),
        (with(&signed(&expired)), 401, "does not open the source"),
        (
            with(&jwt("other", &["git:read"])),
            401,
            "does not open the source",
        ),
        (with(&jwt("novel", &["org:read"])), 401, "lacks the scope"),
        // The right to make a repository is none to read another.
        (json!({"auth": null}), 401, "does not open the source"),
        (json!({"ref": "nowhere"}), 404, "no such revision"),
        (json!({"sha": "0".repeat(40)}), 404, "no such revision"),
        // Only an ephemeral branch reaches it, which no fork gets.
        (json!({"ref": "draft"}), 404, "no such revision"),
        (
            json!({"sha": "refs/namespaces/ephemeral/refs/heads/draft"}),
            404,
            "no such revision",
        ),
        (json!({"operation": "snapshot"}), 400, "no snapshots"),
        (json!({"operation": "theft"}), 400, "is not fork"),
        (json!({"default_branch": "a..b"}), 400, "two dots"),
        (json!({"owner": "a/b"}), 400, "segment"),
        (json!({"owner": null}), 400, "not understood"),
    ] {
        let what = fields.to_string();
        let answer = world
            .post("/api/v1/repos", &creator("copy"), fork(fields))
            .await;
        let said = answer.refused(status);
        assert!(said.contains(words), "{what}: {said}");
        world
            .get("/api/v1/repo", &creator("copy"))
            .await
            .refused(404);
    }
    let taken = world
        .post("/api/v1/repos", &creator("other"), fork(json!({})))
        .await;
    taken.refused(409);
    let make = || {
        let body = fork(json!({}));
        async {
            world
                .post("/api/v1/repos", &creator("copy"), body)
                .await
                .status
                .as_u16()
        }
    };
    let statuses = tokio::join!(make(), make(), make());
    let mut statuses: [u16; 3] = statuses.into();
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409, 409]);
    // Nothing is left of those that failed: novel, other and copy.
    let folders = world.folders_on_disk();
    assert_eq!(folders, 3);

    // Attack: the fork's owner knows the id of a commit that lies in the packs he shares, and asks for it.
    let token = creator("copy");
    for path in [
        format!("/api/v1/repos/commits?branch={draft}"),
        format!("/api/v1/repos/files?ref={draft}"),
        format!("/api/v1/repos/files?ref={}", &draft[..10]),
        format!("/api/v1/repos/file?path=draft.txt&ref={draft}"),
    ] {
        let answer = world.get(&path, &token).await;
        assert!(
            matches!(answer.status.as_u16(), 400 | 404),
            "{path}: {}",
            answer.status
        );
    }
}
