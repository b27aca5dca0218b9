//! Diffs of commits and branches: what Code Storage's clients read, held against stock git.

use super::*;
use crate::{
    hosting::{AskedDiff, DiffLimits, FileDiff, HostingError},
    model::ObjectFormat,
    policy::Fetch,
};

const READ: &[&str] = &["git:read"];

/// A repository `acme/novel` with these branches and files, whatever was pushed before.
struct Novel {
    world: World,
    stock: Stock,
    token: String,
}

impl Novel {
    async fn with(stock: Stock) -> Self {
        let world = World::new().await;
        world.issuer("acme").await;
        world.repository("acme/novel").await;
        stock.git(["repack", "-q", "-a", "-d"]);
        world.fill("acme/novel", &stock, &[]).await;
        let token = jwt("novel", READ);
        Self {
            world,
            stock,
            token,
        }
    }

    async fn ask(&self, route: &str, query: &str) -> Answer {
        let path = format!("/api/v1/repos/{route}?{query}");
        self.world.get(&path, &self.token).await
    }

    async fn commit(&self, query: &str) -> Value {
        self.ask("diff", query).await.is(200)
    }

    async fn branch(&self, query: &str) -> Value {
        self.ask("branches/diff", query).await.is(200)
    }

    fn git_diff(&self, arguments: &[&str]) -> String {
        let command = [&["diff"], arguments].concat();
        String::from_utf8(self.stock.git_with_input(command, b"")).unwrap()
    }
}

/// One commit as git-fast-import(1) reads it; files without content are removed.
fn commit(branch: &str, from: Option<&str>, files: &[(&str, Option<&str>)]) -> String {
    let mut text =
        format!("commit {branch}\ncommitter Ann <ann@example.org> 1700000000 +0000\ndata 0\n\n");
    text += &from.map_or_else(String::new, |from| format!("from {from}\n"));
    for (path, content) in files {
        text += &match content {
            Some(content) => format!(
                "M 100644 inline {path}\ndata {}\n{content}\n",
                content.len()
            ),
            None => format!("D {path}\n"),
        };
    }
    text + "\n"
}

fn raws(answer: &Value) -> String {
    each(&answer["files"], "raw").concat()
}

fn file<'a>(answer: &'a Value, list: &str, path: &str) -> &'a Value {
    let files = answer[list].as_array().unwrap();
    let found = files.iter().find(|file| file["path"] == path);
    found.unwrap_or_else(|| panic!("{path} is not in {list}: {answer}"))
}

#[tokio::test]
async fn each_commit_is_told_against_its_first_parent_as_git_tells_it() {
    let novel = Novel::with(Stock::new(ObjectFormat::Sha1).with_history(45)).await;
    let log = novel.stock.git(["rev-list", "--parents", "main"]);
    let mut moved = 0;
    for line in log.lines() {
        let ids: Vec<_> = line.split(' ').collect();
        let answer = novel.commit(&format!("sha={}", ids[0])).await;
        assert_eq!(answer["sha"], ids[0]);
        assert_eq!(
            answer.get("base_sha").and_then(Value::as_str),
            ids.get(1).copied()
        );
        let empty = empty_tree(&novel);
        let base = ids.get(1).copied().unwrap_or(&empty);
        let filtered = each(&answer["filtered_files"], "path").join(" ");
        let shown: &[&str] = match filtered.as_str() {
            "" => &[],
            "large.bin" => &["--", ":!large.bin"],
            other => panic!("{other} is filtered"),
        };
        let expected = novel.git_diff(&[&[base, ids[0]], shown].concat());
        assert_eq!(raws(&answer), expected);
        let numbers = novel.git_diff(&["--numstat", "--shortstat", base, ids[0]]);
        let numbers = numbers
            .lines()
            .last()
            .unwrap()
            .replace(" insertions(+)", "");
        let stats = &answer["stats"];
        let (added, removed) = (stats["additions"].as_u64(), stats["deletions"].as_u64());
        assert_eq!(
            stats["changes"].as_u64(),
            added.zip(removed).map(|(a, r)| a + r)
        );
        let files = stats["files"].as_u64().unwrap();
        assert!(
            numbers.starts_with(&format!(" {files} file")),
            "{numbers}: {stats}"
        );
        if added > Some(1) {
            assert!(
                numbers.contains(&format!(", {}", added.unwrap())),
                "{numbers}: {stats}"
            );
        }
        for file in answer["files"].as_array().unwrap() {
            let raw = file["raw"].as_str().unwrap();
            assert_eq!(file["bytes"], raw.len());
            let is_moved = file["state"] == "R";
            moved += usize::from(is_moved);
            assert_eq!(file["old_path"] != "", is_moved);
            assert_eq!(is_moved, raw.contains("\nrename from "));
        }
    }
    assert!(moved > 0);
    let (new, old) = (novel.stock.id("main"), novel.stock.id("main~7"));
    let answer = novel
        .commit(&format!("sha={new}&baseSha={old}&path=README&path=src/"))
        .await;
    assert_eq!(answer["base_sha"], old.to_string());
    let expected = novel.git_diff(&["main~7", "main", "--", "README", "src"]);
    assert_eq!(raws(&answer), expected);
    let short = novel
        .commit(&format!("sha={}", &new.to_string().to_uppercase()[..10]))
        .await;
    assert_eq!(short["sha"], new.to_string());
}

#[tokio::test]
async fn files_that_nobody_reads_are_counted_and_not_shown() {
    let lines = |count: usize| "x\n".repeat(count);
    let long = |bytes: usize| "y".repeat(bytes - 1) + "\n";
    let files = [
        ("Cargo.lock", "a\n".to_owned()),
        ("deep/yarn.lock", "a\n".to_owned()),
        ("yarn.lock.md", "a\n".to_owned()),
        ("zero", "\0".to_owned()),
        ("many", lines(2001)),
        ("not-many", lines(2000)),
        // The patch has a header of 127 bytes and a sign.
        ("long", long(512_001)),
        ("not-long", long(511_700)),
        ("unended", "no line feed".to_owned()),
        ("empty", String::new()),
    ];
    let files: Vec<_> = files
        .iter()
        .map(|(path, text)| (*path, Some(text.as_str())))
        .collect();
    let stock = Stock::new(ObjectFormat::Sha1);
    stock.import(&commit("refs/heads/main", None, &files));
    let novel = Novel::with(stock).await;
    let sha = novel.stock.id("main").to_string();
    let answer = novel.commit(&format!("sha={sha}")).await;
    let hidden = each(&answer["filtered_files"], "path");
    assert_eq!(
        hidden,
        ["Cargo.lock", "deep/yarn.lock", "long", "many", "zero"]
    );
    let shown = each(&answer["files"], "path");
    assert_eq!(
        shown,
        ["empty", "not-long", "not-many", "unended", "yarn.lock.md"]
    );
    let expected = json!({"files": 10, "additions": 4007, "deletions": 0, "changes": 4007});
    assert_eq!(answer["stats"], expected);
    let many = file(&answer, "filtered_files", "many");
    assert_eq!(many["state"], "A");
    assert!(
        many.get("raw").is_none() && many["bytes"].as_u64() > Some(6000),
        "{many}"
    );
    assert_eq!(file(&answer, "files", "not-many")["is_eof"], true);
    assert_eq!(file(&answer, "files", "unended")["is_eof"], false);
    assert_eq!(file(&answer, "files", "empty")["is_eof"], false);
    assert_eq!(file(&answer, "files", "not-many")["additions"], 2000);

    // Who asks for a file gets it.
    let asked = novel
        .commit(&format!("sha={sha}&path=zero&path=/deep/"))
        .await;
    assert_eq!(each(&asked["files"], "path"), ["deep/yarn.lock", "zero"]);
    assert_eq!(asked["filtered_files"], json!([]));
    assert!(raws(&asked).ends_with("Binary files /dev/null and b/zero differ\n"));
}

#[tokio::test]
async fn applicable_patches_make_one_tree_of_the_other() {
    let stock = Stock::new(ObjectFormat::Sha1);
    let main = "refs/heads/main";
    let long: String = (0..3000).map(|n| format!("line {n}\n")).collect();
    let files = [
        ("a", Some("one\ntwo\nthree\nfour\n")),
        ("zero", Some("\0one")),
        ("go.sum", Some("x\n")),
        ("long", Some(&*long)),
    ];
    stock.import(&commit(main, None, &files));
    let longer = long.replace('1', "one");
    let files = [
        ("a", None),
        ("b", Some("one\ntwo\n3\nfour\n")),
        ("zero", Some("\0two")),
        ("go.sum", Some("y")),
        ("long", Some(&*longer)),
    ];
    stock.import(&commit(main, Some("refs/heads/main^0"), &files));
    // What is no UTF-8 can't be told in JSON as lines.
    let mut latin = commit(main, Some("refs/heads/main^0"), &[]).into_bytes();
    latin.pop();
    latin.extend_from_slice(b"M 100644 inline latin\ndata 6\ncaf\xe9 \n\n\n");
    stock.git_with_input(["fast-import", "--quiet"], &latin);
    let novel = Novel::with(stock).await;
    let id = |name: &str| novel.stock.id(name);
    for spelling in ["gitApplyCompatible", "git_apply_compatible"] {
        let query = format!(
            "sha={}&baseSha={}&{spelling}=true",
            id("main"),
            id("main~2")
        );
        let answer = novel.commit(&query).await;
        assert_eq!(answer["filtered_files"], json!([]));
        assert_eq!(each(&answer["files"], "state"), ["R", "M", "A", "M", "M"]);
        let patch = raws(&answer);
        assert!(!patch.contains('\u{fffd}'));
        novel.stock.git(["read-tree", "main~2"]);
        novel
            .stock
            .git_with_input(["apply", "--cached", "--binary"], patch.as_bytes());
        assert_eq!(
            novel.stock.git(["write-tree"]),
            id("main^{tree}").to_string()
        );
    }
    let readable = novel.commit(&format!("sha={}", id("main"))).await;
    assert!(raws(&readable).contains("+caf\u{fffd} \n"));
}

#[tokio::test]
async fn a_branch_is_told_from_where_it_left_its_base() {
    let stock = Stock::new(ObjectFormat::Sha1);
    stock.import(&commit(
        "refs/heads/main",
        None,
        &[("a", Some("1\n")), ("b", Some("1\n"))],
    ));
    stock.git(["branch", "feature"]);
    let feature = Some("refs/heads/feature^0");
    stock.import(&commit(
        "refs/heads/feature",
        feature,
        &[("a", Some("2\n")), ("c", Some("new\n"))],
    ));
    stock.import(&commit(
        "refs/heads/main",
        Some("refs/heads/main^0"),
        &[("b", Some("2\n"))],
    ));
    stock.git([
        "update-ref",
        "refs/namespaces/ephemeral/refs/heads/draft",
        "feature~1",
    ]);
    stock.git([
        "update-ref",
        "refs/namespaces/ephemeral/refs/heads/feature",
        "main",
    ]);
    stock.import(&commit("refs/heads/alone", None, &[("a", Some("1\n"))]));
    let novel = Novel::with(stock).await;
    let told = novel.branch("branch=feature").await;
    assert_eq!(told["branch"], "feature");
    assert_eq!(told["base"], "main");
    assert_eq!(told["merge_base_sha"], novel.stock.id("main~1").to_string());
    assert_eq!(raws(&told), novel.git_diff(&["main...feature"]));
    assert_eq!(
        told["stats"],
        json!({"files": 2, "additions": 2, "deletions": 1, "changes": 3})
    );
    let back = novel.branch("branch=refs/heads/main&base=feature").await;
    assert_eq!(raws(&back), novel.git_diff(&["feature...main"]));
    let same = novel.branch("branch=main").await;
    assert_eq!(same["files"], json!([]));
    assert_eq!(same["merge_base_sha"], novel.stock.id("main").to_string());

    let draft = novel
        .branch("branch=feature&base=draft&ephemeral_base=true")
        .await;
    assert_eq!(raws(&draft), novel.git_diff(&["feature~1...feature"]));
    let ephemeral = novel
        .branch("branch=feature&ephemeral=true&base=feature")
        .await;
    assert_eq!(raws(&ephemeral), novel.git_diff(&["feature...main"]));

    let alone = novel.branch("branch=alone").await;
    assert!(alone.get("merge_base_sha").is_none());
    assert_eq!(each(&alone["files"], "state"), ["A"]);
}

#[tokio::test]
async fn what_can_not_be_told_is_refused() {
    let stock = Stock::new(ObjectFormat::Sha1);
    stock.import(&commit("refs/heads/main", None, &[("a", Some("1\n"))]));
    let novel = Novel::with(stock).await;
    let (main, blob) = (
        novel.stock.id("main").to_string(),
        novel.stock.id("main:a").to_string(),
    );
    let zeros = "0".repeat(40);
    for (route, query, status) in [
        ("diff", String::new(), 400),
        ("diff", "sha=".to_owned(), 400),
        ("diff", "sha=main".to_owned(), 400),
        ("diff", "sha=abc".to_owned(), 400),
        ("diff", format!("sha={main}&baseSha=main"), 400),
        ("diff", format!("sha={main}&sha={main}"), 400),
        ("diff", format!("sha={main}&path=../x"), 400),
        ("diff", format!("sha={main}&gitApplyCompatible=yes"), 400),
        ("diff", format!("sha={main}&{}", "path=a&".repeat(101)), 400),
        ("diff", format!("sha={zeros}"), 404),
        ("diff", format!("sha={blob}"), 404),
        ("diff", format!("sha={main}&baseSha={zeros}"), 404),
        ("diff", format!("sha={main}0"), 404),
        ("branches/diff", String::new(), 400),
        ("branches/diff", "branch=a..b".to_owned(), 400),
        ("branches/diff", "branch=refs/tags/x".to_owned(), 400),
        ("branches/diff", "branch=main&base=a..b".to_owned(), 400),
        ("branches/diff", "branch=main&ephemeral=1".to_owned(), 400),
        (
            "branches/diff",
            "branch=main&ephemeral_base=TRUE".to_owned(),
            400,
        ),
        ("branches/diff", "branch=absent".to_owned(), 404),
        ("branches/diff", "branch=main&base=absent".to_owned(), 404),
        (
            "branches/diff",
            "branch=main&ephemeral=true".to_owned(),
            404,
        ),
        (
            "branches/diff",
            "branch=main&ephemeral_base=true".to_owned(),
            404,
        ),
    ] {
        let error = novel.ask(route, &query).await.refused(status);
        if status == 404 && route != "diff" {
            assert!(error.contains("branch "), "{query}: {error}");
        }
    }
    assert_eq!(
        novel.commit(&format!("sha={main}&path=nothing")).await["files"],
        json!([])
    );

    for (token, status) in [
        (String::new(), 401),
        ("nonsense".to_owned(), 401),
        (jwt("novel", &["repo:write"]), 401),
        (jwt("absent", READ), 404),
    ] {
        for path in [
            format!("diff?sha={main}"),
            "branches/diff?branch=main".to_owned(),
        ] {
            let path = format!("/api/v1/repos/{path}");
            novel.world.get(&path, &token).await.refused(status);
        }
    }
    let empty = World::new().await;
    empty.issuer("acme").await;
    empty.repository("acme/novel").await;
    for path in [
        format!("diff?sha={main}"),
        "branches/diff?branch=main".to_owned(),
    ] {
        let path = format!("/api/v1/repos/{path}");
        empty.get(&path, &novel.token).await.refused(404);
    }
}

#[tokio::test]
async fn an_answer_is_bounded() {
    let stock = Stock::new(ObjectFormat::Sha1);
    let files = ["a", "b", "c"].map(|path| (path, Some("text\n")));
    stock.import(&commit("refs/heads/main", None, &files));
    let novel = Novel::with(stock).await;
    let path = "acme/novel".parse().unwrap();
    let hosting = &novel.world.hosting;
    let (authorized, _) = hosting
        .authorize::<Fetch>(&novel.world.admin_caller, &path)
        .unwrap();
    let mut contents = hosting.contents(&authorized).await.unwrap();
    let main = novel.stock.id("main");
    let mut told = |limits: DiffLimits, applicable, paths: &[&str]| {
        let asked = AskedDiff {
            paths: paths.iter().map(|path| (*path).to_owned()).collect(),
            applicable,
            limits,
        };
        let told = contents.diff(None, main, &asked);
        let shown = |files: Vec<FileDiff>| files.iter().filter(|file| file.raw.is_some()).count();
        told.map(shown)
    };
    let usual = DiffLimits::default;
    let all = told(usual(), false, &[]).unwrap();
    assert_eq!(all, 3);
    let files = |files| DiffLimits { files, ..usual() };
    assert_eq!(told(files(3), false, &[]).unwrap(), 3);
    assert!(matches!(
        told(files(2), false, &[]),
        Err(HostingError::TooMuch(_))
    ));
    assert_eq!(told(files(2), false, &["a", "b"]).unwrap(), 2);

    let raw_bytes = novel.git_diff(&[&empty_tree(&novel), "main"]).len();
    let bytes = |raw_bytes| DiffLimits {
        raw_bytes,
        ..usual()
    };
    assert_eq!(told(bytes(raw_bytes), false, &[]).unwrap(), 3);
    assert_eq!(told(bytes(raw_bytes - 1), false, &[]).unwrap(), 2);
    let asked_for = told(bytes(raw_bytes - 1), false, &["a", "b", "c"]);
    assert!(matches!(asked_for, Err(HostingError::TooMuch(_))));
    let applicable = told(bytes(raw_bytes), true, &[]);
    assert!(
        matches!(applicable, Err(HostingError::TooMuch(_))),
        "whole ids are longer"
    );

    let no_time = DiffLimits {
        time: Duration::ZERO,
        ..usual()
    };
    assert!(matches!(
        told(no_time, false, &[]),
        Err(HostingError::TooMuch(_))
    ));
}

fn empty_tree(novel: &Novel) -> String {
    novel.stock.git(["hash-object", "-t", "tree", "/dev/null"])
}
