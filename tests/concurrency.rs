//! Many clients at once: everything finishes whole, and too many are told to wait.

use std::thread;

use crate::support::{Remote, Server, Via, WorkingCopy};

#[test]
fn clones_and_pushes_at_once_finish_whole() {
    let server = Server::start();
    let alice = server.user("alice");
    let remotes: Vec<Remote> = (0..4)
        .map(|number| alice.creates_repository(&format!("novel-{number}")))
        .collect();
    for remote in &remotes {
        let copy = alice.clones(remote, Via::Http);
        copy.git("switch --quiet -c main").stderr();
        for number in 0..5 {
            copy.commits(&format!("file-{number}"), &"text\n".repeat(500 + number));
        }
        copy.git("push --quiet origin main").succeeds();
    }
    thread::scope(|scope| {
        for number in 0..8 {
            for remote in &remotes {
                let alice = &alice;
                scope.spawn(move || {
                    let via = Via::BOTH[number % 2];
                    let copy: WorkingCopy = alice.clones(remote, via);
                    copy.is_sound();
                    copy.git(&format!("switch --quiet -c branch-{number}"))
                        .succeeds();
                    copy.commits(&format!("new-{number}"), "new\n");
                    copy.git(&format!("push --quiet origin branch-{number}"))
                        .succeeds();
                });
            }
        }
    });
    for remote in &remotes {
        let all = alice.clones_with(remote, Via::Http, &["--mirror"]);
        all.is_sound();
        assert_eq!(all.refs().lines().count(), 9);
    }
}

#[test]
fn pushes_to_one_branch_are_one_winner_at_a_time() {
    let server = Server::start();
    let alice = server.user("alice");
    let remote = alice.creates_repository("novel");
    let first = alice.clones(&remote, Via::Http);
    first.git("switch --quiet -c main").stderr();
    first.commits("start", "0\n");
    first.git("push --quiet origin main").succeeds();
    let copies: Vec<_> = (0..6)
        .map(|number| {
            let copy = alice.clones(&remote, Via::BOTH[number % 2]);
            copy.commits(&format!("by-{number}"), "x\n");
            copy
        })
        .collect();
    let winners: usize = thread::scope(|scope| {
        let pushes: Vec<_> = copies
            .iter()
            .map(|copy| scope.spawn(|| copy.git("push origin main").stderr()))
            .collect();
        pushes
            .into_iter()
            .filter(|_| true)
            .map(|push| push.join().unwrap())
            .filter(|said| said.contains("main -> main") && !said.contains("rejected"))
            .count()
    });
    assert_eq!(
        winners, 1,
        "exactly one push may find the branch where its clone left it"
    );
}
