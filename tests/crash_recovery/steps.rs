//! One push, one creation, one deletion, killed at each of their steps.

use super::scene::Scene;
use crate::support::{Strace, Via};

const REPOSITORY: &str = "admin/novel";

/// What must be there after the crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    /// All as before, no file more.
    Nothing,
    /// All as before, but for a pack that nothing names.
    Pack,
    /// Either all as before or everything done: the commit was under way.
    Either,
    /// Everything done, though nobody was told.
    Everything,
}

/// Where a kill is placed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    /// The call that the kill comes before.
    call: &'static str,
    /// The n-th of a thread.
    number: usize,
    /// What its arguments hold.
    at: &'static str,
    pub(super) after: After,
}

pub(super) const fn step(
    call: &'static str,
    number: usize,
    at: &'static str,
    after: After,
) -> Step {
    Step {
        call,
        number,
        at,
        after,
    }
}

/// Follows the server and kills it at this step of what comes next.
pub(super) fn kill_at(scene: &Scene, step: Step) -> Strace {
    let call = step.call;
    let inject = format!("inject={call}:signal=KILL:when={}", step.number);
    Strace::attach(
        scene.pid(),
        scene.path(),
        &["-e", &format!("trace={call}"), "-e", &inject],
    )
}

/// Follows the server and holds the committer for an hour once it has flushed.
fn hold_after_commit(scene: &Scene) -> Strace {
    Strace::attach(
        scene.pid(),
        scene.path(),
        &[
            "-e",
            "trace=fdatasync",
            "-e",
            "inject=fdatasync:delay_exit=3600000000",
        ],
    )
}

/// Waits for the end of the server and makes sure that it was killed where it should have been.
#[track_caller]
pub(super) fn killed(scene: &mut Scene, strace: Strace, step: Step) {
    let server = scene.server.take().unwrap();
    assert!(!server.ends().success());
    let log = strace.log();
    assert!(log.contains("+++ killed by SIGKILL +++"), "{step:?}\n{log}");
    let call = format!("{}(", step.call);
    let last = log.lines().rfind(|line| line.contains(&call)).unwrap();
    assert!(last.contains(step.at), "{step:?}\n{log}");
}

#[test]
fn a_push_killed_at_any_step_has_happened_whole_or_not_at_all() {
    use After::{Either, Nothing, Pack};
    // A big pack, whose bytes touch the disk as they come, for the writes; a small one for the rest.
    let arriving = [
        step("write", 3, "", Nothing),
        // By then a thread of its own writes what came.
        step("write", 8, "", Nothing),
        step("fsync", 1, "incoming/push-", Nothing),
    ];
    let publishing = [
        step("fsync", 1, "incoming/push-", Nothing),
        step("fsync", 2, "incoming/push-", Nothing),
        step("renameat", 1, "incoming/push-", Nothing),
        step("renameat", 2, "incoming/push-", Nothing),
        step("fsync", 3, "objects/pack>", Pack),
        step("pwrite64", 1, "packhorse.redb", Pack),
        step("pwrite64", 2, "packhorse.redb", Either),
        step("pwrite64", 4, "packhorse.redb", Either),
        step("pwrite64", 6, "packhorse.redb", Either),
        step("fdatasync", 1, "packhorse.redb", Either),
    ];
    let mut scene = Scene::new(2 * arriving.len() + publishing.len(), arriving.len());
    scene.creates(REPOSITORY);
    scene
        .pushes(REPOSITORY, &scene.commit(1), Via::Http)
        .succeeds();
    let bigs = (2..).step_by(2).zip(arriving);
    let smalls = (2 * arriving.len() + 1..).zip(publishing);
    for (turn, (next, step)) in bigs.chain(smalls).enumerate() {
        let old = scene.tip(REPOSITORY, "main");
        let packs = scene.packs();
        let via = Via::BOTH[turn % 2];
        let strace = kill_at(&scene, step);
        let commit = scene.commit(next);
        scene.pushes(REPOSITORY, &commit, via).fails_with("");
        killed(&mut scene, strace, step);
        scene.restarts();
        let tip = scene.tip(REPOSITORY, "main");
        match step.after {
            Nothing | Pack => assert_eq!(tip, old, "{step:?}"),
            _ => assert!(
                tip == old || tip.as_deref() == Some(&commit),
                "{step:?}: {tip:?}"
            ),
        }
        // Opened again, the repository is rid of what the killed push left.
        scene.pushes(REPOSITORY, &commit, via).succeeds();
        assert_eq!(scene.tip(REPOSITORY, "main"), Some(commit));
        let left = scene.packs().difference(&packs).count();
        let most = if step.after == Nothing { 1 } else { 2 };
        assert!((1..=most).contains(&left), "{step:?}: {left} packs");
    }
    scene.is_whole(REPOSITORY);
}

#[test]
fn a_push_that_is_committed_stays_though_nobody_was_told() {
    let mut scene = Scene::new(2, 0);
    scene.creates(REPOSITORY);
    for (number, via) in (1..).zip(Via::BOTH) {
        let strace = hold_after_commit(&scene);
        let commit = scene.commit(number);
        std::thread::scope(|scope| {
            let push = scope.spawn(|| scene.pushes(REPOSITORY, &commit, via));
            strace.shows(&["fdatasync", "packhorse.redb", "= 0"]);
            scene.kill();
            // It holds a thread, which would not die before it is let go.
            drop(strace);
            push.join().unwrap().fails_with("");
        });
        scene.server = None;
        scene.restarts();
        assert_eq!(scene.tip(REPOSITORY, "main"), Some(commit));
        scene.is_whole(REPOSITORY);
        assert_eq!(scene.packs().len(), number);
    }
}

#[test]
fn a_repository_killed_while_it_is_made_is_there_whole_or_not_at_all() {
    use After::{Either, Nothing};
    let mut steps: Vec<Step> = (1..=6)
        .map(|number| step("mkdir", number, "repositories/", Nothing))
        .collect();
    steps.extend((1..=7).map(|number| step("fsync", number, "repositories", Nothing)));
    steps.push(step("pwrite64", 1, "packhorse.redb", Nothing));
    steps.extend([3, 5].map(|number| step("pwrite64", number, "packhorse.redb", Either)));
    steps.push(step("fdatasync", 1, "packhorse.redb", Either));
    let mut scene = Scene::new(1, 0);
    // The folder of all repositories and the administrator's namespace exist.
    scene.creates("admin/first");
    for (turn, &step) in steps.iter().enumerate() {
        let before = scene.folders();
        let path = format!("admin/novel-{turn}");
        let strace = kill_at(&scene, step);
        scene
            .administrator
            .admin(&["repo", "create", &path])
            .fails_with("");
        killed(&mut scene, strace, step);
        scene.restarts();
        let listed = scene.administrator.admin(&["repo", "list"]).succeeds();
        let made = listed.lines().any(|line| line == path);
        let folders = scene.folders().difference(&before).count();
        assert_eq!(folders, usize::from(made), "{step:?}\n{listed}");
        assert!(!made || step.after == Either, "{step:?}\n{listed}");
        if !made {
            scene.creates(&path);
        }
        scene.pushes(&path, &scene.commit(1), Via::Http).succeeds();
        scene.is_whole(&path);
    }
}

#[test]
fn a_repository_killed_while_it_is_removed_is_there_whole_or_not_at_all() {
    use After::{Either, Everything, Nothing};
    let mut steps = vec![step("pwrite64", 1, "packhorse.redb", Nothing)];
    steps.extend([3, 5].map(|number| step("pwrite64", number, "packhorse.redb", Either)));
    steps.push(step("fdatasync", 1, "packhorse.redb", Either));
    steps.extend((1..=6).map(|number| step("unlinkat", number, "", Everything)));
    let mut scene = Scene::new(1, 0);
    scene.creates("admin/first");
    for (turn, &step) in steps.iter().enumerate() {
        let path = format!("admin/novel-{turn}");
        let before = scene.folders();
        scene.creates(&path);
        scene.pushes(&path, &scene.commit(1), Via::Http).succeeds();
        let strace = kill_at(&scene, step);
        scene
            .administrator
            .admin(&["repo", "delete", &path])
            .fails_with("");
        killed(&mut scene, strace, step);
        scene.restarts();
        let listed = scene.administrator.admin(&["repo", "list"]).succeeds();
        let there = listed.lines().any(|line| line == path);
        let folders = scene.folders().difference(&before).count();
        assert_eq!(folders, usize::from(there), "{step:?}\n{listed}");
        match step.after {
            Nothing => assert!(there, "{step:?}"),
            Everything => assert!(!there, "{step:?}"),
            _ => {}
        }
        if there {
            scene.is_whole(&path);
            scene
                .administrator
                .admin(&["repo", "delete", &path])
                .succeeds();
        }
    }
}
