//! The remotes of one repository: its own, that of its ephemeral branches, the one to import into.

use packhorse::config::Wants;
use serde_json::json;

use crate::support::{Remote, Server, User, Via, WorkingCopy, claims, issuer};

const PLAIN_MAIN: &str = "refs/heads/main";

/// A repository with a branch `main` and its ephemeral remote, which is `short` in the working copy; that
/// speaks this version of the protocol.
fn novel(alice: &User<'_>, via: Via, version: &str) -> (Remote, Remote, WorkingCopy) {
    let plain = alice.creates_repository(&format!("novel-{via:?}-{version}"));
    let ephemeral = Remote::new(&format!("{}+ephemeral", plain.path));
    let copy = alice.clones(&plain, via);
    copy.git_with(&["config", "protocol.version", version], b"")
        .succeeds();
    copy.git("switch --quiet -c main").stderr();
    copy.commits("chapter-1.txt", "It was a dark and stormy night.\n");
    copy.git("push --quiet origin main").succeeds();
    let url = alice.url(&ephemeral, via);
    copy.git_with(&["remote", "add", "short", &url], b"")
        .succeeds();
    (plain, ephemeral, copy)
}

#[test]
fn ephemeral_branches_have_a_remote_of_their_own_over_the_same_objects() {
    let server = Server::start();
    let alice = server.user("alice");
    for via in Via::BOTH {
        for version in ["0", "2"] {
            let (plain, ephemeral, copy) = novel(&alice, via, version);
            assert_eq!(copy.git("ls-remote short").succeeds(), "");
            let draft = copy.commits("draft.txt", "Suddenly a shot rang out.\n");
            copy.git("push --quiet short HEAD:refs/heads/main HEAD:refs/heads/draft HEAD~1:refs/tags/start")
                .succeeds();
            let listed = copy.git("ls-remote short").succeeds();
            let start = copy.git("rev-parse HEAD~1").succeeds();
            assert_eq!(
                listed,
                format!(
                    "{draft}\tHEAD\n{draft}\trefs/heads/draft\n{draft}\trefs/heads/main\n{start}\trefs/tags/start"
                )
            );
            let ordinary = copy.git("ls-remote origin").succeeds();
            assert_eq!(ordinary, format!("{start}\tHEAD\n{start}\t{PLAIN_MAIN}"));
            let asked = copy.git_with(&["ls-remote", "origin", "refs/namespaces/*"], b"");
            assert_eq!(asked.succeeds(), "");

            let clone = alice.clones(&ephemeral, via);
            assert_eq!(clone.head(), draft);
            assert_eq!(clone.reads("draft.txt"), "Suddenly a shot rang out.\n");
            clone.git("push --quiet origin :draft").succeeds();
            // The default branch of the repository is none that its ephemeral side must keep.
            clone.git("push --quiet origin :main").succeeds();
            assert_eq!(
                copy.git("ls-remote short").succeeds(),
                format!("{start}\trefs/tags/start")
            );
            assert_eq!(alice.clones(&plain, via).head(), start);
        }
    }
}

/// Somebody learns the id of a commit that lies on an ephemeral branch only, say from a log, and asks
/// the ordinary remote for it; or pushes there by the full name of the ephemeral branch.
#[test]
fn what_one_remote_does_not_show_can_not_be_had_or_moved_through_it() {
    let server = Server::start_with(|settings| settings.fetch.wants = Wants::Reachable);
    let alice = server.user("alice");
    for via in Via::BOTH {
        for version in ["0", "2"] {
            let (plain, ephemeral, copy) = novel(&alice, via, version);
            let shared = copy.head();
            let draft = copy.commits("draft.txt", "draft\n");
            copy.git("push --quiet short HEAD:refs/heads/draft")
                .succeeds();
            copy.git("reset --quiet --hard HEAD~1").succeeds();
            let later = copy.commits("chapter-2.txt", "later\n");
            copy.git("push --quiet origin main").succeeds();
            let fresh = WorkingCopy(alice.new_folder());
            fresh.git("init --quiet .").succeeds();
            fresh
                .git_with(&["config", "protocol.version", version], b"")
                .succeeds();
            let fetch = |remote: &Remote, id: &str| {
                fresh.git_with(&["fetch", "--quiet", &alice.url(remote, via), id], b"")
            };
            fetch(&plain, &draft).fails_with("not our ref");
            fetch(&ephemeral, &later).fails_with("not our ref");
            fetch(&plain, &shared).succeeds();
            fetch(&ephemeral, &shared).succeeds();
            fetch(&ephemeral, &draft).succeeds();

            let hidden = "HEAD:refs/namespaces/ephemeral/refs/heads/draft";
            for remote in ["origin", "short"] {
                copy.git_with(&["push", "--force", remote, hidden], b"")
                    .fails_with("refs below refs/namespaces/ can't be pushed");
            }
            assert!(copy.git("ls-remote short").succeeds().contains(&draft));
        }
    }
}

#[test]
fn the_import_remote_takes_pushes_and_refuses_fetches() {
    let server = Server::start();
    let alice = server.user("alice");
    for via in Via::BOTH {
        let (plain, _, copy) = novel(&alice, via, "2");
        let import = Remote::new(&format!("{}+import", plain.path));
        let imported = copy.commits("chapter-2.txt", "Imported.\n");
        let url = alice.url(&import, via);
        copy.git_with(&["push", "--quiet", &url, "main"], b"")
            .succeeds();
        assert_eq!(alice.clones(&plain, via).head(), imported);
        let (_, refused) = alice.tries_to_clone(&import, via, &[]);
        refused.fails_with("takes pushes only");
        let absent = Remote::new("alice/nowhere+import");
        let (_, refused) = alice.tries_to_clone(&absent, via, &[]);
        refused.fails_with("repository not found");
    }
}

#[test]
fn a_jwt_for_a_repository_opens_its_remotes_and_its_policy_holds_for_ephemeral_branches() {
    let server = Server::start();
    let alice = server.user("alice");
    issuer(&server, "acme");
    server.repository("acme/team/novel");
    let ephemeral = Remote::new("team/novel+ephemeral");
    let writer = alice.with_jwt(&claims("team/novel", &["git:write"]));
    let copy = writer.clones(&Remote::new("team/novel"), Via::Http);
    copy.git("switch --quiet -c main").stderr();
    copy.commits("one", "1\n");
    let push = |holder: &User<'_>, refspec: &str| {
        copy.git_with(&["push", &holder.url(&ephemeral, Via::Http), refspec], b"")
    };
    push(&writer, "main").succeeds();
    let other = alice.with_jwt(&claims("team/other", &["git:write"]));
    push(&other, "main").fails_with("403");
    let reader = alice.with_jwt(&claims("team/novel", &["git:read"]));
    push(&reader, "main:again").fails_with("403");
    reader.clones(&ephemeral, Via::Http);
    let mut guarded = claims("team/novel", &["git:write"]);
    guarded["refs"] = json!([
        ["main", ["no-push"]],
        ["refs/heads/kept/*", ["no-force-push"]]
    ]);
    let guarded = alice.with_jwt(&guarded);
    push(&guarded, "main:kept/a").succeeds();
    copy.commits("two", "2\n");
    push(&guarded, "main").fails_with("denied by policy");
    push(&guarded, "main:kept/a").succeeds();
    push(&guarded, "+main~1:kept/a").fails_with("denied by policy");

    // Strangers are asked who they are, whether there is such a remote or not.
    for path in [
        "acme/team/novel+ephemeral",
        "acme/team/novel+import",
        "acme/none+ephemeral",
    ] {
        let url = format!(
            "{}/{path}.git/info/refs?service=git-upload-pack",
            server.url()
        );
        let refused = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .build()
            .new_agent()
            .get(&url)
            .call()
            .unwrap();
        assert_eq!(refused.status(), 401, "{path}");
        let asks = refused.headers()["www-authenticate"].to_str().unwrap();
        assert!(asks.starts_with("Basic realm="), "{asks}");
    }
}
