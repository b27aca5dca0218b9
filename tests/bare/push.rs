//! Pushes to plain folders, after which stock git finds everything in order.

use std::{fs, os::unix::fs::PermissionsExt as _};

use super::*;

/// A repository with history, and a clone to push from.
fn with_clone(bare: Bare) -> (Bare, Folder) {
    let bare = bare.with_history();
    bare.client("clone -q UPLOAD ORIGIN clone").succeeds();
    let clone = bare.beside("clone");
    (bare, clone)
}

fn commits(clone: &Folder, file: &str, text: &str) {
    fs::write(clone.path.join(file), text).unwrap();
    clone.git("add .").succeeds();
    clone.git("commit -q -m more").succeeds();
}

fn names_below(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn a_small_push_becomes_loose_objects_and_a_large_one_a_pack() {
    for bare in Bare::each() {
        let (bare, clone) = with_clone(bare);
        let packs = || names_below(&bare.path().join("objects/pack")).len();
        let before = packs();
        commits(&clone, "small", "small");
        bare.client_of(&clone, "push -q RECEIVE origin main")
            .succeeds();
        assert_eq!(packs(), before);
        for n in 0..120 {
            fs::write(clone.path.join(format!("many{n}")), format!("{n}")).unwrap();
        }
        commits(&clone, "large", "large");
        clone.git("tag -a -m tagged large").succeeds();
        bare.client_of(&clone, "push -q RECEIVE origin main large")
            .succeeds();
        assert_eq!(packs(), before + 2, "a pack and its index");
        let origin = bare.origin();
        origin.is_sound();
        assert_eq!(
            origin.git("rev-parse main").succeeds(),
            clone.git("rev-parse main").succeeds()
        );
        assert_eq!(
            origin.git("rev-parse large").succeeds(),
            clone.git("rev-parse large").succeeds()
        );
        // Both programs, one repository: stock git goes on where ours ended.
        commits(&clone, "by-git", "by git");
        clone.git("push -q origin main").succeeds();
        commits(&clone, "by-us", "by us");
        bare.client_of(&clone, "push -q RECEIVE origin main")
            .succeeds();
        origin.is_sound();
        let left = names_below(&bare.path().join("objects"));
        assert!(
            !left.iter().any(|name| name.starts_with("tmp_")),
            "{left:?}"
        );
    }
}

#[test]
fn refs_are_made_moved_and_removed_wherever_they_lie() {
    for bare in Bare::each() {
        let (bare, clone) = with_clone(bare);
        let origin = bare.origin();
        origin.git("pack-refs --all").succeeds();
        let push = |words: &str| bare.client_of(&clone, &format!("push RECEIVE origin {words}"));
        push("main:refs/heads/a/b/c").succeeds();
        push("main:refs/heads/a/b").fails_with("failed to update ref");
        push("main:refs/heads/main/below")
            .fails_with("'refs/heads/main' exists; cannot create 'refs/heads/main/below'");
        push(":refs/heads/a/b/c").succeeds();
        push("main:refs/heads/a").succeeds();
        push("main~1:main").fails_with("non-fast-forward");
        push("+main~1:main").succeeds();
        push("main").succeeds();
        push(":side").succeeds();
        push(":v1 :v2").succeeds();
        let gone = push(":refs/heads/nowhere");
        assert!(
            gone.stderr()
                .contains("warning: deleting a non-existent ref"),
            "{}",
            gone.stderr()
        );
        push(":main").fails_with("deletion of the current branch prohibited");
        push("--atomic main:refs/heads/x main:refs/heads/a/y")
            .fails_with("atomic transaction failed");
        let left = origin.git("for-each-ref --format=%(refname)").succeeds();
        assert_eq!(left, "refs/heads/a\nrefs/heads/main");
        origin.is_sound();
        origin
            .git("symbolic-ref refs/heads/alias refs/heads/a")
            .succeeds();
        push("main~2:refs/heads/alias --force").succeeds();
        assert_eq!(
            origin.git("rev-parse a").succeeds(),
            clone.git("rev-parse main~2").succeeds()
        );
        assert_eq!(
            origin.git("symbolic-ref refs/heads/alias").succeeds(),
            "refs/heads/a"
        );
    }
}

#[test]
fn a_namespace_is_a_repository_of_its_own() {
    let (bare, clone) = with_clone(Bare::new("sha1"));
    let program = |name: &str| format!("env GIT_NAMESPACE=team/a {} {name}", binary().display());
    let url = format!("file://{}", bare.path().display());
    let receive = format!("--receive-pack={}", program("receive-pack"));
    clone
        .git_with(&["push", &receive, &url, "main:refs/heads/first"], b"")
        .succeeds();
    let upload = format!("--upload-pack={}", program("upload-pack"));
    let seen = clone
        .git_with(&["ls-remote", &upload, &url], b"")
        .succeeds();
    assert_eq!(seen.lines().count(), 1, "{seen}");
    assert!(seen.ends_with("refs/heads/first"), "{seen}");
    let full = "refs/namespaces/team/refs/namespaces/a/refs/heads/first";
    bare.origin()
        .git(&format!("rev-parse --verify {full}"))
        .succeeds();
    // What lies outside is offered as what is there, without its name.
    let said = bare.program(
        &["receive-pack", "--advertise-refs", "origin.git"],
        &[("GIT_NAMESPACE", "other")],
        b"",
    );
    let said = String::from_utf8(said.bytes()).unwrap();
    assert!(
        said.contains(" .have") && !said.contains("refs/heads"),
        "{said}"
    );
}

#[test]
fn what_is_borrowed_need_not_be_sent() {
    let (bare, clone) = with_clone(Bare::new("sha256"));
    bare.beside("")
        .git("clone -q --bare --shared origin.git fork.git")
        .succeeds();
    let fork = bare.beside("fork.git");
    fork.git("update-ref -d refs/heads/side").succeeds();
    fork.git("pack-refs --all").succeeds();
    let side = bare.origin().git("rev-parse side").succeeds();
    commits(&bare.beside("work"), "new", "new");
    bare.beside("work")
        .git("push -q ../origin.git main:refs/heads/newer")
        .succeeds();
    let newer = bare.origin().git("rev-parse newer").succeeds();
    let said = bare
        .program(
            &["receive-pack", "--http-backend-info-refs", "fork.git"],
            &[],
            b"",
        )
        .bytes();
    let said = String::from_utf8(said).unwrap();
    assert!(said.contains(&format!("{newer} .have")), "{said}");
    let url = format!("file://{}", fork.path.display());
    let push = format!("push -q RECEIVE {url} {side}:refs/heads/again");
    bare.client_of(&clone, &push).succeeds();
    assert_eq!(
        fork.git("count-objects").succeeds(),
        "0 objects, 0 kilobytes"
    );
    fork.is_sound();
}

#[test]
fn a_shallow_clone_pushes_what_the_folder_can_complete() {
    let (bare, _) = with_clone(Bare::new("sha1"));
    bare.client("clone -q --depth=2 UPLOAD ORIGIN shallow")
        .succeeds();
    let shallow = bare.beside("shallow");
    commits(&shallow, "new", "new");
    bare.client_of(&shallow, "push -q RECEIVE origin main")
        .succeeds();
    bare.origin().is_sound();
    // An empty folder has nothing that would complete it.
    bare.beside("")
        .git("init -q --bare -b main empty.git")
        .succeeds();
    let empty = bare.beside("empty.git");
    let push = format!("push RECEIVE file://{} main", empty.path.display());
    bare.client_of(&shallow, &push)
        .fails_with("shallow update not allowed");
    assert!(!empty.path.join("shallow").exists());
    empty.git("config receive.shallowUpdate true").succeeds();
    bare.client_of(&shallow, &push).succeeds();
    assert_eq!(empty.git("rev-list --count main").succeeds(), "3");
    empty.is_sound();
}

/// Attack: an object that nothing leads to lies about without what it names, and a push makes a ref
/// of it without sending anything.
#[test]
fn a_ref_to_what_is_not_whole_is_refused() {
    let bare = Bare::new("sha1").with_history();
    let objects = bare.path().join("objects");
    let nowhere = "1".repeat(40);
    let commit =
        format!("tree {nowhere}\nauthor A <a@b> 1 +0000\ncommitter A <a@b> 1 +0000\n\nx\n");
    let id = bare.origin().git_with(
        &[
            "hash-object",
            "-w",
            "-t",
            "commit",
            "--stdin",
            "--literally",
        ],
        commit.as_bytes(),
    );
    let id = id.succeeds();
    assert!(objects.join(&id[..2]).join(&id[2..]).exists());
    let command = format!("{} {id} refs/heads/x\0report-status\n", "0".repeat(40));
    let mut input = line(&command).into_bytes();
    input.extend_from_slice(b"0000PACK\0\0\0\x02\0\0\0\0");
    let trailer = "029d08823bd8a8eab510ad6ac75c823cfd3ed31e";
    input.extend((0..20).map(|at| u8::from_str_radix(&trailer[2 * at..2 * at + 2], 16).unwrap()));
    let said = bare
        .program(
            &["receive-pack", "--stateless-rpc", "origin.git"],
            &[],
            &input,
        )
        .bytes();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(
        said.contains("ng refs/heads/x missing necessary objects"),
        "{said}"
    );
    bare.origin()
        .git("rev-parse --verify -q refs/heads/x")
        .fails_with("");
}

#[test]
fn logs_and_permissions_are_those_that_the_configuration_asks_for() {
    let (bare, clone) = with_clone(Bare::new("sha1"));
    bare.sets("core.logAllRefUpdates", "true");
    bare.sets("core.sharedRepository", "group");
    let old = clone.git("rev-parse main").succeeds();
    commits(&clone, "new", "new");
    let new = clone.git("rev-parse main").succeeds();
    bare.client_of(
        &clone,
        "push -q RECEIVE origin main main:refs/heads/deep/er main:refs/tags/t",
    )
    .succeeds();
    let log = |name: &str| fs::read_to_string(bare.path().join("logs").join(name));
    let committer = "C O Mitter <committer@example.com> 1700000000 +0000\tpush\n";
    assert_eq!(
        log("refs/heads/main").unwrap(),
        format!("{old} {new} {committer}")
    );
    assert_eq!(log("HEAD").unwrap(), format!("{old} {new} {committer}"));
    assert!(
        log("refs/heads/deep/er")
            .unwrap()
            .starts_with(&"0".repeat(40))
    );
    log("refs/tags/t").unwrap_err();
    let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
    assert_eq!(mode(bare.path().join("refs/heads/main")) & 0o060, 0o060);
    assert_eq!(mode(bare.path().join("refs/heads/deep")) & 0o2070, 0o2070);
    let object = clone.git("rev-parse main:new").succeeds();
    let file = bare
        .path()
        .join("objects")
        .join(&object[..2])
        .join(&object[2..]);
    assert_eq!(mode(file) & 0o777, 0o444);
    bare.client_of(&clone, "push -q RECEIVE origin :refs/heads/deep/er")
        .succeeds();
    log("refs/heads/deep/er").unwrap_err();
}

#[test]
fn many_push_at_once_and_stock_git_among_them() {
    let (bare, clone) = with_clone(Bare::new("sha1"));
    commits(&clone, "new", "new");
    std::thread::scope(|scope| {
        for n in 0..6 {
            let (bare, clone) = (&bare, &clone);
            scope.spawn(move || {
                let words = format!(
                    "push -q RECEIVE origin main~{n}:refs/heads/by-us/{n} main:refs/heads/too{n}"
                );
                bare.client_of(clone, &words).succeeds();
            });
            scope.spawn(move || {
                clone
                    .git(&format!("push -q origin main~{n}:refs/heads/by-git/{n}"))
                    .succeeds();
            });
        }
        scope.spawn(|| bare.origin().git("pack-refs --all").succeeds());
        scope.spawn(|| bare.origin().git("repack -q -a -d").succeeds());
    });
    let origin = bare.origin();
    origin.is_sound();
    let refs = origin
        .git("for-each-ref --format=%(refname) refs/heads/by-us refs/heads/by-git refs/heads/too*")
        .succeeds();
    assert_eq!(refs.lines().count(), 18, "{refs}");
}

/// Locks that somebody left behind.
fn locks_below(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(locks_below(&path));
        } else if path.extension().is_some_and(|end| end == "lock") {
            found.push(path.display().to_string());
        }
    }
    found
}

/// What a push of ours asks of the kernel.
fn pushed_under_strace(bare: &Bare, clone: &Folder, refspec: &str) -> String {
    let log = bare.folder.path().join("strace.log");
    let strace = format!(
        "strace -f -y -s 200 -o {} -e trace=fsync,rename,renameat,renameat2,unlink,unlinkat,write",
        log.display()
    );
    let receive = format!(
        "--receive-pack={strace} {} receive-pack",
        binary().display()
    );
    clone
        .git_with(&["push", "-q", &receive, "origin", refspec], b"")
        .succeeds();
    fs::read_to_string(log).unwrap()
}

/// Where the first line with all these words is.
#[track_caller]
fn first(log: &str, words: &[&str]) -> usize {
    log.lines()
        .position(|line| words.iter().all(|word| line.contains(word)))
        .unwrap_or_else(|| panic!("no {words:?} in\n{log}"))
}

/// A power cut while a ref is removed: were its file gone first, the place that `packed-refs` has for
/// it would come back; were `packed-refs` renamed before it is on disk, all that is in it would be gone.
#[test]
fn a_removed_ref_leaves_packed_refs_first_and_durably() {
    let (bare, clone) = with_clone(Bare::new("sha1"));
    let origin = bare.origin();
    origin.git("pack-refs --all").succeeds();
    origin.git("update-ref refs/heads/side main~1").succeeds();
    let log = pushed_under_strace(&bare, &clone, ":side");
    let first = |words: &[&str]| first(&log, words);
    let written = first(&["fsync(", "packed-refs.lock"]);
    let renamed = first(&["rename", "packed-refs.lock"]);
    let named = first(&["fsync(", "origin.git>"]);
    let removed = first(&["unlink", "refs/heads/side\""]);
    let gone = first(&["fsync(", "origin.git/refs/heads>"]);
    let told = first(&["write(", "ok refs/heads/side"]);
    assert!(
        written < renamed && renamed < named && named < removed && removed < gone && gone < told,
        "{written} {renamed} {named} {removed} {gone} {told}"
    );
    assert!(!origin.refs().contains("side"), "{}", origin.refs());
    origin.is_sound();
}

#[test]
fn refs_are_removed_wherever_they_lie_and_nothing_else_is() {
    let (bare, clone) = with_clone(Bare::new("sha1"));
    let origin = bare.origin();
    let branch = |name: &str| {
        origin
            .git(&format!("update-ref refs/heads/{name} main"))
            .succeeds();
    };
    for name in ["packed", "both", "deep/er/packed", "deep/er/both"] {
        branch(name);
    }
    origin.git("pack-refs --all").succeeds();
    for name in ["both", "deep/er/both", "loose", "deep/loose", "keep"] {
        branch(name);
    }
    clone.git("fetch -q origin").succeeds();
    let before = origin.refs();
    // One that lies elsewhere than the pusher believes stays, and `packed-refs` with it.
    let packed = bare.path().join("packed-refs");
    let text = fs::read(&packed).unwrap();
    let elsewhere = origin.git("rev-parse main~1").succeeds();
    let null = "0".repeat(40);
    for (old, name, answer) in [
        (
            &elsewhere,
            "packed",
            "ng refs/heads/packed failed to delete",
        ),
        (&elsewhere, "both", "ng refs/heads/both failed to delete"),
        (&elsewhere, "loose", "ng refs/heads/loose failed to delete"),
    ] {
        let commands = [
            &line(&format!("{old} {null} refs/heads/{name}\0report-status")),
            "0000",
        ]
        .concat();
        let arguments = ["receive-pack", "--stateless-rpc", "origin.git"];
        let said = bare.program(&arguments, &[], commands.as_bytes()).stdout();
        assert!(said.contains(answer), "{said}");
    }
    assert_eq!(fs::read(&packed).unwrap(), text);
    assert_eq!(origin.refs(), before);
    assert_eq!(locks_below(&bare.path()), [""; 0]);
    bare.client_of(
        &clone,
        "push -q --atomic RECEIVE origin :packed :both :deep/er/packed :deep/er/both :loose \
         :deep/loose :v1 main:new main~1:refs/tags/also",
    )
    .succeeds();
    let gone = ["packed", "both", "loose", "tags/v1"];
    let expected: Vec<&str> = before
        .lines()
        .filter(|line| !gone.iter().any(|name| line.ends_with(name)))
        .collect();
    let after = origin.refs();
    let left: Vec<&str> = after
        .lines()
        .filter(|line| !line.ends_with("/new") && !line.ends_with("/also"))
        .collect();
    assert_eq!(left, expected);
    assert_eq!(after.lines().count(), expected.len() + 2);
    // A folder in the way is gone, so that its name is free; the one of all branches stays.
    assert!(!bare.path().join("refs/heads/deep").exists());
    bare.client_of(&clone, "push -q RECEIVE origin main:deep")
        .succeeds();
    bare.client_of(&clone, "push -q RECEIVE origin :deep :keep :new :side")
        .succeeds();
    assert!(bare.path().join("refs/heads").is_dir());
    origin.is_sound();
}

/// A pusher reads that it is done only after everything was flushed: contents before names, the
/// ref's lock before it becomes the ref.
#[test]
fn what_is_reported_was_flushed() {
    let (bare, clone) = with_clone(Bare::new("sha1"));
    commits(&clone, "new", "new");
    let log = pushed_under_strace(&bare, &clone, "main");
    let first = |words: &[&str]| first(&log, words);
    let locked = first(&["fsync(", "refs/heads/main.lock"]);
    let moved = first(&["rename", "refs/heads/main.lock"]);
    let named = first(&["fsync(", "origin.git/refs/heads>"]);
    let told = first(&["write(", "ok refs/heads/main"]);
    assert!(
        locked < moved && moved < named && named < told,
        "{locked} {moved} {named} {told}"
    );
    let object = clone.git("rev-parse main:new").succeeds();
    let published = first(&[
        "rename",
        "tmp_objdir-incoming-",
        &format!("origin.git/objects/{}/{}", &object[..2], &object[2..]),
    ]);
    let on_disk = first(&["fsync(", "tmp_objdir-incoming-", &object[2..]]);
    let shelf = first(&["fsync(", &format!("origin.git/objects/{}>", &object[..2])]);
    assert!(on_disk < published && published < shelf && shelf < moved);
}
