//! One short story told with every git that is installed: what old clients say is understood, and
//! what they can't say is not needed.
//!
//! `PACKHORSE_TEST_GITS=/path/to/git:…` adds versions to those found where systems have them.

use crate::support::{Git, Remote, Server, User, Via, WorkingCopy};

/// What a version can do; each came with the version in the comment.
struct Skills {
    atomic: bool, // 2.4; before 2.24 the client forgets it over HTTP when it refuses a ref itself
    push_options: bool, // 2.10
    protocols: &'static [&'static str], // 2.18
    filters: bool, // 2.19
    sha256: bool, // 2.29
}

impl Skills {
    fn of(git: &Git) -> Self {
        let since = |minor| git.version >= (2, minor);
        Self {
            atomic: since(24),
            push_options: since(10),
            protocols: if since(18) { &["0", "1", "2"] } else { &["0"] },
            filters: since(19),
            sha256: since(29),
        }
    }
}

/// A repository made by a git that may not know of default branches and `switch`.
fn begun(user: &User<'_>, remote: &Remote, via: Via, format: &str, protocol: &str) -> WorkingCopy {
    let copy = WorkingCopy(user.new_folder());
    match format {
        "sha1" => copy.git("init --quiet .").succeeds(),
        other => copy
            .git(&format!("init --quiet --object-format={other} ."))
            .succeeds(),
    };
    copy.git("symbolic-ref HEAD refs/heads/main").succeeds();
    copy.git(&format!("config protocol.version {protocol}"))
        .succeeds();
    copy.git_with(&["remote", "add", "origin", &user.url(remote, via)], b"")
        .succeeds();
    copy
}

fn tell(user: &User<'_>, skills: &Skills, via: Via, format: &str, protocol: &str, name: &str) {
    let remote = user.creates_repository_with(name, &["--object-format", format]);
    let source = begun(user, &remote, via, format, protocol);
    source.commits("README", "one\n");
    for number in 0..6 {
        source.commits(
            &format!("src/file-{}", number % 3),
            &format!("{number}\n").repeat(50),
        );
    }
    source.git("tag -a -m tag v1 HEAD~2").succeeds();
    source.git("push --quiet origin main v1").succeeds();

    let version = format!("protocol.version={protocol}");
    let configured = ["-c", &version];
    let copy = user.clones_with(&remote, via, &configured);
    assert_eq!(copy.head(), source.head());
    assert_eq!(
        copy.git("rev-parse v1^{}").succeeds(),
        source.git("rev-parse HEAD~2").succeeds()
    );
    copy.is_sound();

    // There and back again, by deltas against what the other side has.
    let pushed = copy.commits("src/file-1", &"1\n".repeat(51));
    copy.git("push --quiet origin main:main HEAD~1:refs/heads/side")
        .succeeds();
    source.git("fetch --quiet origin").succeeds();
    assert_eq!(source.git("rev-parse origin/main").succeeds(), pushed);
    source.is_sound();
    source.commits("README", "two\n");
    let behind = source.git("push origin main");
    behind.fails_with("rejected");
    source.git("push --quiet --force origin main").succeeds();
    copy.git("push --quiet origin :side").succeeds();
    let listed = copy.git("ls-remote origin").succeeds();
    let names: Vec<_> = listed
        .lines()
        .filter_map(|line| line.split('\t').nth(1))
        .collect();
    assert_eq!(
        names,
        ["HEAD", "refs/heads/main", "refs/tags/v1", "refs/tags/v1^{}"]
    );

    let shallow = user.clones_with(&remote, via, &[&configured[..], &["--depth", "1"]].concat());
    assert_eq!(shallow.git("rev-list --count HEAD").succeeds(), "1");
    shallow.git("fetch --quiet --depth 4 origin").succeeds();
    assert_eq!(shallow.git("rev-list --count HEAD").succeeds(), "4");
    shallow.is_sound();
    let next = shallow.commits("README", "three\n");
    shallow
        .git("push --quiet origin HEAD:refs/heads/from-shallow")
        .succeeds();
    shallow.git("fetch --quiet --unshallow origin").succeeds();
    source.git("fetch --quiet origin").succeeds();
    assert_eq!(source.git("rev-parse origin/from-shallow").succeeds(), next);
    source.is_sound();
    shallow.is_sound();

    if skills.atomic {
        let refused = copy.git("push --atomic origin HEAD:refs/heads/new HEAD:main");
        refused.fails_with("main");
        assert!(
            !copy
                .git("ls-remote origin refs/heads/new")
                .succeeds()
                .contains("new")
        );
    }
    if skills.push_options {
        copy.git("push --quiet -o one -o two=2 origin HEAD:refs/heads/with-options")
            .succeeds();
    }
    if skills.filters {
        let flags = [&configured[..], &["--filter=blob:none"]].concat();
        let partial = user.clones_with(&remote, via, &flags);
        assert_eq!(partial.reads("README"), "two\n");
        partial.git("cat-file -p HEAD~3:src/file-0").succeeds();
    }
}

#[test]
fn every_git_that_is_installed_clones_fetches_and_pushes() {
    let server = Server::start();
    let alice = server.user("alice");
    for git in Git::each() {
        let skills = Skills::of(&git);
        let user = alice.with_git(&git);
        let (major, minor) = git.version;
        for via in Via::BOTH {
            for protocol in skills.protocols {
                let name = format!("v{major}-{minor}-{via:?}-{protocol}").to_lowercase();
                tell(&user, &skills, via, "sha1", protocol, &name);
            }
            if skills.sha256 {
                let name = format!("v{major}-{minor}-{via:?}-sha256").to_lowercase();
                tell(&user, &skills, via, "sha256", "2", &name);
            }
        }
    }
}
