//! Branches, commits, files: what Code Storage's clients read, held against stock git.

use super::*;
use crate::model::ObjectFormat;

const READ: &[&str] = &["git:read"];

/// A repository `acme/novel` with a history made by stock git.
pub(super) async fn novel() -> (World, Stock, String) {
    let world = World::new().await;
    world.issuer("acme").await;
    world.repository("acme/novel").await;
    let stock = Stock::new(ObjectFormat::Sha1).with_history(45);
    stock.git(["branch", "empty-looking", "main~30"]);
    stock.git(["branch", "v1", "main~3"]);
    let ephemeral = "refs/namespaces/ephemeral/refs/heads/draft";
    stock.git(["update-ref", ephemeral, "main~7"]);
    stock.git(["repack", "-q", "-a", "-d"]);
    let order = ["refs/heads/v1", "refs/heads/side", "refs/heads/main"];
    world.fill("acme/novel", &stock, &order).await;
    (world, stock, jwt("novel", READ))
}

#[tokio::test]
async fn branches_come_in_the_order_they_were_made() {
    let (world, stock, token) = novel().await;
    let page = async |query: &str| {
        let path = format!("/api/v1/repos/branches?{query}");
        world.get(&path, &token).await
    };
    let all = page("").await.is(200);
    assert_eq!(
        each(&all["branches"], "name"),
        ["v1", "side", "main", "empty-looking"]
    );
    assert_eq!(all["has_more"], false);
    let main = &all["branches"][2];
    assert_eq!(main["head_sha"], stock.id("main").to_string());
    assert!(main["created_at"].as_str().unwrap().ends_with('Z'));
    let first = page("limit=2").await.is(200);
    assert_eq!(each(&first["branches"], "name"), ["v1", "side"]);
    assert_eq!(first["has_more"], true);
    assert_eq!(first["next_cursor"], first["branches"][1]["cursor"]);
    let next = format!("limit=2&cursor={}", first["next_cursor"].as_str().unwrap());
    let rest = page(&next).await.is(200);
    assert_eq!(each(&rest["branches"], "name"), ["main", "empty-looking"]);
    assert!(rest.get("next_cursor").is_none());

    let drafts = page("ephemeral=true").await.is(200);
    assert_eq!(each(&drafts["branches"], "name"), ["draft"]);
    for query in ["cursor=x", "limit=0", "ephemeral=1", "ephemeral=TRUE"] {
        page(query).await.refused(400);
    }
}

#[tokio::test]
async fn commits_come_newest_first_as_git_log_shows_them() {
    let (world, stock, token) = novel().await;
    let page = async |query: &str| {
        let path = format!("/api/v1/repos/commits?{query}");
        world.get(&path, &token).await
    };
    let log = |arguments: &[&str]| -> Vec<String> {
        let command = [&["log", "--date-order", "--format=%H"], arguments].concat();
        stock.git(command).lines().map(str::to_owned).collect()
    };
    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let listed = page(&format!("branch=main{cursor}")).await.is(200);
        let shas = each(&listed["commits"], "sha");
        seen.extend(shas.into_iter().map(str::to_owned));
        if listed["has_more"] == false {
            break;
        }
        assert_eq!(listed["next_cursor"], seen.len().to_string());
        cursor = format!("&cursor={}", seen.len());
    }
    assert_eq!(seen, log(&["main"]));

    let newest = page("limit=1").await.is(200)["commits"][0].clone();
    let format = "--format=%H%n%P%n%an%n%ae%n%cn%n%ce%n%cI%n%B";
    let expected = stock.git([
        "-c",
        "log.showSignature=false",
        "show",
        "-s",
        format,
        "main",
    ]);
    let mut lines = expected.splitn(8, '\n');
    let mut line = || lines.next().unwrap();
    assert_eq!(newest["sha"], line());
    let parents: Vec<_> = line().split(' ').collect();
    assert_eq!(newest["parent_shas"], json!(parents));
    for key in [
        "author_name",
        "author_email",
        "committer_name",
        "committer_email",
    ] {
        assert_eq!(newest[key], line(), "{key}");
    }
    let date: Timestamp = line().parse().unwrap();
    assert_eq!(newest["date"], date.to_string());
    assert_eq!(newest["message"], line());

    let of = async |query: &str| {
        let listed = page(&format!("limit=100&{query}")).await.is(200);
        let shas = each(&listed["commits"], "sha");
        shas.into_iter().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(of("branch=refs/heads/side").await, log(&["side"]));
    assert_eq!(of("branch=v1").await, log(&["refs/heads/v1"]));
    let draft = log(&["refs/namespaces/ephemeral/refs/heads/draft"]);
    assert_eq!(of("branch=draft&ephemeral=true").await, draft);
    for path in [
        "docs/page1.md",
        "docs",
        "large.bin",
        "src/side/file3.txt",
        "nothing",
    ] {
        let expected = log(&["main", "--", path]);
        assert_eq!(of(&format!("path={path}")).await, expected, "{path}");
    }
    let root = page("branch=main&limit=100").await.is(200);
    let root = root["commits"].as_array().unwrap().last().unwrap().clone();
    assert_eq!(root["parent_shas"], json!([]));

    for (query, status) in [
        ("branch=absent", 404),
        ("branch=draft", 404),
        ("branch=main&ephemeral=true", 404),
        ("branch=refs/tags/v1", 400),
        ("branch=a..b", 400),
        ("cursor=x", 400),
        ("cursor=-1", 400),
        ("cursor=%2B1", 400),
        ("cursor=99999999999", 400),
        ("limit=0", 400),
        ("path=../x", 400),
    ] {
        let error = page(query).await.refused(status);
        if status == 404 {
            let name = query.split(['=', '&']).nth(1).unwrap();
            assert!(error.contains(name), "{query}: {error}");
        }
    }
    let beyond = page("cursor=4000000000").await.is(200);
    assert_eq!(beyond["commits"], json!([]));
}

#[tokio::test]
async fn an_empty_repository_has_no_commits_and_no_files() {
    let world = World::new().await;
    world.issuer("acme").await;
    world.repository("acme/novel").await;
    let token = jwt("novel", READ);
    let get = async |path: &str| world.get(path, &token).await;
    let commits = get("/api/v1/repos/commits").await.is(200);
    assert_eq!(commits, json!({"commits": [], "has_more": false}));
    let branches = get("/api/v1/repos/branches").await.is(200);
    assert_eq!(branches, json!({"branches": [], "has_more": false}));
    get("/api/v1/repos/commits?branch=main").await.refused(404);
    get("/api/v1/repos/files").await.refused(404);
    get("/api/v1/repos/file?path=a").await.refused(404);
}

#[tokio::test]
async fn files_are_listed_as_ls_tree_does() {
    let (world, stock, token) = novel().await;
    let page = async |query: &str| {
        let path = format!("/api/v1/repos/files?{query}");
        world.get(&path, &token).await
    };
    let tree = |arguments: &[&str]| -> Vec<String> {
        let command = [&["ls-tree", "--name-only"], arguments].concat();
        stock.git(command).lines().map(str::to_owned).collect()
    };
    let all = page("").await.is(200);
    assert_eq!(all["ref"], "main");
    assert_eq!(all["paths"], json!(tree(&["-r", "main"])));
    assert_eq!(all["has_more"], false);
    for (query, expected) in [
        // A branch goes before a tag of the same name.
        ("ref=v1", tree(&["-r", "refs/heads/v1"])),
        ("ref=refs/tags/v1", tree(&["-r", "refs/tags/v1"])),
        ("ref=v31", tree(&["-r", "v31"])),
        ("ref=draft&ephemeral=true", tree(&["-r", "main~7"])),
        ("path=docs/", tree(&["-r", "main", "docs/"])),
        ("path=/README", vec!["README".to_owned()]),
    ] {
        let listed = page(query).await.is(200);
        assert_eq!(listed["paths"], json!(expected), "{query}");
    }
    let sha = stock.id("main~5").to_string();
    for name in [&sha, &sha[..10]] {
        let listed = page(&format!("ref={name}")).await.is(200);
        assert_eq!(listed["ref"], *name);
        assert_eq!(listed["paths"], json!(tree(&["-r", "main~5"])));
    }
    let flat = page("recursive=false").await.is(200);
    assert_eq!(
        each(&flat["entries"], "path"),
        tree(&["main"])
            .iter()
            .map(String::as_str)
            .collect::<Vec<_>>()
    );
    let entry = |name: &str| {
        let entries = flat["entries"].as_array().unwrap();
        entries
            .iter()
            .find(|entry| entry["path"] == name)
            .unwrap()
            .clone()
    };
    for (path, kind, mode) in [
        ("docs", "tree", "040000"),
        ("link", "symlink", "120000"),
        ("module", "submodule", "160000"),
        ("README", "blob", "100644"),
    ] {
        let expected = json!({"path": path, "type": kind, "mode": mode});
        assert_eq!(entry(path), expected);
    }

    let mut seen = Vec::new();
    let mut cursor = String::new();
    loop {
        let listed = page(&format!("limit=7{cursor}")).await.is(200);
        let paths = listed["paths"].as_array().unwrap();
        seen.extend(paths.iter().map(|path| path.as_str().unwrap().to_owned()));
        if listed["has_more"] == false {
            break;
        }
        let last = listed["next_cursor"].as_str().unwrap();
        assert_eq!(last, seen.last().unwrap());
        cursor = format!("&cursor={last}");
    }
    assert_eq!(seen, tree(&["-r", "main"]));
    for (query, status) in [
        ("ref=absent", 404),
        ("ref=draft", 404),
        ("ref=refs/namespaces/ephemeral/refs/heads/draft", 404),
        ("ref=0000000000000000000000000000000000000001", 404),
        ("path=absent", 404),
        ("path=../x", 400),
        ("limit=0", 400),
        ("recursive=yes", 400),
        ("ephemeral=yes", 400),
    ] {
        page(query).await.refused(status);
    }
}

#[tokio::test]
async fn an_id_that_no_ref_reaches_opens_nothing() {
    let (world, stock, token) = novel().await;
    let hidden = stock.git(["commit-tree", "-m", "hidden", "main^{tree}"]);
    stock.git(["branch", "secret", &hidden]);
    stock.git(["repack", "-q", "-a", "-d", "-f"]);
    stock.git(["update-ref", "-d", "refs/heads/secret"]);
    world.fill("acme/novel", &stock, &[]).await;
    let path = format!("/api/v1/repos/files?ref={hidden}");
    world.get(&path, &token).await.refused(404);
    let path = format!("/api/v1/repos/file?path=README&ref={hidden}");
    world.get(&path, &token).await.refused(404);
}

#[tokio::test]
async fn a_file_is_sent_with_all_that_is_known_of_it() {
    let (world, stock, token) = novel().await;
    let answer = world
        .get("/api/v1/repos/file?path=docs/page11.md&ref=v11", &token)
        .await;
    assert_eq!(answer.status, StatusCode::OK, "{:?}", answer.body);
    let bytes = stock.git_with_input(["cat-file", "blob", "v11:docs/page11.md"], b"");
    assert_eq!(answer.body, bytes);
    let blob = stock.id("v11:docs/page11.md").to_string();
    let last = stock.git(["log", "-1", "--format=%H", "v11", "--", "docs/page11.md"]);
    assert_eq!(answer.header("etag"), Some(format!("\"{blob}\"").as_str()));
    assert_eq!(answer.header("x-blob-sha"), Some(blob.as_str()));
    assert_eq!(answer.header("x-last-commit-sha"), Some(last.as_str()));
    assert_eq!(answer.header("accept-ranges"), Some("bytes"));
    assert_eq!(
        answer.header("content-type"),
        Some("application/octet-stream")
    );
    assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
    let length = bytes.len().to_string();
    assert_eq!(answer.header("content-length"), Some(length.as_str()));
    assert!(answer.header("last-modified").unwrap().ends_with(" GMT"));

    let whole = "/api/v1/repos/file?path=docs/page11.md&ref=v11";
    let head = world.ask(Method::HEAD, whole, &token, Value::Null).await;
    assert_eq!(head.status, StatusCode::OK);
    assert!(head.body.is_empty());
    assert_eq!(head.headers, answer.headers);
}

#[tokio::test]
async fn conditions_and_ranges_are_honoured() {
    let (world, stock, token) = novel().await;
    let bytes = stock.git_with_input(["cat-file", "blob", "main:README"], b"");
    let etag = format!("\"{}\"", stock.id("main:README"));
    let with = async |name: &str, value: &str| {
        let request = Request::get("/api/v1/repos/file?path=README")
            .header("authorization", format!("Bearer {token}"))
            .header(name, value);
        world.send(request.body(Body::empty()).unwrap()).await
    };
    let part = with("range", "bytes=2-5").await;
    assert_eq!(part.status, StatusCode::PARTIAL_CONTENT);
    assert_eq!(part.body, bytes[2..=5]);
    assert_eq!(part.header("content-length"), Some("4"));
    let range = format!("bytes 2-5/{}", bytes.len());
    assert_eq!(part.header("content-range"), Some(range.as_str()));
    let beyond = with("range", &format!("bytes={}-", bytes.len())).await;
    beyond.refused(416);
    let range = format!("bytes */{}", bytes.len());
    assert_eq!(beyond.header("content-range"), Some(range.as_str()));
    let same = with("if-none-match", &etag).await;
    assert_eq!(same.status, StatusCode::NOT_MODIFIED);
    assert!(same.body.is_empty());
    assert_eq!(same.header("etag"), Some(etag.as_str()));
    let other = with("if-none-match", "\"x\"").await;
    assert_eq!(other.body, bytes);
    with("if-match", "\"x\"").await.refused(412);
    let long_ago = "Sun, 06 Nov 1994 08:49:37 GMT";
    with("if-unmodified-since", long_ago).await.refused(412);
    assert_eq!(with("if-modified-since", long_ago).await.body, bytes);
}

#[tokio::test]
async fn what_is_no_file_is_not_found_and_what_is_no_path_refused() {
    let (world, _stock, token) = novel().await;
    for (query, status) in [
        ("", 400),
        ("path=", 400),
        ("path=/", 400),
        ("path=a/../b", 400),
        ("path=a%00b", 400),
        ("path=README&ref=absent", 404),
        ("path=absent", 404),
        ("path=docs", 404),
        ("path=module", 404),
        ("path=README/below", 404),
        ("path=README&ephemeral=maybe", 400),
        ("path=README&ephemeral_base=maybe", 400),
        ("path=README&path=docs", 400),
    ] {
        let path = format!("/api/v1/repos/file?{query}");
        world.get(&path, &token).await.refused(status);
    }
    for query in [
        "path=/README",
        "path=link",
        "path=README&ref=v31",
        "path=README&ref=draft&ephemeral=true&ephemeral_base=false",
    ] {
        let path = format!("/api/v1/repos/file?{query}");
        let answer = world.get(&path, &token).await;
        assert_eq!(answer.status, StatusCode::OK, "{query}");
        assert!(!answer.body.is_empty());
    }
}

#[tokio::test]
async fn sha_256_repositories_are_read_alike() {
    let world = World::new().await;
    world.issuer("acme").await;
    let body = json!({"path": "acme/novel", "object_format": "sha256"});
    world.makes("repositories", body).await;
    let stock = Stock::new(ObjectFormat::Sha256).with_history(12);
    world.fill("acme/novel", &stock, &[]).await;
    let token = jwt("novel", READ);
    let path = "/api/v1/repos/commits?limit=1";
    let newest = world.get(path, &token).await.is(200);
    let sha = stock.id("main").to_string();
    assert_eq!(each(&newest["commits"], "sha"), [sha.as_str()]);
    let path = format!("/api/v1/repos/file?path=README&ref={sha}");
    let file = world.get(&path, &token).await;
    let bytes = stock.git_with_input(["cat-file", "blob", "main:README"], b"");
    assert_eq!(file.body, bytes);
}
