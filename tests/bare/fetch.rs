//! Clones and fetches from plain folders, held against what stock git serves of the same folder.

use super::*;

/// What stock git's own `upload-pack` says to the same input.
fn by_git(bare: &Bare, arguments: &[&str], protocol: &str, input: &[u8]) -> Vec<u8> {
    let mut folder = bare.beside("");
    folder.environment = vec![("GIT_PROTOCOL".to_owned(), protocol.to_owned())];
    folder.git_with(arguments, input).bytes()
}

/// An advertisement without the capabilities, which tell one server from the other, and lengths.
fn refs_only(advertisement: &[u8]) -> Vec<String> {
    let text = String::from_utf8_lossy(advertisement).into_owned();
    text.lines()
        .map(|line| {
            line.split('\0')
                .next()
                .unwrap()
                .get(4..)
                .unwrap()
                .to_owned()
        })
        .collect()
}

#[test]
fn a_clone_has_every_object_in_every_version_of_the_protocol() {
    for bare in Bare::each() {
        let bare = bare.with_history();
        for version in 0..=2 {
            let name = format!("clone{version}");
            let command =
                format!("-c protocol.version={version} clone -q --mirror UPLOAD ORIGIN {name}");
            bare.client(&command).succeeds();
            let clone = bare.beside(&name);
            assert_eq!(clone.refs(), bare.origin().refs());
            assert_eq!(clone.objects(), bare.origin().objects());
            clone.is_sound();
        }
    }
}

#[test]
fn a_fetch_brings_what_is_new_and_no_more() {
    for bare in Bare::each() {
        let bare = bare.with_history();
        for version in 0..=2 {
            let clone = bare.beside(&format!("clone{version}"));
            let name = clone.path.file_name().unwrap().to_str().unwrap();
            bare.client(&format!("clone -q UPLOAD ORIGIN {name}"))
                .succeeds();
            let work = bare.beside("work");
            let message = format!("more{version}");
            work.git(&format!("commit -q --allow-empty -m {message}"))
                .succeeds();
            work.git("push -q ../origin.git main").succeeds();
            let before = clone.objects().len();
            let command = format!("-c protocol.version={version} fetch -q UPLOAD origin");
            bare.client_of(&clone, &command).succeeds();
            assert_eq!(clone.objects().len(), before + 1);
            clone.is_sound();
        }
    }
}

#[test]
fn shallow_and_partial_clones_get_what_they_ask_for() {
    for bare in Bare::each() {
        let bare = bare.with_history();
        bare.sets("uploadpack.allowFilter", "true");
        for version in 0..=2 {
            let version = format!("-c protocol.version={version}");
            let shallow = bare.beside("shallow");
            bare.client(&format!(
                "{version} clone -q --depth=2 UPLOAD ORIGIN shallow"
            ))
            .succeeds();
            assert_eq!(shallow.git("rev-list --count main").succeeds(), "2");
            bare.client_of(
                &shallow,
                &format!("{version} fetch -q --deepen=3 UPLOAD origin"),
            )
            .succeeds();
            assert_eq!(shallow.git("rev-list --count main").succeeds(), "5");
            bare.client_of(
                &shallow,
                &format!("{version} fetch -q --shallow-exclude=v1 UPLOAD origin"),
            )
            .succeeds();
            assert_eq!(shallow.git("rev-list --count main").succeeds(), "4");
            bare.client_of(
                &shallow,
                &format!("{version} fetch -q --unshallow UPLOAD origin"),
            )
            .succeeds();
            assert_eq!(shallow.git("rev-list --count main").succeeds(), "12");
            shallow.is_sound();
            let partial = bare.beside("partial");
            bare.client(&format!(
                "{version} clone -q --no-checkout --filter=blob:none UPLOAD ORIGIN partial"
            ))
            .succeeds();
            let missing = partial
                .git("rev-list --objects --all --missing=print")
                .succeeds();
            assert!(missing.lines().any(|line| line.starts_with('?')));
            let program = format!("{} upload-pack", binary().display());
            partial
                .git_with(&["config", "remote.origin.uploadpack", &program], b"")
                .succeeds();
            partial
                .git("-c protocol.version=2 checkout -q main")
                .succeeds();
            let story = fs::read(partial.path.join("story.txt")).unwrap();
            assert_eq!(
                story,
                fs::read(bare.beside("work").path.join("story.txt")).unwrap()
            );
            fs::remove_dir_all(&partial.path).unwrap();
            fs::remove_dir_all(&shallow.path).unwrap();
        }
    }
}

#[test]
fn a_shallow_folder_tells_where_it_ends() {
    for bare in Bare::each() {
        let bare = bare.with_history();
        let whole = bare.beside("whole.git");
        fs::rename(bare.path(), &whole.path).unwrap();
        let url = format!("file://{}", whole.path.display());
        bare.beside("")
            .git(&format!("clone -q --bare --depth=3 {url} origin.git"))
            .succeeds();
        for version in 0..=2 {
            let name = format!("clone{version}");
            bare.client(&format!(
                "-c protocol.version={version} clone -q UPLOAD ORIGIN {name}"
            ))
            .succeeds();
            let clone = bare.beside(&name);
            assert_eq!(clone.git("rev-list --count main").succeeds(), "3");
            clone.is_sound();
            let name = format!("flat{version}");
            bare.client(&format!(
                "-c protocol.version={version} clone -q --depth=1 UPLOAD ORIGIN {name}"
            ))
            .succeeds();
            assert_eq!(
                bare.beside(&name).git("rev-list --count main").succeeds(),
                "1"
            );
        }
    }
}

#[test]
fn what_is_borrowed_from_another_folder_is_served() {
    let bare = Bare::new("sha1").with_history();
    let lender = bare.beside("lender.git");
    fs::rename(bare.path(), &lender.path).unwrap();
    bare.beside("")
        .git("clone -q --bare --shared lender.git origin.git")
        .succeeds();
    assert_eq!(
        bare.origin().git("count-objects").succeeds(),
        "0 objects, 0 kilobytes"
    );
    bare.client("clone -q --mirror UPLOAD ORIGIN clone")
        .succeeds();
    assert_eq!(bare.beside("clone").objects(), lender.objects());
    // The environment lends, too.
    fs::remove_file(bare.path().join("objects/info/alternates")).unwrap();
    let objects = lender.path.join("objects");
    let variables = [("GIT_ALTERNATE_OBJECT_DIRECTORIES", text(&objects))];
    let said = bare
        .program(
            &["upload-pack", "--advertise-refs", "origin.git"],
            &variables,
            b"",
        )
        .bytes();
    assert!(String::from_utf8_lossy(&said).contains("refs/heads/side"));
}

#[test]
fn the_advertisement_is_that_of_git() {
    for bare in Bare::each() {
        let bare = bare.with_history();
        let origin = bare.origin();
        origin
            .git("symbolic-ref refs/heads/alias refs/heads/side")
            .succeeds();
        origin.git("update-ref refs/heads/-odd main").succeeds();
        for (option, protocol) in [
            ("--http-backend-info-refs", "version=0"),
            ("--advertise-refs", "version=1"),
        ] {
            let arguments = ["upload-pack", option, "origin.git"];
            let ours = bare
                .program(&arguments, &[("GIT_PROTOCOL", protocol)], b"")
                .bytes();
            let theirs = by_git(&bare, &arguments, protocol, b"");
            assert_eq!(refs_only(&ours), refs_only(&theirs), "{protocol}");
        }
        let format = line(&format!("object-format={}\n", bare.format));
        let asked = format!(
            "{}{format}0001{}{}0000",
            line("command=ls-refs\n"),
            line("peel\n"),
            line("symrefs\n")
        );
        let arguments = ["upload-pack", "--stateless-rpc", "origin.git"];
        let ours = bare.program(
            &arguments,
            &[("GIT_PROTOCOL", "version=2")],
            asked.as_bytes(),
        );
        let theirs = by_git(&bare, &arguments, "version=2", asked.as_bytes());
        assert_eq!(String::from_utf8(ours.bytes()), String::from_utf8(theirs));
    }
}

#[test]
fn what_is_no_repository_is_refused_in_gits_words() {
    let bare = Bare::new("sha1");
    let refused = |arguments: &[&str], words: &str| {
        let ours = bare.program(arguments, &[], b"").fails_with(words);
        assert!(ours.contains("exit status: 128"), "{ours}");
    };
    refused(
        &["upload-pack", "nowhere"],
        "fatal: 'nowhere' does not appear to be a git repository",
    );
    refused(
        &["upload-pack", "--strict", "origin"],
        "does not appear to be a git repository",
    );
    bare.beside("").git("init -q worktree").succeeds();
    refused(
        &["upload-pack", "--strict", "worktree"],
        "does not appear to be a git repository",
    );
    for (option, path) in [
        ("--no-strict", "origin"),
        ("--no-strict", "worktree"),
        ("--strict", "origin.git"),
    ] {
        bare.program(&["upload-pack", option, path], &[], b"0000")
            .succeeds();
    }
    let set = |key: &str, value: &str| {
        bare.origin()
            .git_with(&["config", "-f", "config", key, value], b"")
            .succeeds();
    };
    for (key, value, words) in [
        (
            "extensions.objectFormat",
            "sha256",
            "repo version is 0, but v1-only extension found",
        ),
        (
            "core.repositoryFormatVersion",
            "7",
            "Expected git repo version <= 1, found 7",
        ),
        ("core.repositoryFormatVersion", "1", ""),
        ("extensions.refStorage", "reftable", "reftable"),
        ("extensions.refStorage", "files", ""),
        (
            "extensions.fromTheFuture",
            "x",
            "unknown repository extension found:\n\tfromthefuture",
        ),
    ] {
        set(key, value);
        if !words.is_empty() {
            refused(&["upload-pack", "origin.git"], words);
        }
    }
}

/// Attack: somebody who shares the machine leaves a repository whose configuration does harm.
#[test]
fn a_folder_of_somebody_else_is_not_even_looked_into() {
    let bare = Bare::new("sha1").with_history();
    let owner = std::os::unix::fs::chown(bare.path(), Some(65_534), None);
    if owner.is_err() {
        // Only root gives folders away.
        return;
    }
    let words = "detected dubious ownership in repository at 'origin.git'";
    bare.program(&["upload-pack", "origin.git"], &[], b"0000")
        .fails_with(words);
    let own = bare.path().join("config");
    let safe = |value: &str| {
        bare.beside("")
            .git_with(
                &[
                    "config",
                    "-f",
                    "gitconfig",
                    "--add",
                    "safe.directory",
                    value,
                ],
                b"",
            )
            .succeeds();
    };
    bare.beside("")
        .git_with(&["config", "-f", text(&own), "safe.directory", "*"], b"")
        .succeeds();
    bare.program(&["upload-pack", "origin.git"], &[], b"0000")
        .fails_with(words);
    safe(text(&bare.path()));
    bare.program(&["upload-pack", "origin.git"], &[], b"0000")
        .succeeds();
    safe("");
    bare.program(&["upload-pack", "origin.git"], &[], b"0000")
        .fails_with(words);
    safe(&format!("{}/*", bare.folder.path().display()));
    bare.program(&["upload-pack", "origin.git"], &[], b"0000")
        .succeeds();
}

#[test]
fn a_silent_client_is_left_when_its_time_is_over() {
    let bare = Bare::new("sha1").with_history();
    let mut command = clean_command(binary(), bare.folder.path());
    command
        .args(["upload-pack", "--timeout=1", "origin.git"])
        .current_dir(bare.folder.path())
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::null());
    let mut child = command.spawn().unwrap();
    let silent = child.stdin.take();
    assert_eq!(child.wait().unwrap().code(), Some(128));
    drop(silent);
}
