//! Branches, tags, notes and restored commits, and what the read side says of them afterwards.

use super::{commit_pack::refused_with, *};

const CREATE: &str = "/api/v1/repos/branches/create";
const BRANCHES: &str = "/api/v1/repos/branches";
const TAGS: &str = "/api/v1/repos/tags";
const NOTES: &str = "/api/v1/repos/notes";
const RESTORE: &str = "/api/v1/repos/restore-commit";

/// A repository with two commits on main, and their names.
async fn novel() -> (World, String, [String; 2]) {
    let (world, token) = World::empty_novel().await;
    let first = world.commits(&token, json!({}), b"1").await;
    let second = world.commits(&token, json!({}), b"2").await;
    (world, token, [first, second])
}

fn with_policy(refs: Value) -> String {
    signed(&json!({
        "iss": "acme", "repo": "novel", "scopes": ["git:write"], "refs": refs,
        "exp": Timestamp::now().seconds() + 3600,
    }))
}

#[tokio::test]
async fn a_branch_is_made_from_a_branch_a_tag_or_a_commit() {
    let (world, token, [first, second]) = novel().await;
    for (body, sha, ephemeral) in [
        (
            json!({"target_branch": "a", "base_branch": "main"}),
            &second,
            false,
        ),
        (
            json!({"target_branch": "refs/heads/b", "base_ref": "refs/heads/main"}),
            &second,
            false,
        ),
        (
            json!({"target_branch": "c", "base_ref": first}),
            &first,
            false,
        ),
        (
            json!({"target_branch": "a", "base_ref": "main", "target_is_ephemeral": true}),
            &second,
            true,
        ),
        (
            json!({"target_branch": "d", "base_ref": "a", "base_is_ephemeral": true}),
            &second,
            false,
        ),
        (
            json!({"target_branch": "e", "base_ref": first, "base_is_ephemeral": true}),
            &first,
            false,
        ),
    ] {
        let made = world.post(CREATE, &token, body.clone()).await.is(200);
        let name = body["target_branch"].as_str().unwrap();
        assert_eq!(
            made["target_branch"],
            name.trim_start_matches("refs/heads/")
        );
        assert_eq!(made["commit_sha"], sha.as_str());
        assert_eq!(made["target_is_ephemeral"], ephemeral);
        assert!(made["message"].is_string());
    }
    let refused = [
        (json!({"target_branch": "a", "base_branch": "main"}), 409),
        (
            json!({"target_branch": "a/deep", "base_branch": "main"}),
            409,
        ),
        (json!({"target_branch": "x", "base_branch": "nowhere"}), 404),
        (
            json!({"target_branch": "x", "base_ref": "0".repeat(40)}),
            404,
        ),
        (
            json!({"target_branch": "x", "base_ref": "b", "base_is_ephemeral": true}),
            404,
        ),
        (json!({"target_branch": "x"}), 400),
        (json!({"base_branch": "main"}), 400),
        (json!({"target_branch": "a..b", "base_branch": "main"}), 400),
        (
            json!({"target_branch": "refs/tags/v1", "base_branch": "main"}),
            400,
        ),
        (
            json!({"target_branch": "x", "base_branch": "main", "base_is_ephemeral": "yes"}),
            400,
        ),
        (json!([]), 400),
    ];
    for (body, status) in refused {
        let answer = world.post(CREATE, &token, body.clone()).await;
        assert_eq!(answer.status.as_u16(), status, "{body}");
        answer.refused(status);
    }
    let denied = with_policy(json!([["*", ["no-push"]]]));
    let body = json!({"target_branch": "x", "base_branch": "main"});
    let text = world.post(CREATE, &denied, body).await.refused(403);
    assert!(text.contains("denied by policy"), "{text}");
    let stock = world.stock("acme/novel").await;
    assert_eq!(stock.git(["rev-parse", "c"]), first);
}

#[tokio::test]
async fn a_branch_is_deleted_but_not_the_default_one() {
    let (world, token, _) = novel().await;
    let make = async |ephemeral: bool| {
        let body = json!({
            "target_branch": "old", "base_branch": "main", "target_is_ephemeral": ephemeral,
        });
        world.post(CREATE, &token, body).await.is(200);
    };
    let delete =
        async |token: &str, body: Value| world.ask(Method::DELETE, BRANCHES, token, body).await;
    make(false).await;
    make(true).await;
    let keep = with_policy(json!([["old", ["no-force-push"]]]));
    let text = delete(&keep, json!({"name": "old"})).await.refused(403);
    assert!(text.contains("denied by policy"), "{text}");
    let gone = delete(&token, json!({"name": "old"})).await.is(200);
    let expected = json!({"name": "old", "message": "branch deleted", "ephemeral": false});
    assert_eq!(gone, expected);
    delete(&token, json!({"name": "old"})).await.refused(404);
    let gone = delete(&token, json!({"name": "refs/heads/old", "ephemeral": true})).await;
    assert_eq!(gone.is(200)["ephemeral"], true);
    delete(&token, json!({"name": "old", "ephemeral": true}))
        .await
        .refused(404);
    delete(&token, json!({"name": "main"})).await.refused(409);
    delete(&token, json!({"name": ""})).await.refused(400);
    delete(&token, json!({"name": "a..b"})).await.refused(400);
    delete(&token, json!({})).await.refused(400);
    delete(&token, Value::Null).await.refused(400);
}

#[tokio::test]
async fn tags_are_made_listed_by_name_and_deleted() {
    let (world, token, [first, second]) = novel().await;
    for (name, target) in [("v2", &second), ("refs/tags/v1", &first), ("w/x", &first)] {
        let made = world
            .post(TAGS, &token, json!({"name": name, "target": target}))
            .await;
        let made = made.is(200);
        assert_eq!(made["name"], name.trim_start_matches("refs/tags/"));
        assert_eq!(made["sha"], target.as_str());
        assert!(made["message"].is_string());
    }
    let page = world.get(&format!("{TAGS}?limit=2"), &token).await.is(200);
    assert_eq!(each(&page["tags"], "name"), ["v1", "v2"]);
    assert_eq!(each(&page["tags"], "sha"), [first.as_str(), &second]);
    assert_eq!(page["has_more"], true);
    let next = page["next_cursor"].as_str().unwrap();
    let path = format!("{TAGS}?limit=2&cursor={next}");
    let page = world.get(&path, &token).await.is(200);
    assert_eq!(each(&page["tags"], "name"), ["w/x"]);
    assert_eq!(page["has_more"], false);
    assert_eq!(page.get("next_cursor"), None);
    for (query, status) in [
        ("limit=0", 400),
        ("cursor=a..b", 400),
        ("cursor=refs/heads/x", 400),
    ] {
        world
            .get(&format!("{TAGS}?{query}"), &token)
            .await
            .refused(status);
    }
    for (body, status) in [
        (json!({"name": "v1", "target": second}), 409),
        (json!({"name": "v1/x", "target": second}), 409),
        (json!({"name": "new", "target": "0".repeat(40)}), 404),
        (json!({"name": "new", "target": "main"}), 400),
        (json!({"name": "new", "target": first[..10]}), 400),
        (json!({"name": "new"}), 400),
        (json!({"target": first}), 400),
        (json!({"name": "refs/heads/new", "target": first}), 400),
        (json!({"name": "a b", "target": first}), 400),
    ] {
        let answer = world.post(TAGS, &token, body.clone()).await;
        assert_eq!(answer.status.as_u16(), status, "{body}");
    }
    let denied = with_policy(json!([["refs/tags/*", ["no-push"]]]));
    let body = json!({"name": "new", "target": first});
    world.post(TAGS, &denied, body).await.refused(403);
    let delete =
        async |token: &str, body: Value| world.ask(Method::DELETE, TAGS, token, body).await;
    delete(&denied, json!({"name": "v1"})).await.refused(403);
    let both = jwt("novel", &["git:read", "git:write"]);
    let gone = delete(&both, json!({"name": "v1"})).await.is(200);
    assert_eq!(gone, json!({"name": "v1", "message": "tag deleted"}));
    delete(&both, json!({"name": "v1"})).await.refused(404);
    delete(&both, json!({"name": "main"})).await.refused(404);
    delete(&both, json!({})).await.refused(400);
}

#[tokio::test]
async fn notes_are_written_read_and_removed_as_git_does() {
    let (world, token, [first, second]) = novel().await;
    let read = async |sha: &str| world.get(&format!("{NOTES}?sha={sha}"), &token).await;
    let write = async |body: Value| world.post(NOTES, &token, body).await;
    read(&first).await.refused(404);
    let author = json!({"name": "Ann", "email": "ann@example.org"});
    let body = json!({"sha": first, "action": "add", "note": "good", "author": author});
    let made = write(body.clone()).await.is(201);
    assert_eq!(made["sha"], first.as_str());
    assert_eq!(made["target_ref"], "refs/notes/commits");
    assert_eq!(made["result"]["success"], true);
    assert_eq!(made["result"]["status"], "ok");
    assert_eq!(made.get("base_commit"), None);
    let tip = made["new_ref_sha"].clone();
    let shown = read(&first).await.is(200);
    assert_eq!(shown, json!({"sha": first, "note": "good", "ref_sha": tip}));
    read(&second).await.refused(404);
    refused_with(&write(body).await, 409, "conflict");

    let more = |guard: &Value| json!({"sha": first, "action": "append", "note": "very", "expected_ref_sha": guard});
    let stale = write(more(&json!(first))).await;
    refused_with(&stale, 409, "precondition_failed");
    let made = write(more(&tip)).await.is(201);
    assert_eq!(made["base_commit"], tip);
    let shown = read(&first).await.is(200);
    assert_eq!(shown["note"], "good\n\nvery");
    let reviews = json!({"sha": second, "action": "append", "note": "ok", "ref": "reviews"});
    let made = write(reviews).await.is(201);
    assert_eq!(made["target_ref"], "refs/notes/reviews");

    let listed = world
        .get(&format!("{NOTES}/refs?limit=1"), &token)
        .await
        .is(200);
    assert_eq!(each(&listed["refs"], "ref"), ["refs/notes/commits"]);
    assert_eq!(listed["prefix"], "refs/notes/");
    let next = listed["next_cursor"].as_str().unwrap();
    let path = format!("{NOTES}/refs?cursor={next}");
    let listed = world.get(&path, &token).await.is(200);
    assert_eq!(each(&listed["refs"], "ref"), ["refs/notes/reviews"]);
    assert_eq!(listed["has_more"], false);
    let path = format!("{NOTES}/refs?prefix=rev");
    let listed = world.get(&path, &token).await.is(200);
    assert_eq!(each(&listed["refs"], "ref"), ["refs/notes/reviews"]);
    let path = format!("{NOTES}/refs?prefix=refs/heads/");
    world.get(&path, &token).await.refused(400);

    let stock = world.stock("acme/novel").await;
    assert_eq!(stock.git(["notes", "show", &first]), "good\n\nvery");
    assert_eq!(stock.git(["notes", "--ref=reviews", "show", &second]), "ok");
    stock.git(["fsck", "--strict"]);

    for (body, status, reason) in [
        (
            json!({"sha": first, "action": "replace", "note": "x"}),
            400,
            "invalid",
        ),
        (json!({"sha": first, "action": "add"}), 400, "invalid"),
        (json!({"action": "add", "note": "x"}), 400, "invalid"),
        (
            json!({"sha": "main", "action": "add", "note": "x"}),
            400,
            "invalid",
        ),
        (
            json!({"sha": second, "note": "x", "ref": "refs/heads/main"}),
            400,
            "invalid",
        ),
        (
            json!({"sha": second, "note": "x", "author": {"name": "A"}}),
            400,
            "invalid",
        ),
        (
            json!({"sha": "0".repeat(40), "note": "x"}),
            404,
            "not_found",
        ),
    ] {
        refused_with(&write(body).await, status, reason);
    }
    let denied = with_policy(json!([["refs/notes/*", ["no-push"]]]));
    let body = json!({"sha": second, "action": "add", "note": "x"});
    let answer = world.post(NOTES, &denied, body).await;
    assert!(refused_with(&answer, 403, "forbidden").contains("denied by policy"));
    let remove = async |body: Value| world.ask(Method::DELETE, NOTES, &token, body).await;
    remove(json!({"sha": first})).await.is(200);
    read(&first).await.refused(404);
    refused_with(&remove(json!({"sha": first})).await, 404, "not_found");
    for query in ["", "?sha=main", "?sha="] {
        world
            .get(&format!("{NOTES}{query}"), &token)
            .await
            .refused(400);
    }
}

#[tokio::test]
async fn an_earlier_commit_is_restored_on_top() {
    let (world, token, [first, second]) = novel().await;
    let body = |changes: Value| {
        let mut metadata = json!({
            "target_branch": "main",
            "target_commit_sha": first,
            "author": {"name": "Ann", "email": "ann@example.org"},
        });
        for (key, value) in changes.as_object().unwrap() {
            metadata[key] = value.clone();
        }
        json!({ "metadata": metadata })
    };
    let restore = async |changes: Value| world.post(RESTORE, &token, body(changes)).await;
    let stale = restore(json!({"expected_head_sha": first})).await;
    refused_with(&stale, 409, "precondition_failed");
    assert_eq!(stale.json()["result"]["old_sha"], second.as_str());
    let made = restore(json!({"expected_head_sha": second})).await.is(201);
    assert_eq!(made["result"]["old_sha"], second.as_str());
    assert_eq!(made["commit"].get("blob_count"), None);
    assert!(made["commit"]["pack_bytes"].as_u64().unwrap() > 0);
    for (changes, status, reason) in [
        (
            json!({"target_commit_sha": "0".repeat(40)}),
            404,
            "not_found",
        ),
        (json!({"target_commit_sha": "main"}), 404, "not_found"),
        (json!({"target_commit_sha": null}), 400, "invalid"),
        (json!({"target_branch": "nowhere"}), 404, "not_found"),
        (json!({"target_branch": null}), 400, "invalid"),
        (json!({"author": null}), 400, "invalid"),
    ] {
        refused_with(&restore(changes).await, status, reason);
    }
    let answer = world.post(RESTORE, &token, json!({})).await;
    refused_with(&answer, 400, "invalid");
    let denied = with_policy(json!([["main", ["no-push"]]]));
    let answer = world.post(RESTORE, &denied, body(json!({}))).await;
    refused_with(&answer, 403, "forbidden");
    let stock = world.stock("acme/novel").await;
    let tree = |revision: &str| stock.git(["rev-parse", &format!("{revision}^{{tree}}")]);
    assert_eq!(tree("main"), tree(&first));
    assert_eq!(stock.git(["rev-parse", "main~1"]), second);
    let message = stock.git(["log", "-1", "--format=%B", "main"]);
    assert_eq!(message, format!("Restore {first}"));
    stock.git(["fsck", "--strict"]);
}

#[tokio::test]
async fn a_commit_is_shown_by_any_of_its_names_with_its_signature() {
    let world = World::new().await;
    world.issuer("acme").await;
    world.repository("acme/novel").await;
    let stock = Stock::new(crate::model::ObjectFormat::Sha1).with_history(11);
    let text = stock.git_with_input(["cat-file", "commit", "main"], b"");
    let text = String::from_utf8(text).unwrap();
    let signature = "-----BEGIN SSH SIGNATURE-----\nabc\n-----END SSH SIGNATURE-----";
    let header = format!("\ngpgsig {}\n\n", signature.replace('\n', "\n "));
    let signed_text = text.replacen("\n\n", &header, 1);
    let args = ["hash-object", "-t", "commit", "-w", "--stdin"];
    let id = stock.git_with_input(args, signed_text.as_bytes());
    let id = String::from_utf8(id).unwrap().trim().to_owned();
    stock.git(["update-ref", "refs/heads/signed", &id]);
    stock.git(["repack", "-q", "-a", "-d"]);
    world.fill("acme/novel", &stock, &[]).await;
    let token = jwt("novel", &["git:read"]);
    let show = async |name: &str| {
        let path = format!("/api/v1/repos/commit?sha={name}");
        world.get(&path, &token).await
    };
    for name in [&id, &id[..10], "signed", "refs/heads/signed"] {
        let commit = show(name).await.is(200)["commit"].clone();
        assert_eq!(commit["sha"], id.as_str(), "{name}");
        assert_eq!(commit["signature"], format!("{signature}\n"));
        assert_eq!(commit["payload"], text);
        assert!(commit["parent_shas"].is_array());
    }
    let commit = show("v11").await.is(200)["commit"].clone();
    assert_eq!(commit["sha"], stock.git(["rev-parse", "v11^{commit}"]));
    assert_eq!(commit.get("signature"), None);
    assert_eq!(commit.get("payload"), None);
    for name in ["nowhere", &"0".repeat(40), "blob-tag"] {
        show(name).await.refused(404);
    }
    show("").await.refused(400);
}

#[tokio::test]
async fn files_are_listed_with_who_changed_them_last() {
    let world = World::new().await;
    world.issuer("acme").await;
    world.repository("acme/novel").await;
    let stock = Stock::new(crate::model::ObjectFormat::Sha1).with_history(30);
    world.fill("acme/novel", &stock, &[]).await;
    let token = jwt("novel", &["git:read"]);
    let get = async |query: &str| {
        let path = format!("/api/v1/repos/files/metadata{query}");
        world.get(&path, &token).await
    };
    let all = get("").await.is(200);
    assert_eq!(all["ref"], "main");
    assert_eq!(all["has_more"], false);
    let listed = stock.git(["ls-tree", "-r", "-l", "main"]);
    assert_eq!(
        all["files"].as_array().unwrap().len(),
        listed.lines().count()
    );
    for (line, file) in listed.lines().zip(all["files"].as_array().unwrap()) {
        let (meta, path) = line.split_once('\t').unwrap();
        let meta: Vec<_> = meta.split_whitespace().collect();
        assert_eq!(file["path"], path);
        assert_eq!(file["mode"], meta[0]);
        assert_eq!(file["size"], meta[3].parse().unwrap_or(0));
        let kind = match meta[0] {
            "160000" => "submodule",
            "120000" => "symlink",
            _ => "blob",
        };
        assert_eq!(file["type"], kind, "{path}");
        let last = stock.git(["log", "-1", "--format=%H", "main", "--", path]);
        assert_eq!(file["last_commit_sha"], last, "{path}");
        let commit = &all["commits"][&last];
        assert_eq!(commit["author"], "Ann");
        assert!(commit["message"].as_str().unwrap().starts_with("Commit "));
        assert!(commit["date"].as_str().unwrap().ends_with('Z'));
    }
    let first = get("?limit=3").await.is(200);
    assert_eq!(first["files"].as_array().unwrap().len(), 3);
    assert_eq!(first["has_more"], true);
    let next = first["next_cursor"].as_str().unwrap();
    let rest = get(&format!("?cursor={next}")).await.is(200);
    let count = |page: &Value| page["files"].as_array().unwrap().len();
    assert_eq!(count(&rest) + 3, count(&all));
    let below = get("?path=tools&ref=side").await.is(200);
    assert!(
        each(&below["files"], "path")
            .iter()
            .all(|path| path.starts_with("tools/"))
    );
    for (query, status) in [
        ("?ref=nowhere", 404),
        ("?path=nowhere", 404),
        ("?ref=tree-tag", 404),
        ("?limit=0", 400),
        ("?path=a/../b", 400),
        ("?recursive=yes", 400),
    ] {
        get(query).await.refused(status);
    }
}
