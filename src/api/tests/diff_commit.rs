//! Commits made of patches: what git diff says comes out as the tree that git has, and each status.

use super::{
    commit_pack::{lines, metadata, refused_with},
    *,
};

const PATH: &str = "/api/v1/repos/diff-commit";

/// Metadata without files, changed by these fields.
fn without_files(mut changes: Value) -> Value {
    changes["files"] = Value::Null;
    metadata(changes)
}

fn chunk(bytes: &[u8], eof: bool) -> Value {
    let data = BASE64_STANDARD.encode(bytes);
    json!({"diff_chunk": {"data": data, "eof": eof}})
}

/// `acme/novel` with a history of stock git's, and a token that may write.
async fn novel() -> (World, String, Stock) {
    let world = World::new().await;
    world.issuer("acme").await;
    world.repository("acme/novel").await;
    let stock = Stock::new(crate::model::ObjectFormat::Sha1).with_history(30);
    world.fill("acme/novel", &stock, &[]).await;
    (world, jwt("novel", &["git:write"]), stock)
}

#[tokio::test]
async fn a_diff_of_git_makes_the_tree_that_git_has() {
    let (world, token, stock) = novel().await;
    let mut at = stock.id("main").to_string();
    for (from, to) in [("main", "main~12"), ("main~12", "side"), ("side", "main")] {
        let flags = ["diff", "--binary", "--full-index", "-M", from, to];
        let patch = stock.git_with_input(flags, b"");
        let mut body = vec![without_files(json!({ "expected_head_sha": at }))];
        let pieces: Vec<_> = patch.chunks(1000).collect();
        let last = pieces.len() - 1;
        for (number, piece) in pieces.into_iter().enumerate() {
            body.push(chunk(piece, number == last));
        }
        let made = world.sends(PATH, &token, lines(&body)).await.is(201);
        let commit = &made["commit"];
        let tree = stock.git(["rev-parse", &format!("{to}^{{tree}}")]);
        assert_eq!(commit["tree_sha"], tree, "{from} to {to}");
        assert!(commit["blob_count"].as_u64().unwrap() > 0);
        assert_eq!(made["result"]["old_sha"], at.as_str());
        at = commit["commit_sha"].as_str().unwrap().to_owned();
    }
    world.stock("acme/novel").await.git(["fsck", "--strict"]);
}

#[tokio::test]
async fn what_is_no_patch_or_does_not_apply_is_refused() {
    let (world, token, _) = novel().await;
    let patch = |path: &str, old: &str| {
        format!(
            "diff --git a/{path} b/{path}\n--- a/{path}\n+++ b/{path}\n@@ -1 +1 @@\n-{old}\n+new\n"
        )
    };
    let new = |path: &str| {
        format!(
            "diff --git a/{path} b/{path}\nnew file mode 100644\n--- /dev/null\n+++ b/{path}\n@@ -0,0 +1 @@\n+new\n"
        )
    };
    let good = || without_files(json!({}));
    let whole = |text: &str| lines(&[good(), chunk(text.as_bytes(), true)]);
    let huge = vec![b'#'; 4 << 20];
    let mut too_large = vec![good()];
    too_large.resize(9, chunk(&huge, false));
    for (what, body, status, reason) in [
        ("an empty diff", whole(""), 400, "invalid"),
        ("no diff", whole("hello\n"), 400, "invalid"),
        (
            "half a diff",
            whole(&patch("README", "x")[..60]),
            400,
            "invalid",
        ),
        ("no chunk", lines(&[good()]), 400, "invalid"),
        (
            "no end",
            lines(&[good(), chunk(b"x", false)]),
            400,
            "invalid",
        ),
        (
            "more after the end",
            lines(&[good(), chunk(new("x").as_bytes(), true), chunk(b"x", true)]),
            400,
            "invalid",
        ),
        (
            "another kind of chunk",
            lines(&[good(), commit_pack::chunk("1", b"x", true)]),
            400,
            "invalid",
        ),
        ("a path out", whole(&new("../x")), 400, "invalid"),
        ("git's folder", whole(&new(".git/x")), 400, "invalid"),
        (
            "other lines",
            whole(&patch("README", "never was")),
            409,
            "conflict",
        ),
        (
            "no such file",
            whole(&patch("absent", "x")),
            409,
            "conflict",
        ),
        (
            "a file that is there",
            whole(&new("README")),
            409,
            "conflict",
        ),
        ("too much", lines(&too_large), 413, "invalid"),
        (
            "no branch",
            lines(&[without_files(json!({"target_branch": "nowhere"}))]),
            404,
            "not_found",
        ),
        (
            "another place",
            lines(&[without_files(json!({"expected_head_sha": "0".repeat(40)}))]),
            409,
            "precondition_failed",
        ),
    ] {
        let answer = world.sends(PATH, &token, body).await;
        assert_eq!(answer.status.as_u16(), status, "{what}: {:?}", answer.body);
        refused_with(&answer, status, reason);
    }
    let denied = signed(&json!({
        "iss": "acme", "repo": "novel", "scopes": ["git:write"], "refs": [["main", ["no-push"]]],
        "exp": Timestamp::now().seconds() + 3600,
    }));
    let answer = world.sends(PATH, &denied, whole(&new("x"))).await;
    refused_with(&answer, 403, "forbidden");
    let onto = json!({"target_branch": "draft", "base_branch": "main", "ephemeral": true});
    let body = lines(&[without_files(onto), chunk(new("x").as_bytes(), true)]);
    let made = world.sends(PATH, &token, body).await.is(201);
    assert_eq!(made["commit"]["blob_count"], 1);
    assert_eq!(made["result"]["old_sha"], "0".repeat(40));
}
