//! What each filter leaves, held against `git rev-list --objects --filter`.

use super::*;

/// A list that wants some, takes some of it back, and has every kind of pattern.
const LIST: &str = "/*\n!/docs/\n/docs/old/\nsrc/**/file1*.txt\n!tools/*/er\n*.md\n!large.???\n";

/// Lists as they are in the wild: what `git sparse-checkout` writes, with and without cones.
const LISTS: [&str; 6] = [
    LIST,
    "/*\n!/*/\n/src/\n!/src/*/\n/src/side/\n",
    "README\n",
    "*.txt\n!file3.txt",
    "deep/\n",
    "# nothing\n",
];

impl Served {
    fn with_lists(commits: u32) -> [Self; 2] {
        Stock::each().map(|stock| {
            let stock = stock.with_history(commits);
            for (at, list) in LISTS.iter().enumerate() {
                let id = stock.git_with_input(["hash-object", "-w", "--stdin"], list.as_bytes());
                let id = String::from_utf8(id).unwrap();
                stock.git(["update-ref", &format!("refs/lists/{at}"), id.trim()]);
            }
            stock.git(["repack", "-q", "-a", "-d"]);
            Self::new(stock)
        })
    }

    fn list(&self, name: &str) -> SparseList {
        SparseList::named(&self.repository, &self.packs, &self.refs, name.as_bytes()).unwrap()
    }

    /// The filter that git writes so; names of lists stand for themselves.
    fn filter(&self, text: &str) -> Filter {
        let after = |prefix| text.strip_prefix(prefix);
        let number = |text: &str| match text.strip_suffix('k') {
            Some(thousands) => thousands.parse::<u64>().unwrap() << 10,
            None => text.parse().unwrap(),
        };
        if let Some(parts) = after("combine:") {
            return Filter::Combine(
                parts
                    .split('+')
                    .map(|part| self.filter(&part.replace("%2b", "+")))
                    .collect(),
            );
        }
        match (after("blob:limit="), after("tree:"), after("sparse:oid=")) {
            (Some(bytes), ..) => Filter::BlobLimit(number(bytes)),
            (_, Some(depth), _) => Filter::TreeDepth(number(depth)),
            (.., Some(name)) => Filter::Listed(self.list(name)),
            _ => match text {
                "blob:none" => Filter::BlobNone,
                "object:type=blob" => Filter::ObjectType(Kind::Blob),
                "object:type=tree" => Filter::ObjectType(Kind::Tree),
                "object:type=commit" => Filter::ObjectType(Kind::Commit),
                "object:type=tag" => Filter::ObjectType(Kind::Tag),
                other => panic!("{other} is no filter"),
            },
        }
    }

    /// The pack for this request holds what git lists for the same, given as ids as on the wire.
    #[track_caller]
    fn check_filter(&self, text: &str, request: &FetchRequest, args: &[&str]) {
        let request = FetchRequest {
            filter: Some(self.filter(text)),
            ..request.clone()
        };
        let ids = |ids: &[ObjectId]| ids.iter().map(ToString::to_string).collect::<Vec<_>>();
        let mut command: Vec<String> = args.iter().map(ToString::to_string).collect();
        command.extend(["rev-list", "--objects", "--no-object-names"].map(str::to_owned));
        command.push(format!("--filter={text}"));
        command.extend(ids(&request.wants));
        command.push("--not".to_owned());
        command.extend(ids(&request.haves));
        let printed = self.stock.git(command);
        let listed: BTreeSet<ObjectId> =
            printed.lines().map(|line| line.parse().unwrap()).collect();
        let sent = set(&self.plan(&request));
        let differing: Vec<_> = sent
            .symmetric_difference(&listed)
            .map(|id| {
                let kind = self.stock.git(["cat-file", "-t", &id.to_string()]);
                (id, kind, sent.contains(id))
            })
            .collect();
        assert!(differing.is_empty(), "{text}: {differing:?}");
    }
}

const FILTERS: [&str; 36] = [
    "blob:none",
    "blob:limit=0",
    "blob:limit=1",
    "blob:limit=100",
    "blob:limit=1000",
    "blob:limit=3k",
    "tree:0",
    "tree:1",
    "tree:2",
    "tree:3",
    "tree:4",
    "tree:9",
    "object:type=commit",
    "object:type=tree",
    "object:type=blob",
    "object:type=tag",
    "sparse:oid=refs/lists/0",
    "sparse:oid=refs/lists/1",
    "sparse:oid=refs/lists/2",
    "sparse:oid=refs/lists/3",
    "sparse:oid=refs/lists/4",
    "sparse:oid=refs/lists/5",
    "combine:blob:none",
    "combine:tree:2+blob:limit=1000",
    "combine:tree:3+blob:limit=1000",
    "combine:blob:limit=1000+tree:3",
    "combine:tree:3+blob:none",
    "combine:tree:3+object:type=blob",
    "combine:tree:3+object:type=tree",
    "combine:object:type=blob+blob:limit=100",
    "combine:sparse:oid=refs/lists/0+tree:3",
    "combine:tree:3+sparse:oid=refs/lists/1",
    "combine:sparse:oid=refs/lists/0+blob:limit=1k",
    "combine:sparse:oid=refs/lists/0+sparse:oid=refs/lists/3",
    "combine:combine:tree:3%2bblob:limit=1k+sparse:oid=refs/lists/0",
    "combine:object:type=commit+sparse:oid=refs/lists/0",
];

#[test]
fn each_filter_leaves_what_git_leaves() {
    for served in Served::with_lists(40) {
        for text in FILTERS {
            for (wants, haves) in [
                (&["main", "side"][..], &[][..]),
                (&["v11", "nested"], &[]),
                (&["main:src", "main~3"], &[]),
                (&["main:src", "main~2:tools", "main~3:README"], &[]),
                (&["blob-tag", "tree-tag"], &[]),
                (&["main", "side"], &["main~6"]),
                (&["main", "v31"], &["side~2", "v11"]),
            ] {
                served.check_filter(text, &served.request(wants, haves), &[]);
            }
        }
    }
}

#[test]
fn each_filter_leaves_what_git_leaves_of_a_shallow_history() {
    for served in Served::with_lists(30) {
        let boundary = boundary(
            Arc::clone(&served.packs),
            &served.ids(&["main", "side"]),
            &[],
            &Deepen::Depth(3),
        )
        .unwrap();
        let lines: Vec<_> = boundary
            .shallow
            .iter()
            .map(|id| format!("{id}\n"))
            .collect();
        let file = served.stock.path().join("boundary");
        std::fs::write(&file, lines.concat()).unwrap();
        let request = FetchRequest {
            shallow: boundary.shallow,
            ..served.request(&["main", "side"], &[])
        };
        for text in FILTERS {
            let option = ["--shallow-file", file.to_str().unwrap()];
            served.check_filter(text, &request, &option);
        }
    }
}

#[test]
fn a_list_is_read_only_where_the_caller_may_see_it() {
    let [served, _] = Served::with_lists(10);
    served.list("HEAD:README");
    served.list("main:README");
    let id = served.stock.id("refs/lists/0");
    assert_eq!(served.list(&id.to_string()), served.list("refs/lists/0"));
    // The same server for a caller that sees one branch only, which does not reach the list.
    let narrow = RefSnapshot::new(
        1,
        RefName::branch("main").unwrap(),
        vec![RefEntry {
            name: RefName::branch("main").unwrap(),
            id: served.stock.id("main~3"),
            peeled: None,
        }],
    );
    let check = |name: &str, expected: &str| {
        let refused =
            SparseList::named(&served.repository, &served.packs, &narrow, name.as_bytes());
        assert_eq!(refused.unwrap_err().to_string(), expected, "{name}");
    };
    let not_found = |name: &str| format!("unable to access sparse blob in '{name}'");
    for name in [
        &id.to_string(),
        "refs/lists/0",
        "nowhere",
        "main:nowhere",
        "main:module",
        "side:README",
        &format!("{}:README", served.stock.id("side")),
        ":README",
        "",
    ] {
        check(name, &not_found(name));
    }
    let not_a_list = |id: ObjectId| format!("unable to parse sparse filter data in {id}");
    check("main", &not_a_list(served.stock.id("main~3")));
    check("main:src", &not_a_list(served.stock.id("main~3:src")));
}

/// A dozen trees, each of which holds the one below it ten times, have a path for every number of twelve
/// digits. Whoever may push them would have the server remember each, by one clone with a filter that
/// judges by path.
#[test]
fn trees_that_hold_each_other_at_endless_paths_end_a_filter_by_path_and_no_other() {
    let stock = Stock::new(ObjectFormat::Sha1);
    let mktree = |lines: String| {
        let made = stock.git_with_input(["mktree"], lines.as_bytes());
        String::from_utf8(made).unwrap().trim().to_owned()
    };
    let list = stock.git_with_input(["hash-object", "-w", "--stdin"], b"/*\n");
    let list = String::from_utf8(list).unwrap().trim().to_owned();
    stock.git(["update-ref", "refs/lists/all", &list]);
    let mut tree = mktree(format!("100644 blob {list}\tfile\n"));
    for depth in 1..=12 {
        tree = mktree(
            (0..10)
                .map(|n| format!("040000 tree {tree}\t{n}\n"))
                .collect(),
        );
        let commit = stock.git(["commit-tree", "-m", "deep", &tree]);
        stock.git(["update-ref", &format!("refs/heads/deep{depth}"), &commit]);
    }
    stock.git(["repack", "-q", "-a", "-d"]);
    let served = Served::new(stock);
    let prepared = |want: &str, filter: Option<Filter>| {
        let request = FetchRequest {
            filter,
            ..served.request(&[want], &[])
        };
        let packs = Arc::clone(&served.packs);
        prepare(
            &served.repository,
            packs,
            &served.refs,
            &request,
            &mut |_| {},
        )
        .map(|plan| plan.object_count())
    };
    let by_path = || Some(served.filter("sparse:oid=refs/lists/all"));
    assert_eq!(prepared("deep12", by_path()), Err(ReadError::TooManyPaths));
    assert_eq!(prepared("deep3", by_path()), Ok(6));
    assert_eq!(prepared("deep12", Some(Filter::BlobNone)), Ok(14));
    assert_eq!(prepared("deep12", None), Ok(15));
}
