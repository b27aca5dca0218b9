//! Shallow clones: depth, deepening, dates, exclusions, and back to the whole history.

use crate::support::{Remote, Server, User, Via, WorkingCopy};

/// 30 commits a day apart, with a side branch merged in.
fn long_history(user: &User<'_>, via: Via) -> (Remote, WorkingCopy) {
    let remote = user.creates_repository(&format!("long-{via:?}").to_lowercase());
    let source = WorkingCopy(user.new_folder());
    source.git("init --quiet .").succeeds();
    let mut stream = String::new();
    for number in 1..=30u32 {
        let at = 1_700_000_000 + number * 86_400;
        let text = format!("line {number}\n");
        stream += &format!(
            "commit refs/heads/main\nmark :{number}\ncommitter C <c@example.com> {at} +0000\ndata 2\nc\n\
             M 100644 inline file-{}\ndata {}\n{text}\n",
            number % 4,
            text.len(),
        );
    }
    stream += "reset refs/heads/side\nfrom :20\n\n";
    for number in 31..=34u32 {
        let at = 1_700_000_000 + number * 86_400;
        stream += &format!(
            "commit refs/heads/side\nmark :{number}\ncommitter C <c@example.com> {at} +0000\ndata 2\ns\n\
             M 100644 inline side\ndata 3\n{number}\n\n"
        );
    }
    stream += "commit refs/heads/main\nmark :35\ncommitter C <c@example.com> 1703100000 +0000\ndata 2\nm\nmerge :34\n\n";
    stream += "tag v1\nfrom :10\ntagger C <c@example.com> 1703100000 +0000\ndata 2\nt\n\n";
    source
        .git_with(&["fast-import", "--quiet"], stream.as_bytes())
        .succeeds();
    source
        .git_with(&["remote", "add", "origin", &user.url(&remote, via)], b"")
        .succeeds();
    source.git("push --quiet --mirror origin").succeeds();
    (remote, source)
}

/// The same clone made by git from the source itself: the judge of what should arrive.
fn judged(user: &User<'_>, source: &WorkingCopy, flags: &[&str]) -> WorkingCopy {
    let folder = WorkingCopy(user.new_folder());
    let url = format!("file://{}", source.path.display());
    folder
        .git_with(&[&["clone", "--quiet"], flags, &[&url, "."]].concat(), b"")
        .succeeds();
    folder
}

#[track_caller]
fn same(copy: &WorkingCopy, judge: &WorkingCopy, what: &str) {
    let shallow = |copy: &WorkingCopy| {
        let mut lines: Vec<String> = std::fs::read_to_string(copy.path.join(".git/shallow"))
            .unwrap_or_default()
            .lines()
            .map(str::to_owned)
            .collect();
        lines.sort_unstable();
        lines
    };
    assert_eq!(shallow(copy), shallow(judge), "boundary of {what}");
    assert_eq!(copy.objects(), judge.objects(), "objects of {what}");
    copy.is_sound();
}

#[test]
fn every_way_to_cut_a_history_cuts_it_where_git_does() {
    let server = Server::start();
    let alice = server.user("alice");
    for via in Via::BOTH {
        let (remote, source) = long_history(&alice, via);
        let cuts: [&[&str]; 5] = [
            &["--depth", "1"],
            &["--depth", "5"],
            &["--depth", "3", "--no-single-branch"],
            &["--shallow-since", "1701900000"],
            &["--shallow-exclude", "v1"],
        ];
        for cut in cuts {
            for version in ["0", "2"] {
                let protocol = format!("protocol.version={version}");
                let flags = [&["-c", protocol.as_str(), "--quiet"], cut].concat();
                let copy = alice.clones_with(&remote, via, &flags);
                same(
                    &copy,
                    &judged(&alice, &source, cut),
                    &format!("{via:?} v{version} {cut:?}"),
                );
            }
        }
    }
}

#[test]
fn a_shallow_clone_deepens_step_by_step_and_becomes_whole() {
    let server = Server::start();
    let alice = server.user("alice");
    for via in Via::BOTH {
        let (remote, source) = long_history(&alice, via);
        for version in ["0", "2"] {
            let protocol = format!("protocol.version={version}");
            let copy = alice.clones_with(&remote, via, &["-c", &protocol, "--depth", "1"]);
            let judge = judged(&alice, &source, &["--depth", "1"]);
            for step in [
                "--depth 4",
                "--deepen 3",
                "--shallow-since 1701500000",
                "--depth 2",
                "--unshallow",
            ] {
                copy.git(&format!("fetch --quiet {step} origin")).succeeds();
                judge
                    .git(&format!("fetch --quiet {step} origin"))
                    .succeeds();
                same(&copy, &judge, &format!("{via:?} v{version} {step}"));
            }
            assert!(!copy.path.join(".git/shallow").exists());
        }
    }
}

#[test]
fn a_shallow_clone_fetches_and_pushes_what_is_new() {
    let server = Server::start();
    let alice = server.user("alice");
    for via in Via::BOTH {
        let (remote, source) = long_history(&alice, via);
        for version in ["0", "2"] {
            let protocol = format!("protocol.version={version}");
            let copy = alice.clones_with(&remote, via, &["-c", &protocol, "--depth", "2"]);
            let pushed = copy.commits("from-shallow.txt", version);
            copy.git("push --quiet origin HEAD:main").succeeds();
            source.git("fetch --quiet origin").succeeds();
            source.git("switch --quiet main").succeeds();
            source
                .git_with(&["reset", "--quiet", "--hard", &pushed], b"")
                .succeeds();
            source.is_sound();
            source.commits("from-whole.txt", version);
            source.git("push --quiet origin main").succeeds();
            copy.git("pull --quiet origin main").succeeds();
            assert_eq!(copy.head(), source.head());
            copy.is_sound();
        }
    }
}

#[test]
fn a_clone_whose_history_is_cut_can_not_seed_another_repository() {
    let server = Server::start();
    let alice = server.user("alice");
    let (remote, _) = long_history(&alice, Via::Http);
    let cut = alice.clones_with(&remote, Via::Http, &["--depth", "2"]);
    let empty = alice.creates_repository("empty");
    for via in Via::BOTH {
        cut.git_with(&["push", &alice.url(&empty, via), "HEAD:main"], b"")
            .fails_with("(shallow update not allowed)");
        assert_eq!(
            cut.git_with(&["ls-remote", &alice.url(&empty, via)], b"")
                .succeeds(),
            ""
        );
    }
}
