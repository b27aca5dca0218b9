//! Hooks of a plain folder: run only if asked for, and then as git runs them.

use std::{fs, os::unix::fs::PermissionsExt as _};

use super::*;

const HOOKS: [&str; 5] = [
    "pre-receive",
    "update",
    "post-receive",
    "post-update",
    "reference-transaction",
];

fn writes_hook(bare: &Bare, name: &str, script: &str) {
    let path = bare.path().join("hooks").join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
}

/// Pushes from the worktree, with our program and hooks.
fn push(bare: &Bare, words: &str) -> Finished {
    let receive = format!("--receive-pack={} receive-pack --hooks", binary().display());
    let url = format!("file://{}", bare.path().display());
    let mut arguments = vec!["push", &receive];
    let (options, refs): (Vec<&str>, Vec<&str>) =
        words.split(' ').partition(|word| word.starts_with('-'));
    arguments.extend(options);
    arguments.push(&url);
    arguments.extend(refs);
    bare.beside("work").git_with(&arguments, b"")
}

/// A repository whose hooks write down what they are told.
fn with_a_diary() -> Bare {
    let bare = Bare::new("sha1").with_history();
    bare.sets("receive.advertisePushOptions", "true");
    for hook in HOOKS {
        let script = format!(
            "{{ echo \"{hook} $*\"; cat; echo \"dir $GIT_DIR options $GIT_PUSH_OPTION_COUNT $GIT_PUSH_OPTION_0\"; \
             echo \"quarantine ${{GIT_QUARANTINE_PATH:+yes}} ${{GIT_OBJECT_DIRECTORY:+yes}}\"; }} >> diary 2>&1 </dev/stdin\n\
             echo \"out of {hook}\"; echo \"err of {hook}\" >&2"
        );
        writes_hook(&bare, hook, &script);
    }
    bare
}

#[test]
fn hooks_run_in_gits_order_with_gits_environment_and_are_heard() {
    let diaries: Vec<_> = [false, true]
        .map(|ours| {
            let bare = with_a_diary();
            let work = bare.beside("work");
            work.git("commit -q --allow-empty -m more").succeeds();
            let words = "-oci.skip main main:refs/heads/new :side";
            let said = if ours {
                push(&bare, words)
            } else {
                work.git("push -o ci.skip ../origin.git main main:refs/heads/new :side")
            };
            said.succeeds();
            // git itself lets the last of them speak to nobody.
            for hook in HOOKS
                .iter()
                .filter(|hook| ours || **hook != "reference-transaction")
            {
                assert!(
                    said.stderr().contains(&format!("remote: out of {hook}")),
                    "{}",
                    said.stderr()
                );
                assert!(
                    said.stderr().contains(&format!("remote: err of {hook}")),
                    "{}",
                    said.stderr()
                );
            }
            let diary = fs::read_to_string(bare.path().join("diary")).unwrap();
            // git aborts a transaction of its own on packed-refs that turns out to be empty.
            let mut entries: Vec<_> = diary.split_inclusive("quarantine  \n").collect();
            entries.retain(|entry| !entry.starts_with("reference-transaction aborted"));
            entries.concat()
        })
        .into();
    assert_eq!(diaries[0], diaries[1], "left git's, right ours");
}

#[test]
fn without_being_asked_for_nothing_of_a_repository_runs() {
    let bare = with_a_diary();
    bare.beside("work")
        .git("commit -q --allow-empty -m more")
        .succeeds();
    let said = bare.client_of(&bare.beside("work"), "push RECEIVE ORIGIN main");
    said.succeeds();
    assert!(
        said.stderr()
            .contains("warning: hook 'pre-receive' is not run here")
    );
    assert!(!bare.path().join("diary").exists());
}

#[test]
fn each_hook_that_declines_is_obeyed() {
    for (hook, script, words, remains) in [
        ("pre-receive", "exit 1", "pre-receive hook declined", ""),
        (
            "update",
            "test \"$1\" = refs/heads/good",
            "hook declined",
            "refs/heads/good",
        ),
        (
            "reference-transaction",
            "test \"$1\" != prepared",
            "failed to update ref",
            "",
        ),
    ] {
        let bare = Bare::new("sha1").with_history();
        writes_hook(&bare, hook, script);
        bare.beside("work")
            .git("commit -q --allow-empty -m more")
            .succeeds();
        push(&bare, "main:refs/heads/good main:refs/heads/bad").fails_with(words);
        let made = bare
            .origin()
            .git("for-each-ref --format=%(refname) refs/heads/good refs/heads/bad")
            .succeeds();
        assert_eq!(made, remains, "{hook}");
        push(&bare, "--atomic main:refs/heads/one main:refs/heads/two").fails_with("");
        bare.origin()
            .git("rev-parse -q --verify refs/heads/one")
            .fails_with("");
        if hook == "pre-receive" {
            let main = bare.beside("work").git("rev-parse main").succeeds();
            bare.origin()
                .git(&format!("cat-file -e {main}"))
                .fails_with("");
        }
        bare.origin().is_sound();
    }
}

#[test]
fn objects_are_seen_in_quarantine_before_they_are_everybodys() {
    let bare = Bare::new("sha1").with_history();
    writes_hook(
        &bare,
        "pre-receive",
        "read old new ref; git cat-file -e $new && git rev-list --objects $new --not --all | wc -l",
    );
    bare.beside("work")
        .git("commit -q --allow-empty -m more")
        .succeeds();
    let said = push(&bare, "main");
    said.succeeds();
    assert!(said.stderr().contains("remote: 1"), "{}", said.stderr());
    bare.sets("receive.unpackLimit", "1");
    bare.beside("work")
        .git("commit -q --allow-empty -m packed")
        .succeeds();
    push(&bare, "main").succeeds();
    bare.origin().is_sound();
}

#[test]
fn proc_receive_takes_the_commands_that_are_its() {
    let bare = Bare::new("sha1").with_history();
    bare.sets("receive.procReceiveRefs", "refs/for");
    let script = r#"
pkt() { printf '%04x%s' $((${#1} + 4)) "$1"; }
len() { dd bs=1 count=4 2>/dev/null; }
read_list() { while :; do n=$(len); [ "$n" = 0000 ] && break; n=$((0x$n - 4)); dd bs=1 count=$n 2>/dev/null | tr '\0' ' '; echo; done; }
read_list > greeting
pkt "version=1"; printf 0000
read_list > commands
echo "proc-receive was here" >&2
while read old new ref; do
  case $ref in
    refs/for/bad) pkt "ng $ref not today" ;;
    refs/for/plain) pkt "ok $ref"; pkt "option fall-through" ;;
    *) pkt "ok $ref"; pkt "option refname refs/changes/1/head"; pkt "option new-oid $new" ;;
  esac
done < commands
printf 0000"#;
    writes_hook(&bare, "proc-receive", script);
    writes_hook(&bare, "post-receive", "cat > told");
    let work = bare.beside("work");
    work.git("commit -q --allow-empty -m more").succeeds();
    let said = push(
        &bare,
        "main:refs/for/main main:refs/for/bad main:refs/for/plain main",
    );
    said.fails_with("not today");
    assert!(
        said.stderr().contains("refs/changes/1/head"),
        "{}",
        said.stderr()
    );
    assert!(
        said.stderr().contains("remote: proc-receive was here"),
        "{}",
        said.stderr()
    );
    let refs = bare
        .origin()
        .git("for-each-ref --format=%(refname) refs/for refs/changes")
        .succeeds();
    assert_eq!(refs, "refs/for/plain");
    let main = work.git("rev-parse main").succeeds();
    assert_eq!(bare.origin().git("rev-parse main").succeeds(), main);
    let told = fs::read_to_string(bare.path().join("told")).unwrap();
    assert!(
        told.contains("refs/changes/1/head") && told.contains("refs/heads/main"),
        "{told}"
    );
    fs::remove_file(bare.path().join("hooks/proc-receive")).unwrap();
    push(&bare, "main~1:refs/for/other").fails_with("fail to run proc-receive hook");
}
