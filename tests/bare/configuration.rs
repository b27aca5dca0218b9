//! Each key of git's configuration that changes what is served or accepted, on both sides.

use std::fs;

use super::*;

/// What a service advertises with a key set so.
fn advertised(key: &str, value: &str, service: &str, protocol: &str) -> String {
    let bare = Bare::new("sha1").with_history();
    if !key.is_empty() {
        bare.sets(key, value);
    }
    let arguments = [service, "--http-backend-info-refs", "origin.git"];
    let said = bare
        .program(&arguments, &[("GIT_PROTOCOL", protocol)], b"")
        .bytes();
    String::from_utf8(said).unwrap()
}

#[test]
fn keys_that_change_what_is_offered() {
    let (upload, receive) = ("upload-pack", "receive-pack");
    for (key, value, service, protocol, words, by_default) in [
        (
            "uploadpack.allowFilter",
            "true",
            upload,
            "version=2",
            "filter",
            false,
        ),
        (
            "uploadpack.allowFilter",
            "true",
            upload,
            "",
            "filter",
            false,
        ),
        (
            "uploadpack.allowRefInWant",
            "true",
            upload,
            "version=2",
            "ref-in-want",
            false,
        ),
        (
            "uploadpack.allowSidebandAll",
            "true",
            upload,
            "version=2",
            "sideband-all",
            false,
        ),
        (
            "uploadpack.allowTipSHA1InWant",
            "true",
            upload,
            "",
            "allow-tip-sha1-in-want",
            false,
        ),
        (
            "uploadpack.allowReachableSHA1InWant",
            "true",
            upload,
            "",
            "allow-reachable-sha1-in-want",
            false,
        ),
        (
            "uploadpack.allowAnySHA1InWant",
            "true",
            upload,
            "",
            "allow-reachable-sha1-in-want",
            false,
        ),
        (
            "transfer.advertiseObjectInfo",
            "true",
            upload,
            "version=2",
            "object-info",
            false,
        ),
        (
            "lsrefs.unborn",
            "allow",
            upload,
            "version=2",
            "ls-refs=unborn",
            true,
        ),
        (
            "lsrefs.unborn",
            "ignore",
            upload,
            "version=2",
            "ls-refs=unborn",
            true,
        ),
        (
            "repack.useDeltaBaseOffset",
            "false",
            receive,
            "",
            " ofs-delta",
            true,
        ),
        (
            "transfer.advertiseSID",
            "true",
            upload,
            "version=2",
            "session-id=",
            false,
        ),
        (
            "transfer.advertiseSID",
            "true",
            receive,
            "",
            "session-id=",
            false,
        ),
        (
            "receive.advertiseAtomic",
            "false",
            receive,
            "",
            " atomic",
            true,
        ),
        (
            "receive.advertisePushOptions",
            "true",
            receive,
            "",
            "push-options",
            false,
        ),
        (
            "receive.certNonceSeed",
            "secret",
            receive,
            "",
            "push-cert",
            false,
        ),
        (
            "transfer.hideRefs",
            "refs/heads",
            upload,
            "",
            "refs/heads/side",
            true,
        ),
        (
            "uploadpack.hideRefs",
            "refs/heads/side",
            upload,
            "",
            "refs/heads/side",
            true,
        ),
        (
            "receive.hideRefs",
            "refs/heads",
            upload,
            "",
            "refs/heads/side",
            true,
        ),
        (
            "receive.hideRefs",
            "refs/heads",
            receive,
            "",
            "refs/heads/side",
            true,
        ),
    ] {
        let default = advertised("", "", service, protocol);
        assert_eq!(
            default.contains(words),
            by_default,
            "{key} by default: {default}"
        );
        let set = advertised(key, value, service, protocol);
        let unchanged = matches!(
            (key, service),
            ("receive.hideRefs", "upload-pack") | ("receive.certNonceSeed", _)
        );
        assert_eq!(
            set.contains(words),
            by_default == unchanged,
            "{key}={value}: {set}"
        );
    }
}

#[test]
fn a_key_that_does_not_parse_is_named() {
    let bare = Bare::new("sha1");
    bare.sets("uploadpack.allowFilter", "perhaps");
    let said = bare.program(&["upload-pack", "origin.git"], &[], b"0000");
    said.fails_with("uploadpack.allowFilter");
    // The system's and the user's files count, too.
    let bare = Bare::new("sha1");
    bare.beside("")
        .git_with(
            &["config", "-f", "gitconfig", "transfer.advertiseSID", "true"],
            b"",
        )
        .succeeds();
    let said = bare
        .program(
            &["receive-pack", "--advertise-refs", "origin.git"],
            &[],
            b"",
        )
        .bytes();
    assert!(String::from_utf8(said).unwrap().contains("session-id="));
    let variables = [
        ("GIT_CONFIG_COUNT", "1"),
        ("GIT_CONFIG_KEY_0", "transfer.advertiseSID"),
        ("GIT_CONFIG_VALUE_0", "false"),
    ];
    let said = bare
        .program(
            &["receive-pack", "--advertise-refs", "origin.git"],
            &variables,
            b"",
        )
        .bytes();
    assert!(!String::from_utf8(said).unwrap().contains("session-id="));
}

#[test]
fn filters_are_allowed_one_by_one() {
    let bare = Bare::new("sha1").with_history();
    let clone = |filter: &str| {
        let out = format!(
            "-c protocol.version=2 clone -q --bare --filter={filter} UPLOAD ORIGIN out.git"
        );
        let finished = bare.client(&out);
        fs::remove_dir_all(bare.folder.path().join("out.git")).ok();
        finished
    };
    let ignored = clone("blob:none");
    ignored.succeeds();
    assert!(
        ignored
            .stderr()
            .contains("filtering not recognized by server")
    );
    bare.sets("uploadpack.allowFilter", "true");
    bare.sets("uploadpackfilter.blob:none.allow", "false");
    clone("blob:none").fails_with("filter 'blob:none' not supported");
    clone("blob:limit=10").succeeds();
    clone("sparse:oid=main:deep/er/page1").succeeds();
    clone("sparse:oid=main:nowhere").fails_with("nowhere");
    bare.sets("uploadpackfilter.tree.maxDepth", "1");
    clone("tree:1").succeeds();
    clone("tree:2").fails_with("maximum depth: 1, but got: 2");
    clone("combine:tree:1+blob:none").fails_with("filter 'blob:none' not supported");
    bare.sets("uploadpackfilter.combine.allow", "false");
    clone("combine:tree:1+tree:0").fails_with("filter 'combine' not supported");
    bare.sets("uploadpackfilter.allow", "false");
    clone("object:type=commit").fails_with("filter 'object:type' not supported");
    bare.sets("uploadpackfilter.object:type.allow", "true");
    clone("object:type=commit").succeeds();
}

#[test]
fn what_may_be_wanted_by_id() {
    let bare = Bare::new("sha1").with_history();
    let hidden = bare
        .origin()
        .git("commit-tree -m hidden main^{tree}")
        .succeeds();
    bare.origin()
        .git(&format!("update-ref refs/secret/x {hidden}"))
        .succeeds();
    let old = bare.origin().git("rev-parse main~5").succeeds();
    let lost = bare
        .origin()
        .git("commit-tree -m lost main^{tree}")
        .succeeds();
    bare.sets("uploadpack.hideRefs", "refs/secret");
    bare.beside("").git("init -q taker").succeeds();
    let taker = bare.beside("taker");
    let fetch = |version: u8, id: &str| {
        bare.client_of(
            &taker,
            &format!("-c protocol.version={version} fetch -q UPLOAD ORIGIN {id}"),
        )
    };
    for id in [&hidden, &old, &lost] {
        fetch(0, id).fails_with("Server does not allow request for unadvertised object");
        // As git itself does, version 2 gives what is there.
        fetch(2, id).succeeds();
        fs::remove_dir_all(&taker.path).unwrap();
        bare.beside("").git("init -q taker").succeeds();
    }
    bare.sets("uploadpack.allowTipSHA1InWant", "true");
    fetch(0, &hidden).succeeds();
    fetch(0, &old).fails_with("not our ref");
    bare.sets("uploadpack.allowReachableSHA1InWant", "true");
    fetch(0, &old).succeeds();
    fetch(0, &lost).fails_with("not our ref");
    bare.sets("uploadpack.allowAnySHA1InWant", "true");
    fetch(0, &lost).succeeds();
    fetch(2, &"2".repeat(40)).fails_with("not our ref");
}

#[test]
fn what_a_push_may_not_do() {
    for (key, value, words, said) in [
        (
            "receive.denyDeletes",
            "true",
            ":side",
            "deletion prohibited",
        ),
        (
            "receive.denyDeleteCurrent",
            "refuse",
            ":main",
            "deletion of the current branch prohibited",
        ),
        ("receive.denyDeleteCurrent", "ignore", ":main", ""),
        ("receive.denyDeleteCurrent", "warn", ":main", ""),
        (
            "receive.denyNonFastForwards",
            "true",
            "+main~2:main",
            "non-fast-forward",
        ),
        (
            "receive.denyNonFastForwards",
            "true",
            "+main~2:refs/tags/moved",
            "",
        ),
        ("receive.denyNonFastForwards", "false", "+main~2:main", ""),
        (
            "receive.hideRefs",
            "refs/secret",
            "main:refs/secret/x",
            "deny updating a hidden ref",
        ),
        (
            "transfer.hideRefs",
            "refs/secret",
            "main:refs/secret/x",
            "deny updating a hidden ref",
        ),
        (
            "receive.maxInputSize",
            "100",
            "grown:main",
            "unpacker error",
        ),
        ("receive.maxInputSize", "0", "grown:main", ""),
        ("receive.maxInputSize", "1g", "grown:main", ""),
        ("receive.keepAlive", "0", "grown:main", ""),
        (
            "core.bare",
            "false",
            "grown:main",
            "branch is currently checked out",
        ),
        ("receive.denyCurrentBranch", "refuse", "grown:main", ""),
    ] {
        let bare = Bare::new("sha1").with_history();
        let work = bare.beside("work");
        work.git("switch -q -c grown").succeeds();
        fs::write(work.path.join("grown"), "x".repeat(1000)).unwrap();
        work.git("add .").succeeds();
        work.git("commit -q -m grown").succeeds();
        work.git("push -q ../origin.git main:refs/tags/moved")
            .succeeds();
        if key == "core.bare" {
            bare.origin().git("config core.bare false").succeeds();
        } else {
            bare.sets(key, value);
        }
        let push = bare.client_of(&work, &format!("push RECEIVE ORIGIN {words}"));
        if said.is_empty() {
            push.succeeds();
        } else {
            push.fails_with(said);
        }
        let left: Vec<_> = fs::read_dir(bare.path().join("objects")).unwrap().collect();
        let left = left.iter().any(|entry| {
            entry
                .as_ref()
                .unwrap()
                .file_name()
                .to_string_lossy()
                .starts_with("tmp_")
        });
        assert!(!left, "{key}={value} leaves something behind");
    }
}

#[test]
fn pushes_are_unpacked_below_the_limit_and_lists_kept_if_asked_for() {
    for (own, shared, packed) in [
        ("", "", false),
        ("1", "", true),
        ("", "1", true),
        ("100", "1", false),
    ] {
        let bare = Bare::new("sha1").with_history();
        let packs = || {
            fs::read_dir(bare.path().join("objects/pack"))
                .unwrap()
                .count()
        };
        let before = packs();
        for (key, value) in [
            ("receive.unpackLimit", own),
            ("transfer.unpackLimit", shared),
        ] {
            if !value.is_empty() {
                bare.sets(key, value);
            }
        }
        fs::remove_file(bare.path().join("info/refs")).unwrap();
        bare.sets(
            "receive.updateServerInfo",
            if packed { "true" } else { "false" },
        );
        let work = bare.beside("work");
        work.git("commit -q --allow-empty -m more").succeeds();
        bare.client_of(&work, "push -q RECEIVE ORIGIN main")
            .succeeds();
        assert_eq!(packs() > before, packed, "{own:?} {shared:?}");
        assert_eq!(bare.path().join("info/refs").exists(), packed);
        if packed {
            let ours = fs::read(bare.path().join("info/refs")).unwrap();
            bare.origin().git("update-server-info --force").succeeds();
            let theirs = fs::read(bare.path().join("info/refs")).unwrap();
            assert_eq!(String::from_utf8(ours), String::from_utf8(theirs));
        }
        bare.origin().is_sound();
    }
}

#[test]
fn faults_of_objects_are_refused_where_that_is_asked_for() {
    for (keys, accepted) in [
        (&[][..], true),
        (&[("transfer.fsckObjects", "true")], false),
        (&[("receive.fsckObjects", "true")], false),
        (
            &[
                ("transfer.fsckObjects", "true"),
                ("receive.fsckObjects", "false"),
            ],
            true,
        ),
        (
            &[
                ("receive.fsckObjects", "true"),
                ("receive.fsck.missingSpaceBeforeEmail", "ignore"),
            ],
            true,
        ),
        (
            &[
                ("receive.fsckObjects", "true"),
                ("receive.fsck.missingSpaceBeforeEmail", "warn"),
            ],
            true,
        ),
        (
            &[
                ("receive.fsckObjects", "true"),
                ("receive.fsck.badDate", "ignore"),
            ],
            false,
        ),
    ] {
        let bare = Bare::new("sha1").with_history();
        for (key, value) in keys {
            bare.sets(key, value);
        }
        let work = bare.beside("work");
        let tree = work.git("rev-parse main^{tree}").succeeds();
        let commit =
            format!("tree {tree}\nauthor A<a@b> 1 +0000\ncommitter A <a@b> 1 +0000\n\nx\n");
        let id = work
            .git_with(
                &[
                    "hash-object",
                    "-w",
                    "-t",
                    "commit",
                    "--stdin",
                    "--literally",
                ],
                commit.as_bytes(),
            )
            .succeeds();
        let push = bare.client_of(&work, &format!("push RECEIVE ORIGIN {id}:refs/heads/odd"));
        if accepted {
            push.succeeds();
        } else {
            push.fails_with("missingSpaceBeforeEmail");
        }
    }
}

/// Pushes faults to a folder with these keys: what our program, or git's, says of them.
fn says_of_faults(keys: &[(&str, &str)], receive: &str) -> Vec<String> {
    let bare = Bare::new("sha1").with_history();
    let work = bare.beside("work");
    let tree = work.git("rev-parse main^{tree}").succeeds();
    let hash = |kind: &str, text: &str| {
        let arguments = ["hash-object", "-w", "-t", kind, "--stdin", "--literally"];
        work.git_with(&arguments, text.as_bytes()).succeeds()
    };
    let person = "A <a@b> 1 +0000";
    let commit = format!("tree {tree}\nauthor A<a@b> 1 +0000\ncommitter {person}\n\nx\n");
    let commit = hash("commit", &commit);
    let tag = hash(
        "tag",
        &format!("object {commit}\ntype commit\ntag odd\nx y\n\nx\n"),
    );
    work.git_with(&["update-ref", "refs/tags/odd", &tag], b"")
        .succeeds();
    let list = bare.path().join("skipped");
    fs::write(&list, format!("# known\n\n  {commit} # old\n{tag}\n")).unwrap();
    for (key, value) in keys {
        bare.sets(key, value);
    }
    let push = bare.client_of(&work, &format!("push {receive} ORIGIN odd"));
    let said = push.everything();
    let mut words = Vec::new();
    for fault in [
        "missingSpaceBeforeEmail",
        "missingTaggerEntry",
        "extraHeaderEntry",
    ] {
        let mut lines = said.lines();
        if let Some(line) = lines.find(|line| line.contains(&format!(": {fault}: "))) {
            let object = if line.contains(&tag) { "tag" } else { "commit" };
            let is_warning = line.contains("warning: object");
            let word = if is_warning { "warning" } else { "error" };
            words.push(format!("{word} {object} {fault}"));
        }
    }
    words.push(format!("taken: {}", push.succeeded()));
    words
}

#[test]
fn faults_that_pass_are_told_and_those_on_a_list_are_not() {
    let strict = ("receive.fsckObjects", "true");
    for (keys, said) in [
        (&[][..], &["taken: true"][..]),
        (
            &[strict, ("receive.fsck.missingSpaceBeforeEmail", "warn")],
            &[
                "warning commit missingSpaceBeforeEmail",
                "warning tag missingTaggerEntry",
                "taken: true",
            ],
        ),
        (
            &[
                strict,
                ("receive.fsck.missingSpaceBeforeEmail", "ignore"),
                ("receive.fsck.missingTaggerEntry", "ignore"),
                ("receive.fsck.extraHeaderEntry", "warn"),
                ("receive.fsck.badRefName", "ignore"),
            ],
            &["warning tag extraHeaderEntry", "taken: true"],
        ),
        (
            &[strict, ("receive.fsck.skipList", "skipped")],
            &["taken: true"],
        ),
        // Those keys are for `git fsck` alone.
        (
            &[
                strict,
                ("fsck.skipList", "skipped"),
                ("fsck.missingSpaceBeforeEmail", "ignore"),
                ("receive.fsck.missingTaggerEntry", "ignore"),
            ],
            &["error commit missingSpaceBeforeEmail", "taken: false"],
        ),
    ] {
        for receive in ["RECEIVE", "--receive-pack=git-receive-pack"] {
            assert_eq!(says_of_faults(keys, receive), said, "{receive} {keys:?}");
        }
    }
}

#[test]
fn settings_of_faults_that_make_no_sense_are_errors() {
    for (key, value, expected) in [
        (
            "receive.fsck.badDate",
            "maybe",
            "Unknown fsck message type: 'maybe'",
        ),
        (
            "receive.fsck.skipList",
            "nowhere",
            "could not open object name list",
        ),
        (
            "receive.fsck.skipList",
            "config",
            "invalid object name: [core]",
        ),
    ] {
        let bare = Bare::new("sha1").with_history();
        bare.sets("receive.fsckObjects", "true");
        bare.sets(key, value);
        bare.client_of(&bare.beside("work"), "push RECEIVE ORIGIN main:x")
            .fails_with(expected);
    }
    let bare = Bare::new("sha1").with_history();
    bare.sets("receive.fsckObjects", "true");
    bare.sets("receive.fsck.hasDotgit", "ignore");
    bare.sets("receive.fsck.noSuchThing", "ignore");
    let push = bare.client_of(&bare.beside("work"), "push RECEIVE ORIGIN main:x");
    push.succeeds();
    for passed_over in ["hasdotgit", "nosuchthing"] {
        let words = format!("receive.fsck.{passed_over} is passed over");
        assert!(push.stderr().contains(&words), "{}", push.stderr());
    }
}

#[test]
fn a_branch_without_commits_is_shown_as_git_shows_it() {
    for value in ["", "advertise", "allow", "ignore"] {
        let bare = Bare::new("sha1");
        if !value.is_empty() {
            bare.sets("lsrefs.unborn", value);
        }
        let asked = [
            &line("command=ls-refs"),
            &line("object-format=sha1"),
            "0001",
            &line("symrefs"),
            &line("unborn"),
            "0000",
        ]
        .concat();
        let protocol = [("GIT_PROTOCOL", "version=2")];
        let arguments = ["upload-pack", "--stateless-rpc", "origin.git"];
        let ours = bare.program(&arguments, &protocol, asked.as_bytes());
        let mut above = bare.beside("");
        above.environment = vec![("GIT_PROTOCOL".to_owned(), "version=2".to_owned())];
        let theirs = above.git_with(&arguments, asked.as_bytes()).succeeds();
        assert_eq!(ours.succeeds(), theirs, "{value}");
        assert_eq!(theirs.contains("unborn HEAD"), value != "ignore", "{value}");
    }
    let bare = Bare::new("sha1");
    bare.sets("lsrefs.unborn", "perhaps");
    bare.client("ls-remote UPLOAD ORIGIN")
        .fails_with("invalid value for 'lsrefs.unborn': 'perhaps'");
}

/// Somebody pushes to a branch that a worktree has checked out, which does not follow.
#[test]
fn branches_of_worktrees_are_left_alone() {
    let bare = Bare::new("sha1").with_history();
    let work = bare.beside("work");
    bare.origin()
        .git("worktree add -q ../linked side")
        .succeeds();
    for (setting, words) in [
        ("refuse", "branch is currently checked out"),
        ("updateInstead", "could not update the working tree"),
        ("warn", "updating the current branch"),
        ("ignore", "main -> side"),
    ] {
        bare.origin()
            .git(&format!("config receive.denyCurrentBranch {setting}"))
            .succeeds();
        let push = bare.client_of(&work, "push --force RECEIVE ORIGIN main:side");
        if push.succeeded() {
            assert!(push.stderr().contains(words), "{}", push.stderr());
            work.git("push -q --force ../origin.git main~3:side")
                .succeeds();
        } else {
            push.fails_with(words);
        }
        assert_eq!(push.succeeded(), matches!(setting, "warn" | "ignore"));
        // One that nobody has checked out moves in any case, and so does a bare repository's own.
        bare.client_of(&work, "push -q --force RECEIVE ORIGIN main:free main:main")
            .succeeds();
    }
    let refused = "refusing to delete the current branch";
    bare.client_of(&work, "push RECEIVE ORIGIN :side")
        .fails_with(refused);
    work.git("push ../origin.git :side").fails_with(refused);
    bare.origin()
        .git("worktree remove --force ../linked")
        .succeeds();
    bare.client_of(&work, "push -q RECEIVE ORIGIN :side")
        .succeeds();
}

#[test]
fn options_reach_only_those_who_offer_to_take_them() {
    let bare = Bare::new("sha1").with_history();
    let work = bare.beside("work");
    work.git("commit -q --allow-empty -m more").succeeds();
    bare.client_of(&work, "push -o ci.skip RECEIVE ORIGIN main")
        .fails_with("does not support push options");
    bare.sets("receive.advertisePushOptions", "true");
    bare.client_of(&work, "push -o ci.skip RECEIVE ORIGIN main")
        .succeeds();
    bare.sets("receive.advertiseAtomic", "false");
    bare.client_of(&work, "push --atomic RECEIVE ORIGIN main:x")
        .fails_with("does not support --atomic");
}
