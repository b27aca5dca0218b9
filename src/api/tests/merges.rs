//! Merges by API, held against stock git.

use super::*;
use crate::model::ObjectFormat;

const WRITE: &[&str] = &["git:write"];
const EPHEMERAL: &str = "refs/namespaces/ephemeral/refs/heads/";

/// A repository `acme/novel` whose branches are ahead of main, behind it, beside it, in conflict with it and
/// unrelated to it.
async fn novel() -> (World, Stock, String) {
    let world = World::new().await;
    world.issuer("acme").await;
    world.repository("acme/novel").await;
    let stock = Stock::new(ObjectFormat::Sha1);
    let mut stream = String::new();
    let mut commit = |branch: &str, mark: u32, parent: u32, files: &[(&str, &str)]| {
        stream += &format!(
            "commit {branch}\nmark :{mark}\ncommitter C <c@c> {} +0000\ndata 1\nm\n",
            1000 + mark
        );
        if parent > 0 {
            stream += &format!("from :{parent}\n");
        }
        for (path, text) in files {
            stream += &format!("M 100644 inline {path}\ndata {}\n{text}\n", text.len());
        }
        stream += "\n";
    };
    let chapter = "It was a dark\nand stormy night.\nSuddenly\na shot\nrang out.\n";
    commit(
        "refs/heads/main",
        1,
        0,
        &[("chapter", chapter), ("notes", "n\n")],
    );
    commit("refs/heads/behind", 2, 1, &[("old", "o\n")]);
    commit(
        "refs/heads/main",
        3,
        2,
        &[("chapter", &chapter.replace("dark", "bright"))],
    );
    commit("refs/heads/ahead", 4, 3, &[("new", "n\n")]);
    commit("refs/heads/ahead", 5, 4, &[("newer", "n\n")]);
    commit(
        "refs/heads/beside",
        6,
        2,
        &[("chapter", &chapter.replace("rang", "went"))],
    );
    commit(
        "refs/heads/against",
        7,
        2,
        &[
            ("chapter", &chapter.replace("dark", "foggy")),
            ("notes", "\0"),
        ],
    );
    commit("refs/heads/alone", 8, 0, &[("other", "x\n")]);
    commit(&format!("{EPHEMERAL}draft"), 9, 3, &[("draft", "d\n")]);
    stock.import(&stream);
    stock.git(["branch", "target", "main"]);
    stock.git(["repack", "-q", "-a", "-d"]);
    world.fill("acme/novel", &stock, &[]).await;
    (world, stock, jwt("novel", WRITE))
}

/// What a request merges.
fn merges(source: &str, target: &str, strategy: &str) -> Value {
    json!({"source_branch": source, "target_branch": target, "strategy": strategy})
}

/// The object with these members, too.
fn with(mut body: Value, more: Value) -> Value {
    let more = more.as_object().unwrap().clone();
    body.as_object_mut().unwrap().extend(more);
    body
}

impl World {
    async fn merge(&self, token: &str, body: Value) -> Answer {
        self.post("/api/v1/repos/merge", token, body).await
    }

    /// The tip of a branch with its parents.
    async fn tip(&self, branch: &str) -> Value {
        let path = format!("/api/v1/repos/commits?limit=1&branch={branch}");
        let listed = self.get(&path, &jwt("novel", &["git:read"])).await.is(200);
        listed["commits"][0].clone()
    }
}

#[tokio::test]
async fn a_merge_has_the_tree_that_git_gives_it() {
    let (world, stock, token) = novel().await;
    let person =
        json!({"name": "Ann", "email": "ann@example.org", "date": "2024-01-15T10:30:00+01:00"});
    let body = with(
        merges("beside", "target", "merge"),
        json!({"commit_message": "Bring it together", "author": person, "committer": person}),
    );
    let done = world.merge(&token, body).await.is(200);
    let (ours, theirs) = (stock.id("target"), stock.id("beside"));
    let tree = stock.git(["merge-tree", "--write-tree", "target", "beside"]);
    assert_eq!(done["result"], "merge_commit");
    assert_eq!(done["tree_sha"], tree);
    assert_eq!(done["merge_base_sha"], stock.id("behind").to_string());
    assert_eq!(done["promoted_commits"], 1);
    assert_eq!(
        done["source"],
        json!({"branch": "beside", "ephemeral": false, "sha": theirs.to_string()})
    );
    let target = &done["target"];
    assert_eq!(target["old_sha"], ours.to_string());
    assert_eq!(target["new_sha"], done["commit_sha"]);
    let tip = world.tip("target").await;
    assert_eq!(tip["sha"], done["commit_sha"]);
    assert_eq!(
        tip["parent_shas"],
        json!([ours.to_string(), theirs.to_string()])
    );
    assert_eq!(tip["message"], "Bring it together");
    assert_eq!(tip["author_email"], "ann@example.org");
    // The same commit as git would make of it.
    let text = format!(
        "tree {tree}\nparent {ours}\nparent {theirs}\nauthor Ann <ann@example.org> 1705311000 +0100\ncommitter Ann <ann@example.org> 1705311000 +0100\n\nBring it together\n"
    );
    let commit = stock.git_with_input(["hash-object", "-t", "commit", "--stdin"], text.as_bytes());
    assert_eq!(
        done["commit_sha"],
        String::from_utf8_lossy(&commit).trim_end()
    );

    // Once more there is nothing to do.
    let again = world
        .merge(&token, merges("beside", "target", "merge"))
        .await
        .is(200);
    assert_eq!(again["result"], "no_op");
    assert_eq!(again["target"]["old_sha"], again["target"]["new_sha"]);
    assert_eq!(again["promoted_commits"], 0);
}

#[tokio::test]
async fn each_strategy_does_what_it_says() {
    let (world, stock, token) = novel().await;
    let id = |name: &str| stock.id(name).to_string();
    let ask = async |body: Value| world.merge(&token, body).await;
    let refused = ask(merges("beside", "target", "ff_only")).await.is(409);
    assert_eq!(refused["conflict_paths"], json!([]));
    assert_eq!(refused["merge_base_sha"], id("behind"));

    // A commit although none is needed, and by whoever asks if nobody is named.
    let done = ask(merges("ahead~0", "target", "merge")).await;
    done.refused(400);
    let done = ask(merges("ahead", "target", "merge")).await.is(200);
    assert_eq!(done["result"], "merge_commit");
    assert_eq!(done["tree_sha"], id("ahead^{tree}"));
    assert_eq!(done["promoted_commits"], 2);
    let tip = world.tip("target").await;
    assert_eq!(tip["parent_shas"], json!([id("target"), id("ahead")]));
    assert_eq!(tip["message"], "Merge branch 'ahead' into target");
    assert_eq!(tip["author_name"], "acme (JWT)");

    let done = ask(merges("ahead", "behind", "ff_only")).await.is(200);
    assert_eq!(done["result"], "fast_forward");
    assert_eq!(done["commit_sha"], id("ahead"));
    assert_eq!(done["promoted_commits"], 3);
    assert_eq!(world.tip("behind").await["sha"], id("ahead"));

    let squash = with(
        merges("beside", "main", "ff_prefer"),
        json!({"squash": true}),
    );
    let done = ask(squash).await.is(200);
    assert_eq!(done["result"], "squash");
    assert_eq!(
        done["tree_sha"],
        stock.git(["merge-tree", "--write-tree", "main", "beside"])
    );
    assert_eq!(world.tip("main").await["parent_shas"], json!([id("main")]));

    let draft = with(
        merges("draft", "ahead", "ff_prefer"),
        json!({"source_is_ephemeral": true}),
    );
    let done = ask(draft).await.is(200);
    assert_eq!(done["result"], "merge_commit");
    assert_eq!(done["source"]["ephemeral"], true);
    let into_draft = with(
        merges("beside", "draft", "merge"),
        json!({"target_is_ephemeral": true}),
    );
    let done = ask(into_draft).await.is(200);
    assert_eq!(done["target"]["ephemeral"], true);
    let drafts = world
        .get("/api/v1/repos/branches?ephemeral=true", &token)
        .await
        .is(200);
    assert_eq!(drafts["branches"][0]["head_sha"], done["commit_sha"]);
}

#[tokio::test]
async fn what_does_not_merge_changes_nothing() {
    let (world, stock, token) = novel().await;
    let id = |name: &str| stock.id(name).to_string();
    let ask = async |body: Value| world.merge(&token, body).await;
    let refused = ask(merges("against", "target", "merge")).await.is(409);
    assert_eq!(refused["conflict_paths"], json!(["chapter"]));
    assert_eq!(refused["merge_base_sha"], id("behind"));
    assert!(refused["error"].as_str().unwrap().contains("conflict"));

    ask(merges("alone", "target", "merge")).await.is(409);
    let expected = json!({"expected_target_sha": id("behind")});
    ask(with(merges("beside", "target", "merge"), expected))
        .await
        .refused(409);
    assert_eq!(world.tip("target").await["sha"], id("target"));

    let unrelated = json!({"allow_unrelated_histories": true, "expected_target_sha": id("target")});
    let done = ask(with(merges("alone", "target", "merge"), unrelated))
        .await
        .is(200);
    assert_eq!(done["result"], "merge_commit");
    assert!(done.get("merge_base_sha").is_none());
    let command = [
        "merge-tree",
        "--write-tree",
        "--allow-unrelated-histories",
        "target",
        "alone",
    ];
    assert_eq!(done["tree_sha"], stock.git(command));

    for (body, status) in [
        (json!({}), 400),
        (merges("", "target", "merge"), 400),
        (merges("beside", "", "merge"), 400),
        (merges("beside", "target", "octopus"), 400),
        (merges("refs/tags/x", "target", "merge"), 400),
        (
            with(
                merges("beside", "target", "ff_only"),
                json!({"squash": true}),
            ),
            400,
        ),
        (
            with(
                merges("beside", "target", "merge"),
                json!({"expected_target_sha": "123"}),
            ),
            400,
        ),
        (
            with(
                merges("beside", "target", "merge"),
                json!({"author": {"name": "", "email": "e"}}),
            ),
            400,
        ),
        (
            with(
                merges("beside", "target", "merge"),
                json!({"squash": "yes"}),
            ),
            400,
        ),
        (merges("absent", "target", "merge"), 404),
        (merges("beside", "absent", "merge"), 404),
        (merges("draft", "target", "merge"), 404),
        (
            with(
                merges("beside", "draft", "merge"),
                json!({"source_is_ephemeral": true, "target_is_ephemeral": true}),
            ),
            404,
        ),
    ] {
        let answer = ask(body.clone()).await;
        assert_eq!(answer.status.as_u16(), status, "{body}: {:?}", answer.body);
        answer.refused(status);
    }
    for (token, status) in [
        (String::new(), 401),
        (jwt("novel", &["git:read"]), 401),
        (jwt("absent", WRITE), 404),
    ] {
        world
            .merge(&token, merges("beside", "main", "merge"))
            .await
            .refused(status);
    }
    let policy = signed(&json!({
        "iss": "acme", "repo": "novel", "scopes": WRITE, "refs": [["main", ["no-push"]]],
        "exp": Timestamp::now().seconds() + 3600,
    }));
    world
        .merge(&policy, merges("beside", "main", "merge"))
        .await
        .refused(403);
    assert_eq!(world.tip("main").await["sha"], id("main"));
}

#[tokio::test]
async fn a_preview_says_what_a_merge_would_do_and_changes_nothing() {
    let (world, stock, token) = novel().await;
    let id = |name: &str| stock.id(name).to_string();
    let ask = async |source: &str, more: &str| {
        let path = format!(
            "/api/v1/repos/merge/preview?source_branch={source}&target_branch=target{more}"
        );
        world.get(&path, &token).await
    };
    for (source, result, base) in [
        ("beside", "merge_commit", "behind"),
        ("ahead", "fast_forward", "target"),
        ("behind", "no_op", "behind"),
    ] {
        let preview = ask(source, "&include_content=true").await.is(200);
        let expected = json!({
            "status": "clean", "result": result, "source_branch": source, "target_branch": "target",
            "source_tip_sha": id(source), "target_tip_sha": id("target"), "merge_base_sha": id(base),
            "conflict_paths": [], "conflicts": [], "filtered_conflicts": [],
        });
        assert_eq!(preview, expected);
    }
    let preview = ask("against", "").await.is(200);
    assert_eq!(preview["status"], "conflicted");
    assert_eq!(preview["conflict_paths"], json!(["chapter"]));
    assert_eq!(preview["conflicts"], json!([]));
    let preview = ask("against", "&include_content=true").await.is(200);
    let conflict = &preview["conflicts"][0];
    assert_eq!(conflict["path"], "chapter");
    for (side, revision) in [
        ("base", "behind"),
        ("ours", "target"),
        ("theirs", "against"),
    ] {
        let blob = &conflict[side];
        assert_eq!(blob["oid"], id(&format!("{revision}:chapter")));
        assert_eq!(
            blob["content"].as_str().unwrap().trim_end(),
            stock.git(["show", &format!("{revision}:chapter")])
        );
        assert_eq!(
            (&blob["binary"], &blob["truncated"]),
            (&json!(false), &json!(false))
        );
    }
    let result = conflict["result"]["content"].as_str().unwrap();
    assert!(
        result.starts_with(
            "<<<<<<< target\nIt was a bright\n=======\nIt was a foggy\n>>>>>>> against\n"
        ),
        "{result}"
    );

    let unrelated = ask("alone", "").await.is(200);
    assert_eq!(
        (&unrelated["status"], &unrelated["result"]),
        (&json!("clean"), &json!("merge_commit"))
    );
    assert!(unrelated.get("merge_base_sha").is_none());
    for (source, more, status) in [
        ("", "", 400),
        ("beside", "&include_content=1", 400),
        ("a..b", "", 400),
        ("absent", "", 404),
        ("draft", "", 404),
    ] {
        ask(source, more).await.refused(status);
    }
    let draft = ask("draft", "&source_is_ephemeral=true").await.is(200);
    assert_eq!(draft["result"], "fast_forward");
    let path = "/api/v1/repos/merge/preview?source_branch=beside&target_branch=target";
    for (token, status) in [
        (String::new(), 401),
        (jwt("novel", &["repo:write"]), 401),
        (jwt("absent", &["git:read"]), 404),
    ] {
        world.get(path, &token).await.refused(status);
    }
}
