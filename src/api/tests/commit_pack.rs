//! Commits made of files that are sent in chunks: each status, and each way to break the rules.

use super::*;

const PATH: &str = "/api/v1/repos/commit-pack";

/// Metadata that is complete, changed by these fields; null removes one.
pub(super) fn metadata(changes: Value) -> Value {
    let mut metadata = json!({
        "target_branch": "main",
        "commit_message": "Why",
        "author": {"name": "Ann", "email": "ann@example.org", "date": "2024-01-15T12:30:00+02:00"},
        "files": [{"path": "a", "content_id": "1", "mode": "100644"}],
    });
    for (key, value) in changes.as_object().unwrap() {
        match value {
            Value::Null => drop(metadata.as_object_mut().unwrap().remove(key)),
            value => metadata[key] = value.clone(),
        }
    }
    json!({"metadata": metadata})
}

/// A chunk of these bytes.
pub(super) fn chunk(id: &str, bytes: &[u8], eof: bool) -> Value {
    let data = BASE64_STANDARD.encode(bytes);
    json!({"blob_chunk": {"content_id": id, "data": data, "eof": eof}})
}

pub(super) fn lines(lines: &[Value]) -> String {
    lines.iter().map(|line| format!("{line}\n")).collect()
}

impl World {
    /// Sends this body to a route that takes a stream.
    pub(super) async fn sends(&self, path: &str, token: &str, body: impl Into<Body>) -> Answer {
        let request = Request::post(path)
            .header(header::AUTHORIZATION, format!("Bearer {token}"))
            .header(header::CONTENT_TYPE, "application/x-ndjson");
        self.send(request.body(body.into()).unwrap()).await
    }

    /// `acme/novel` with a token that may write, and nothing in it.
    pub(super) async fn empty_novel() -> (Self, String) {
        let world = Self::new().await;
        world.issuer("acme").await;
        world.repository("acme/novel").await;
        (world, jwt("novel", &["git:write"]))
    }

    /// Commits one file, which must succeed, and returns the commit's name.
    pub(super) async fn commits(&self, token: &str, changes: Value, text: &[u8]) -> String {
        let body = lines(&[metadata(changes), chunk("1", text, true)]);
        let made = self.sends(PATH, token, body).await.is(201);
        made["commit"]["commit_sha"].as_str().unwrap().to_owned()
    }

    /// A copy of everything in `acme/novel` that stock git can look into.
    pub(super) async fn stock(&self, path: &str) -> Stock {
        let repository = self
            .hosting
            .repository(&self.admin_caller, &path.parse().unwrap())
            .unwrap();
        let row = repository.row;
        let folder = self.folders.get(&row.uuid, row.object_format).unwrap();
        let stock = Stock::new(row.object_format);
        for file in std::fs::read_dir(folder.folder().join("objects/pack")).unwrap() {
            let file = file.unwrap();
            let target = stock.path().join("objects/pack").join(file.file_name());
            std::fs::copy(file.path(), target).unwrap();
        }
        let refs = self.store.refs(row.id).unwrap().unwrap();
        for entry in refs.entries() {
            stock.git(["update-ref", entry.name.as_str(), &entry.id.to_string()]);
        }
        stock
    }
}

/// A refusal with this status and word; answers its text.
#[track_caller]
pub(super) fn refused_with(answer: &Answer, status: u16, reason: &str) -> String {
    let text = answer.refused(status);
    let result = &answer.json()["result"];
    assert_eq!(result["status"], reason, "{text}");
    assert_eq!(result["success"], false);
    assert_eq!(result["message"], text.as_str());
    assert_eq!(result["new_sha"], "0".repeat(40));
    assert_eq!(result["old_sha"].as_str().unwrap().len(), 40);
    text
}

#[tokio::test]
async fn the_first_commit_of_an_empty_repository_is_the_one_git_would_make() {
    let (world, token) = World::empty_novel().await;
    let body = lines(&[
        metadata(json!({
            "files": [
                {"path": "//docs/a b.txt", "content_id": "x"},
                {"path": "run", "operation": "upsert", "content_id": "y", "mode": "100755"},
                {"path": "empty", "content_id": "z", "mode": "100644"},
                {"path": "link", "content_id": "l", "mode": "120000"},
                {"path": "gone", "operation": "delete"},
                {"path": "gone/too", "operation": "delete", "content_id": "d"},
            ],
        })),
        chunk("x", b"one\n", false),
        chunk("y", b"#!/bin/sh\n", true),
        chunk("x", b"two\n", true),
        chunk("z", b"", true),
        chunk("l", b"run", true),
        chunk("d", b"", true),
    ]);
    let made = world.sends(PATH, &token, body).await.is(201);
    let (commit, result) = (&made["commit"], &made["result"]);
    assert_eq!(commit["target_branch"], "main");
    assert_eq!(commit["blob_count"], 4);
    assert!(commit["pack_bytes"].as_u64().unwrap() > 0);
    let id = &commit["commit_sha"];
    assert_eq!(
        *result,
        json!({
            "branch": "main",
            "old_sha": "0".repeat(40),
            "new_sha": id,
            "success": true,
            "status": "ok",
            "message": "",
        })
    );
    let stock = world.stock("acme/novel").await;
    stock.git(["fsck", "--strict"]);
    assert_eq!(stock.git(["rev-parse", "main"]), id.as_str().unwrap());
    let tree = commit["tree_sha"].as_str().unwrap();
    assert_eq!(stock.git(["rev-parse", "main^{tree}"]), tree);
    let listed = stock.git(["ls-tree", "-r", "--format=%(objectmode) %(path)", "main"]);
    assert_eq!(
        listed,
        "100644 docs/a b.txt\n100644 empty\n120000 link\n100755 run"
    );
    assert_eq!(
        stock.git(["cat-file", "blob", "main:docs/a b.txt"]),
        "one\ntwo"
    );
    let text = stock.git(["cat-file", "commit", "main"]);
    let who = "Ann <ann@example.org> 1705314600 +0200";
    assert_eq!(
        text,
        format!("tree {tree}\nauthor {who}\ncommitter {who}\n\nWhy")
    );
}

#[tokio::test]
async fn what_breaks_the_rules_is_refused_and_leaves_nothing() {
    let (world, token) = World::empty_novel().await;
    let file = |fields: Value| {
        let mut file = json!({"path": "a", "content_id": "1"});
        for (key, value) in fields.as_object().unwrap() {
            file[key] = value.clone();
        }
        metadata(json!({ "files": [file] }))
    };
    let data = |data: &str| json!({"blob_chunk": {"content_id": "1", "data": data, "eof": true}});
    let good = || metadata(json!({}));
    let done = || chunk("1", b"x", true);
    let author = |fields: Value| metadata(json!({ "author": fields }));
    let too_long = "A".repeat((4 << 20) / 3 * 4 + 8);
    let many = |count: usize| -> Vec<_> {
        (0..count)
            .map(|at| json!({"path": format!("f{at}"), "content_id": at.to_string()}))
            .collect()
    };
    let countless = format!(
        r#"{{"metadata":{{"target_branch":"main","commit_message":"m","author":{{"name":"a","email":"b"}},"files":[{}{{}}]}}}}"#,
        "{},".repeat(2_500_000)
    );
    let mut unfinished = vec![metadata(json!({ "files": many(17) }))];
    unfinished.extend((0..17).map(|at| chunk(&at.to_string(), b"x", false)));
    for (what, body) in [
        ("nothing at all", String::new()),
        ("no JSON", "{\n".to_owned()),
        ("no metadata", lines(&[done()])),
        ("no first line", lines(&[json!({}), good(), done()])),
        (
            "no branch",
            lines(&[metadata(json!({"target_branch": null})), done()]),
        ),
        (
            "a tag",
            lines(&[metadata(json!({"target_branch": "refs/tags/v1"})), done()]),
        ),
        (
            "no branch name",
            lines(&[metadata(json!({"target_branch": "a..b"})), done()]),
        ),
        (
            "no message",
            lines(&[metadata(json!({"commit_message": null})), done()]),
        ),
        (
            "a blank message",
            lines(&[metadata(json!({"commit_message": " \n"})), done()]),
        ),
        (
            "a NUL",
            lines(&[metadata(json!({"commit_message": "a\u{0}b"})), done()]),
        ),
        ("no author", lines(&[author(Value::Null), done()])),
        ("no name", lines(&[author(json!({"email": "a@b"})), done()])),
        ("no email", lines(&[author(json!({"name": "Ann"})), done()])),
        (
            "a bracket",
            lines(&[author(json!({"name": "A<", "email": "a@b"})), done()]),
        ),
        (
            "no date",
            lines(&[
                author(json!({"name": "A", "email": "b", "date": "soon"})),
                done(),
            ]),
        ),
        (
            "no files",
            lines(&[metadata(json!({"files": null})), done()]),
        ),
        ("files of none", lines(&[metadata(json!({"files": []}))])),
        (
            "too many files",
            lines(&[metadata(json!({ "files": many(FILES_MAX + 1) }))]),
        ),
        (
            "half a guard",
            lines(&[metadata(json!({"expected_head_sha": "d34db33f"})), done()]),
        ),
        (
            "no guard",
            lines(&[
                metadata(json!({"expected_head_sha": "g".repeat(40)})),
                done(),
            ]),
        ),
        (
            "an odd switch",
            lines(&[metadata(json!({"ephemeral": "true"})), done()]),
        ),
        (
            "a base of nothing",
            lines(&[metadata(json!({"ephemeral_base": true})), done()]),
        ),
        ("countless files", countless),
        ("no path", lines(&[file(json!({"path": null})), done()])),
        (
            "an empty path",
            lines(&[file(json!({"path": "//"})), done()]),
        ),
        (
            "a path up",
            lines(&[file(json!({"path": "a/../b"})), done()]),
        ),
        (
            "a path here",
            lines(&[file(json!({"path": "./a"})), done()]),
        ),
        ("a gap", lines(&[file(json!({"path": "a//b"})), done()])),
        (
            "a slash behind",
            lines(&[file(json!({"path": "a/"})), done()]),
        ),
        (
            "a NUL in it",
            lines(&[file(json!({"path": "a\u{0}"})), done()]),
        ),
        (
            "git's folder",
            lines(&[file(json!({"path": "x/.GIT/config"})), done()]),
        ),
        (
            "its look-alike",
            lines(&[file(json!({"path": "git~1/config"})), done()]),
        ),
        (
            "a mode of none",
            lines(&[file(json!({"mode": "100600"})), done()]),
        ),
        (
            "a folder's mode",
            lines(&[file(json!({"mode": "040000"})), done()]),
        ),
        (
            "an odd operation",
            lines(&[file(json!({"operation": "move"})), done()]),
        ),
        (
            "no content id",
            lines(&[file(json!({"content_id": null})), done()]),
        ),
        (
            "a gitlink of none",
            lines(&[file(json!({"mode": "160000"})), done()]),
        ),
        (
            "a bad .gitmodules",
            lines(&[
                file(json!({"path": ".gitmodules"})),
                chunk("1", b"[submodule \"../x\"]\n\tpath = x\n\turl = u\n", true),
            ]),
        ),
        (
            "the same twice",
            lines(&[
                metadata(json!({"files": [
                    {"path": "a", "content_id": "1"}, {"path": "/a", "content_id": "2"},
                ]})),
                done(),
                chunk("2", b"", true),
            ]),
        ),
        (
            "one id for two",
            lines(&[
                metadata(json!({"files": [
                    {"path": "a", "content_id": "1"}, {"path": "b", "content_id": "1"},
                ]})),
                done(),
            ]),
        ),
        (
            "file and folder",
            lines(&[
                metadata(json!({"files": [
                    {"path": "a", "content_id": "1"}, {"path": "a/b", "content_id": "2"},
                ]})),
                done(),
                chunk("2", b"", true),
            ]),
        ),
        (
            "a deleted content",
            lines(&[
                metadata(
                    json!({"files": [{"path": "a", "operation": "delete", "content_id": "1"}]}),
                ),
                done(),
            ]),
        ),
        ("no chunk", lines(&[good()])),
        ("no last chunk", lines(&[good(), chunk("1", b"x", false)])),
        (
            "more after the last",
            lines(&[good(), done(), chunk("1", b"y", true)]),
        ),
        (
            "an unknown id",
            lines(&[good(), done(), chunk("2", b"y", true)]),
        ),
        ("a line of another kind", lines(&[good(), done(), good()])),
        ("no base64", lines(&[good(), data("*")])),
        (
            "no data",
            lines(&[
                good(),
                json!({"blob_chunk": {"content_id": "1", "eof": true}}),
            ]),
        ),
        ("half a line", lines(&[good()]) + "{\"blob_chunk\""),
        ("too long a chunk", lines(&[good(), data(&too_long)])),
        ("too many at once", lines(&unfinished)),
    ] {
        let answer = world.sends(PATH, &token, body).await;
        let error = refused_with(&answer, 400, "invalid");
        assert!(!error.is_empty(), "{what}");
    }
    let answer = world
        .sends(PATH, &token, lines(&[good()]) + &" ".repeat(25 << 20))
        .await;
    refused_with(&answer, 413, "invalid");
    let branches = world.get("/api/v1/repos/branches", &token).await.is(200);
    assert_eq!(branches["branches"], json!([]));
    let row = world
        .hosting
        .repository(&world.admin_caller, &"acme/novel".parse().unwrap())
        .unwrap()
        .row;
    let folder = world.folders.get(&row.uuid, row.object_format).unwrap();
    for place in ["incoming", "objects/pack"] {
        let left = std::fs::read_dir(folder.folder().join(place)).unwrap();
        assert_eq!(left.count(), 0, "{place}");
    }
}

#[tokio::test]
async fn a_chunk_may_have_four_mebibytes_and_line_breaks() {
    let (world, token) = World::empty_novel().await;
    let bytes: Vec<u8> = (0..4 << 20).map(|at: u32| at.to_le_bytes()[1]).collect();
    let text = BASE64_STANDARD.encode(b"text of a diff in two lines");
    let (one, two) = text.split_at(10);
    let broken = json!({"blob_chunk": {
        "content_id": "2", "data": format!("{one}\n{two}\n"), "eof": true,
    }});
    let body = lines(&[
        metadata(json!({"files": [
            {"path": "a", "content_id": "1"}, {"path": "b", "content_id": "2"},
        ]})),
        chunk("1", &bytes, false),
        chunk("1", &bytes, true),
        broken,
    ]);
    world.sends(PATH, &token, body).await.is(201);
    let stock = world.stock("acme/novel").await;
    assert_eq!(
        stock.git(["cat-file", "-s", "main:a"]),
        (8 << 20).to_string()
    );
    let text = stock.git(["cat-file", "blob", "main:b"]);
    assert_eq!(text, "text of a diff in two lines");
    stock.git(["fsck", "--strict"]);
}

#[tokio::test]
async fn the_branch_must_be_there_and_where_it_is_expected() {
    let (world, token) = World::empty_novel().await;
    let send = async |changes: Value| {
        let body = lines(&[metadata(changes), chunk("1", b"x", true)]);
        world.sends(PATH, &token, body).await
    };
    let zeros = "0".repeat(40);
    let answer = send(json!({ "expected_head_sha": zeros })).await;
    refused_with(&answer, 409, "precondition_failed");
    let answer = send(json!({"base_branch": "nowhere"})).await;
    refused_with(&answer, 404, "not_found");
    let first = world.commits(&token, json!({}), b"1").await;

    let answer = send(json!({"target_branch": "other"})).await;
    assert!(refused_with(&answer, 404, "not_found").contains("other"));
    let answer = send(json!({"target_branch": "other", "base_branch": "nowhere"})).await;
    assert!(refused_with(&answer, 404, "not_found").contains("nowhere"));
    let answer = send(json!({ "expected_head_sha": zeros })).await;
    refused_with(&answer, 409, "precondition_failed");
    assert_eq!(answer.json()["result"]["old_sha"], first.as_str());
    assert_eq!(answer.json()["result"]["branch"], "main");

    // On its own base, guarded by the base's head.
    let other = json!({"target_branch": "refs/heads/other", "base_branch": "main"});
    let with = |guard: &str| {
        let mut changes = other.clone();
        changes["expected_head_sha"] = guard.into();
        changes
    };
    let answer = send(with(&zeros)).await;
    refused_with(&answer, 409, "precondition_failed");
    let made = send(with(&first)).await.is(201);
    assert_eq!(made["result"]["old_sha"], zeros.as_str());
    assert_eq!(made["result"]["branch"], "other");
    let second = made["result"]["new_sha"].as_str().unwrap().to_owned();
    // Once it exists the guard is about the branch itself.
    let answer = send(with(&first)).await;
    refused_with(&answer, 409, "precondition_failed");
    let made = send(with(&second)).await.is(201);
    assert_eq!(made["result"]["old_sha"], second.as_str());

    let stock = world.stock("acme/novel").await;
    assert_eq!(stock.git(["rev-parse", "other~2"]), first);
    assert_eq!(stock.git(["rev-list", "--count", "other"]), "3");
    // A ref that would lie below another's name.
    let answer = send(json!({"target_branch": "main/deep", "base_branch": "main"})).await;
    refused_with(&answer, 409, "conflict");
}

#[tokio::test]
async fn ephemeral_branches_are_apart_from_the_others() {
    let (world, token) = World::empty_novel().await;
    let first = world.commits(&token, json!({}), b"1").await;
    let draft = json!({"target_branch": "draft", "ephemeral": true, "base_branch": "main"});
    let made = world.commits(&token, draft.clone(), b"2").await;
    let more = json!({"target_branch": "draft", "ephemeral": true, "expected_head_sha": made});
    let made = world.commits(&token, more, b"3").await;
    let names = async |query: &str| {
        let path = format!("/api/v1/repos/branches{query}");
        let listed = world.get(&path, &token).await.is(200);
        each(&listed["branches"], "name").join(" ")
    };
    assert_eq!(names("").await, "main");
    assert_eq!(names("?ephemeral=true").await, "draft");
    // A plain branch from an ephemeral one, and one that is not there in this space.
    let absent = lines(&[
        metadata(json!({"target_branch": "final", "base_branch": "draft"})),
        chunk("1", b"4", true),
    ]);
    let answer = world.sends(PATH, &token, absent).await;
    refused_with(&answer, 404, "not_found");
    let promoted = json!({
        "target_branch": "final", "base_branch": "draft", "ephemeral_base": true,
        "expected_head_sha": made,
    });
    world.commits(&token, promoted, b"4").await;
    assert_eq!(names("").await, "main final");
    let commits = world
        .get("/api/v1/repos/commits?branch=final", &token)
        .await
        .is(200);
    let shas = each(&commits["commits"], "sha");
    assert_eq!(shas[1], made);
    assert_eq!(shas[3], first);
}

#[tokio::test]
async fn the_policy_of_a_jwt_holds_for_commits() {
    let (world, token) = World::empty_novel().await;
    world.commits(&token, json!({}), b"1").await;
    let with = |refs: Value, ops: Value| {
        signed(&json!({
            "iss": "acme", "repo": "novel", "scopes": ["git:write"],
            "exp": Timestamp::now().seconds() + 3600, "refs": refs, "ops": ops,
        }))
    };
    let body = || lines(&[metadata(json!({})), chunk("1", b"2", true)]);
    for (refs, ops) in [
        (json!([["main", ["no-push"]]]), json!([])),
        (json!([["refs/heads/*", ["no-push"]]]), json!([])),
        (json!([["other", []]]), json!(["no-push"])),
        (json!([["main", ["verify-sig"]]]), json!([])),
    ] {
        let answer = world.sends(PATH, &with(refs, ops), body()).await;
        let text = refused_with(&answer, 403, "forbidden");
        assert!(text.contains("denied by policy"), "{text}");
    }
    let free = with(json!([["main", ["no-force-push"]]]), json!(["no-push"]));
    world.sends(PATH, &free, body()).await.is(201);
    let draft = metadata(json!({"ephemeral": true, "base_branch": "main", "target_branch": "d"}));
    let draft = lines(&[draft, chunk("1", b"2", true)]);
    let denied = with(json!([["d", ["no-push"]]]), json!([]));
    let answer = world.sends(PATH, &denied, draft.clone()).await;
    refused_with(&answer, 403, "forbidden");
    world.sends(PATH, &token, draft).await.is(201);
}

#[tokio::test]
async fn who_may_not_write_is_told_so_with_a_result() {
    let (world, _) = World::empty_novel().await;
    let body = || lines(&[metadata(json!({})), chunk("1", b"2", true)]);
    for (token, status, reason) in [
        (String::new(), 401, "unauthorized"),
        ("ph_nonsense".to_owned(), 401, "unauthorized"),
        (jwt("novel", &["git:read"]), 401, "unauthorized"),
        (jwt("absent", &["git:write"]), 404, "not_found"),
    ] {
        let mut request = Request::post(PATH);
        if !token.is_empty() {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let answer = world.send(request.body(body().into()).unwrap()).await;
        refused_with(&answer, status, reason);
    }
}

#[tokio::test]
async fn files_are_replaced_and_folders_deleted() {
    let (world, token) = World::empty_novel().await;
    let body = lines(&[
        metadata(json!({"files": [
            {"path": "a/b/c", "content_id": "1"}, {"path": "a/d", "content_id": "2"},
            {"path": "e", "content_id": "3"}, {"path": "a.txt", "content_id": "4"},
        ]})),
        chunk("1", b"1", true),
        chunk("2", b"2", true),
        chunk("3", b"3", true),
        chunk("4", b"4", true),
    ]);
    world.sends(PATH, &token, body).await.is(201);
    // The list says first what is put: what is deleted goes before it all the same.
    let body = lines(&[
        metadata(json!({"files": [
            {"path": "a/new", "content_id": "1"}, {"path": "a", "operation": "delete"},
            {"path": "e/inside", "content_id": "2", "mode": "160000"},
        ]})),
        chunk("1", b"1", true),
        chunk("2", b"1234567890123456789012345678901234567890\n", true),
    ]);
    let made = world.sends(PATH, &token, body).await.is(201);
    assert_eq!(made["commit"]["blob_count"], 2);
    let stock = world.stock("acme/novel").await;
    let listed = stock.git(["ls-tree", "-r", "--format=%(objectmode) %(path)", "main"]);
    assert_eq!(listed, "100644 a.txt\n100644 a/new\n160000 e/inside");
    stock.git(["fsck", "--strict"]);
}

#[tokio::test]
async fn many_commits_at_once_all_succeed_in_a_line_and_one_with_a_guard() {
    let (world, token) = World::empty_novel().await;
    let first = world.commits(&token, json!({}), b"0").await;
    let send = async |number: u32, guard: Option<&str>| {
        let mut changes = json!({"files": [{"path": format!("f{number}"), "content_id": "1"}]});
        if let Some(guard) = guard {
            changes["expected_head_sha"] = guard.into();
        }
        let text = number.to_string();
        let body = lines(&[metadata(changes), chunk("1", text.as_bytes(), true)]);
        world.sends(PATH, &token, body).await.status.as_u16()
    };
    let all = futures_util::future::join_all((0..20).map(|number| send(number, None))).await;
    assert_eq!(all, [201; 20]);
    let branches = world.get("/api/v1/repos/branches", &token).await.is(200);
    let tip = branches["branches"][0]["head_sha"]
        .as_str()
        .unwrap()
        .to_owned();
    let guarded = (20..40).map(|number| send(number, Some(&tip)));
    let mut guarded = futures_util::future::join_all(guarded).await;
    guarded.sort_unstable();
    assert_eq!(guarded[..2], [201, 409]);
    let stock = world.stock("acme/novel").await;
    assert_eq!(stock.git(["rev-list", "--count", "main"]), "22");
    assert_eq!(stock.git(["rev-list", "--min-parents=2", "main"]), "");
    assert_eq!(stock.git(["rev-parse", "main~21"]), first);
    assert_eq!(
        stock
            .git(["ls-tree", "--name-only", "main"])
            .lines()
            .count(),
        22
    );
    stock.git(["fsck", "--strict"]);
}
