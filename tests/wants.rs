//! What may be wanted by id, and other things a server is configured to let fetches ask for.

use packhorse::config::Wants;

use crate::support::{Remote, Server, User, Via, WorkingCopy};

/// Ids of every standing that a commit can have.
struct Ids {
    tip: String,
    reachable: String,
    removed: String,
}

fn pushed(user: &User<'_>) -> (Remote, Ids) {
    let remote = user.creates_repository("wants");
    let source = user.clones(&remote, Via::Http);
    let reachable = source.commits("a.txt", "one\n");
    let tip = source.commits("a.txt", "two\n");
    source.git("push --quiet origin main").succeeds();
    let removed = source.commits("a.txt", "three\n");
    source.git("push --quiet origin main").succeeds();
    source
        .git("push --quiet --force origin HEAD~1:main")
        .succeeds();
    let ids = Ids {
        tip,
        reachable,
        removed,
    };
    (remote, ids)
}

#[test]
fn what_may_be_wanted_by_id_is_what_the_configuration_says() {
    for (wants, may) in [
        (Wants::Advertised, [true, false, false]),
        (Wants::Tips, [true, false, false]),
        (Wants::Reachable, [true, true, false]),
        (Wants::Any, [true, true, true]),
    ] {
        let server = Server::start_with(|settings| settings.fetch.wants = wants);
        let alice = server.user("alice");
        let (remote, ids) = pushed(&alice);
        let ids = [&ids.tip, &ids.reachable, &ids.removed];
        for via in Via::BOTH {
            for version in ["0", "1", "2"] {
                for (id, may) in ids.iter().zip(may) {
                    let copy = WorkingCopy(alice.new_folder());
                    copy.git("init --quiet .").succeeds();
                    let protocol = format!("protocol.version={version}");
                    let url = alice.url(&remote, via);
                    let fetched =
                        copy.git_with(&["-c", &protocol, "fetch", "--quiet", &url, id], b"");
                    let what = format!("{wants:?} {via:?} v{version} {id}");
                    assert_eq!(fetched.succeeded(), may, "{what}: {}", fetched.stderr());
                    if may {
                        copy.git_with(&["cat-file", "-e", id], b"").succeeds();
                        continue;
                    }
                    // Old versions tell the client beforehand, so that it need not ask.
                    let told = match (version, wants) {
                        ("2", _) => "not our ref",
                        (_, Wants::Advertised) => "not allow request for unadvertised object",
                        _ => "not our ref",
                    };
                    fetched.fails_with(told);
                }
            }
        }
    }
}

#[test]
fn a_whole_answer_is_multiplexed_where_the_server_lets_clients_ask_for_it() {
    for offered in [false, true] {
        let server = Server::start_with(|settings| settings.fetch.sideband_all = offered);
        let alice = server.user("alice");
        let (remote, ids) = pushed(&alice);
        for via in Via::BOTH {
            let mut folder = alice.new_folder();
            let trace = folder.path.join("trace");
            // The client asks for it in git's own tests only.
            folder.environment.extend([
                ("GIT_TEST_SIDEBAND_ALL".to_owned(), "1".to_owned()),
                ("GIT_TRACE_PACKET".to_owned(), trace.display().to_string()),
            ]);
            let copy = WorkingCopy(folder);
            copy.git("init --quiet .").succeeds();
            let url = alice.url(&remote, via);
            for _ in 0..2 {
                copy.git_with(&["fetch", "--quiet", &url, "main"], b"")
                    .succeeds();
            }
            let refused = "1".repeat(40);
            copy.git_with(&["fetch", &url, &refused], b"")
                .fails_with("not our ref");
            assert_eq!(
                copy.git_with(&["rev-parse", &ids.tip], b"").succeeds(),
                ids.tip
            );
            let trace = std::fs::read_to_string(trace).unwrap();
            assert_eq!(trace.contains("> sideband-all"), offered, "{via:?}");
        }
    }
}

#[test]
fn a_ref_wanted_by_name_is_one_that_is_shown() {
    let server = Server::start();
    let alice = server.user("alice");
    let (remote, ids) = pushed(&alice);
    let request = |name: &str| {
        let line = |text: &str| format!("{:04x}{text}", text.len() + 4);
        [
            &line("command=fetch"),
            "0001",
            &line(&format!("want-ref {name}\n")),
            &line("done\n"),
            "0000",
        ]
        .concat()
    };
    let answer = |name: &str| {
        let bearer = format!("Bearer {}", alice.token);
        let mut response = ureq::post(format!("{}/{}/git-upload-pack", server.url(), remote.path))
            .header("Authorization", bearer)
            .header("Git-Protocol", "version=2")
            .header("Content-Type", "application/x-git-upload-pack-request")
            .send(request(name))
            .unwrap();
        let body = response.body_mut().read_to_vec().unwrap();
        String::from_utf8_lossy(&body).into_owned()
    };
    let named = answer("refs/heads/main");
    assert!(
        named.contains(&format!("wanted-refs\n003d{} refs/heads/main\n", ids.tip)),
        "{named}"
    );
    for name in [
        "refs/heads/nowhere",
        "refs/namespaces/other/refs/heads/main",
        "main",
    ] {
        let answer = answer(name);
        assert!(
            answer.contains(&format!("ERR unknown ref {name}")),
            "{answer}"
        );
    }
}
