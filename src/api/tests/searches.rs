//! Archives, searches and the origin of lines, held against stock git.

use std::io::Read as _;

use super::{contents::novel, *};

const READ: &[&str] = &["git:read"];

fn unpacked(answer: &Answer) -> Vec<u8> {
    assert_eq!(answer.status, 200, "{:?}", answer.body);
    assert_eq!(answer.header("content-type"), Some("application/gzip"));
    let mut tar = Vec::new();
    let mut gzip = flate2::read::GzDecoder::new(&*answer.body);
    gzip.read_to_end(&mut tar).unwrap();
    tar
}

#[tokio::test]
async fn an_archive_is_the_one_of_git_archive() {
    let (world, stock, token) = novel().await;
    let ask = async |body: Value| world.post("/api/v1/repos/archive", &token, body).await;
    let by_git = |arguments: &[&str]| {
        stock.git_with_input([&["archive", "--format=tar"], arguments].concat(), b"")
    };
    assert!(unpacked(&ask(Value::Null).await) == by_git(&["main"]));
    assert!(unpacked(&ask(json!({})).await) == by_git(&["main"]));
    let prefixed = json!({"ref": "side", "archive": {"prefix": "novel-1/"}});
    assert!(unpacked(&ask(prefixed).await) == by_git(&["--prefix=novel-1/", "side"]));
    let draft = json!({"ref": "draft", "ephemeral": true});
    let expected = by_git(&["refs/namespaces/ephemeral/refs/heads/draft"]);
    assert!(unpacked(&ask(draft).await) == expected);
    let tag = json!({"ref": "nested", "include_globs": ["src/**"]});
    assert!(unpacked(&ask(tag).await) == by_git(&["nested", "src"]));
    let excluded = json!({"exclude_globs": ["docs", "*.bin", "README", "link"]});
    let expected = by_git(&["main", "module", "src", "tools"]);
    assert!(unpacked(&ask(excluded).await) == expected);
    let size = stock.git(["cat-file", "-s", "main:large.bin"]);
    let most: u64 = size.parse().unwrap();
    let large = |bytes: &[u8]| bytes.windows(9).any(|window| window == b"large.bin");
    for (most, kept) in [(most, true), (most - 1, false)] {
        let tar = unpacked(&ask(json!({"max_blob_size": most})).await);
        assert_eq!(large(&tar), kept, "{most}");
    }
    // A header with the commit's id, and what fills the block.
    let nothing = unpacked(&ask(json!({"include_globs": ["absent"]})).await);
    assert_eq!(nothing.len(), 10_240);
    assert!(nothing[1024..].iter().all(|byte| *byte == 0));
}

#[tokio::test]
async fn an_archive_that_can_not_be_had_is_refused_in_json() {
    let (world, _, token) = novel().await;
    let path = "/api/v1/repos/archive";
    for (body, status) in [
        (json!({"ref": "absent"}), 404),
        (json!({"ref": "draft"}), 404),
        (json!({"ref": "tree-tag"}), 404),
        (json!({"ref": "a..b", "ephemeral": true}), 400),
        (json!({"include_globs": ["a["]}), 400),
        (json!({"include_globs": "a"}), 400),
        (json!({"max_blob_size": -1}), 400),
        (json!({"archive": {"prefix": "../"}}), 400),
        (json!([]), 400),
    ] {
        world.post(path, &token, body).await.refused(status);
    }
    refused_to_others(&world, path, json!({})).await;
}

/// 401 without a credential or the scope, 404 for a repository that is not there.
async fn refused_to_others(world: &World, path: &str, body: Value) {
    for (token, status) in [
        (String::new(), 401),
        ("nonsense".to_owned(), 401),
        (jwt("novel", &["repo:write"]), 401),
        (jwt("absent", &["git:read"]), 404),
    ] {
        let answer = world.post(path, &token, body.clone()).await;
        answer.refused(status);
    }
}

#[tokio::test]
async fn a_search_finds_what_git_grep_finds_page_by_page() {
    let (world, stock, token) = novel().await;
    let ask = async |body: Value| world.post("/api/v1/repos/grep", &token, body).await;
    let found =
        ask(json!({"query": {"pattern": "^line 1\\d? "}, "paths": ["src/", "README"]})).await;
    let found = found.is(200);
    assert_eq!(found["repo"]["ref"], "main");
    assert_eq!(found["repo"]["commit"], stock.id("main").to_string());
    assert_eq!(
        found["query"],
        json!({"pattern": "^line 1\\d? ", "case_sensitive": true})
    );
    assert_eq!(found["has_more"], false);
    assert!(found.get("next_cursor").is_none());
    let mut lines = Vec::new();
    for file in found["matches"].as_array().unwrap() {
        for line in file["lines"].as_array().unwrap() {
            assert_eq!(line["type"], "match");
            let text = line["text"].as_str().unwrap();
            lines.push(format!(
                "{}:{}:{text}",
                file["path"].as_str().unwrap(),
                line["line_number"]
            ));
        }
    }
    let expected = stock.git([
        "grep",
        "-n",
        "-P",
        "-e",
        "^line 1\\d? ",
        "main",
        "--",
        "src",
        "README",
    ]);
    let expected: Vec<_> = expected
        .lines()
        .map(|line| line["main:".len()..].to_owned())
        .collect();
    assert!(lines.len() > 50);
    assert_eq!(lines, expected);

    let (mut paged, mut cursor, mut pages) = (Vec::new(), Value::Null, 0);
    loop {
        let body = json!({
            "query": {"pattern": "LINE 1", "case_sensitive": false},
            "ref": "side",
            "file_filters": {"include_globs": ["*.txt"], "exclude_globs": ["src/main/**"], "extension_filters": [".txt"]},
            "context": {"before": 1, "after": 1},
            "limits": {"max_lines": 50, "max_matches_per_file": 5},
            "pagination": {"limit": 2, "cursor": cursor},
        });
        let page = ask(body).await.is(200);
        for file in page["matches"].as_array().unwrap() {
            assert!(file["lines"][0]["type"] == "context");
            paged.push(file["path"].as_str().unwrap().to_owned());
        }
        pages += 1;
        cursor = page["next_cursor"].clone();
        if page["has_more"] == false {
            break;
        }
    }
    let expected = stock.git(["ls-tree", "-r", "--name-only", "side", "--", "src/side/"]);
    assert_eq!(paged, expected.lines().collect::<Vec<_>>());
    assert!(pages > 1 && cursor.is_null());

    let nothing =
        ask(json!({"query": {"pattern": "no such text"}, "ephemeral": true, "ref": "draft"})).await;
    let nothing = nothing.is(200);
    assert_eq!(
        (&nothing["matches"], &nothing["has_more"]),
        (&json!([]), &json!(false))
    );
}

#[tokio::test]
async fn a_search_that_makes_no_sense_is_refused() {
    let (world, _, token) = novel().await;
    let path = "/api/v1/repos/grep";
    let query = json!({"pattern": "x"});
    for (body, status) in [
        (json!({}), 400),
        (json!({"query": {}}), 400),
        (json!({"query": {"pattern": ""}}), 400),
        (json!({"query": {"pattern": "("}}), 400),
        (json!({"query": {"pattern": "(a{1000}){1000}"}}), 400),
        (json!({"query": query, "ref": "absent"}), 404),
        (json!({"query": query, "ref": "draft"}), 404),
        (json!({"query": query, "paths": ["../x"]}), 400),
        (
            json!({"query": query, "file_filters": {"exclude_globs": ["{"]}}),
            400,
        ),
        (json!({"query": query, "limits": {"max_lines": 0}}), 400),
        (
            json!({"query": query, "limits": {"max_matches_per_file": 0}}),
            400,
        ),
        (json!({"query": query, "pagination": {"limit": 0}}), 400),
        (json!({"query": query, "pagination": {"cursor": "x"}}), 400),
        (json!({"query": query, "context": {"before": -1}}), 400),
    ] {
        let error = world.post(path, &token, body.clone()).await;
        assert_eq!(error.status.as_u16(), status, "{body}: {:?}", error.body);
        error.refused(status);
    }
    refused_to_others(&world, path, json!({"query": query})).await;
}

#[tokio::test]
async fn lines_are_told_with_the_commits_that_brought_them() {
    let (world, stock, token) = novel().await;
    let ask = async |query: &str| {
        let path = format!("/api/v1/repos/blame?{query}");
        world.get(&path, &token).await
    };
    let told = ask("path=README&range=10,20&range=30,%2B2&detect_moves=true")
        .await
        .is(200);
    assert_eq!(told["ref"], "main");
    assert_eq!(told["path"], "README");
    assert_eq!(told["commit_sha"], stock.id("main").to_string());
    let lines = told["lines"].as_array().unwrap();
    let numbers: Vec<_> = lines
        .iter()
        .map(|line| line["line_number"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers, (10..21).chain(30..32).collect::<Vec<_>>());
    let shown = stock.git([
        "blame", "-M", "-l", "-s", "-L10,20", "-L30,+2", "main", "--", "README",
    ]);
    let expected: Vec<_> = shown
        .lines()
        .map(|line| line.trim_start_matches('^')[..39].to_owned())
        .collect();
    let commits: Vec<_> = each(&told["lines"], "commit_sha")
        .iter()
        .map(|sha| sha[..39].to_owned())
        .collect();
    assert_eq!(commits, expected);
    let first = &lines[0];
    let sha = first["commit_sha"].as_str().unwrap();
    for (key, format) in [
        ("author_name", "%an"),
        ("author_email", "%ae"),
        ("committer_name", "%cn"),
        ("committer_email", "%ce"),
        ("summary", "%s"),
    ] {
        let format = format!("--format={format}");
        assert_eq!(first[key], stock.git(["show", "-s", &format, sha]), "{key}");
    }
    for (key, format) in [("author_time", "%aI"), ("committer_time", "%cI")] {
        let format = format!("--format={format}");
        let time: Timestamp = stock.git(["show", "-s", &format, sha]).parse().unwrap();
        assert_eq!(first[key], time.to_string());
    }
    assert_eq!(first["original_path"], "README");
    assert!(first["original_line_number"].is_u64());

    let draft = ask("path=README&ref=draft&ephemeral=true").await.is(200);
    let whole = stock.git(["show", "refs/namespaces/ephemeral/refs/heads/draft:README"]);
    assert_eq!(
        draft["lines"].as_array().unwrap().len(),
        whole.lines().count()
    );
    assert!(
        draft["lines"]
            .as_array()
            .unwrap()
            .iter()
            .any(|line| line["previous_commit_sha"].is_string())
    );

    for (query, status) in [
        ("", 400),
        ("path=../x", 400),
        ("path=README&range=x", 400),
        ("path=README&range=9999", 400),
        ("path=README&range=0,3", 400),
        ("path=README&detect_moves=1", 400),
        ("path=README&ref=absent", 404),
        ("path=README&ref=draft", 404),
        ("path=absent", 404),
        ("path=src", 404),
    ] {
        let answer = ask(query).await;
        assert_eq!(answer.status.as_u16(), status, "{query}: {:?}", answer.body);
        answer.refused(status);
    }
    for (token, status) in [
        (String::new(), 401),
        (jwt("novel", &["repo:write"]), 401),
        (jwt("absent", READ), 404),
    ] {
        world
            .get("/api/v1/repos/blame?path=README", &token)
            .await
            .refused(status);
    }
}
