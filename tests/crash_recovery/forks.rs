//! A fork and the deletion of its source, killed at each of their steps: the files that both share stay
//! with whoever is left.

use serde_json::json;

use super::{
    scene::Scene,
    steps::{After, Step, kill_at, killed, step},
};
use crate::support::Via;

/// Asks for a fork of `source`; whether it was made and said so.
fn forks(scene: &Scene, source: &str, path: &str) -> bool {
    let server = scene.server.as_ref().unwrap();
    let (owner, name) = source.split_once('/').unwrap();
    let token = std::fs::read_to_string(scene.path().join("data/admin-token")).unwrap();
    let base = json!({"provider": "code", "owner": owner, "name": name});
    let address = server.addresses.http.unwrap();
    let answer = ureq::post(format!("http://{address}/api/v1/repos?repo={path}"))
        .header("authorization", format!("Bearer {}", token.trim()))
        .send(json!({"base_repo": base}).to_string());
    answer.is_ok_and(|answer| answer.status() == 201)
}

/// Two pushes, and so two packs.
fn novel(scene: &Scene, path: &str) {
    scene.creates(path);
    for number in [1, 2] {
        let commit = scene.commit(number);
        scene.pushes(path, &commit, Via::Http).succeeds();
    }
}

fn is_listed(scene: &Scene, path: &str) -> bool {
    let listed = scene.administrator.admin(&["repo", "list"]).succeeds();
    listed.lines().any(|line| line == path)
}

#[test]
fn a_fork_killed_while_it_is_made_is_there_whole_or_not_at_all() {
    use After::{Either, Nothing};
    let mut steps: Vec<Step> = (1..=4)
        .map(|number| step("linkat", number, "borrowed", Nothing))
        .collect();
    steps.extend([1, 5, 8, 9, 10].map(|number| step("fsync", number, "repositories", Nothing)));
    steps.push(step("pwrite64", 1, "packhorse.redb", Nothing));
    steps.extend([3, 5].map(|number| step("pwrite64", number, "packhorse.redb", Either)));
    steps.push(step("fdatasync", 1, "packhorse.redb", Either));
    let mut scene = Scene::new(3, 0);
    novel(&scene, "admin/novel");
    for (turn, &step) in steps.iter().enumerate() {
        let before = scene.folders();
        let path = format!("admin/copy-{turn}");
        let strace = kill_at(&scene, step);
        assert!(!forks(&scene, "admin/novel", &path), "{step:?}");
        killed(&mut scene, strace, step);
        scene.restarts();
        let made = is_listed(&scene, &path);
        let folders = scene.folders().difference(&before).count();
        assert_eq!(folders, usize::from(made), "{step:?}");
        assert!(!made || step.after == Either, "{step:?}");
        if !made {
            assert!(forks(&scene, "admin/novel", &path), "{step:?}");
        }
        assert_eq!(scene.tip(&path, "main"), Some(scene.commit(2)));
        scene.pushes(&path, &scene.commit(3), Via::Http).succeeds();
        scene.is_whole(&path);
        scene.is_whole("admin/novel");
    }
}

#[test]
fn a_fork_stays_whole_while_the_removal_of_its_source_is_killed() {
    use After::Everything;
    let mut scene = Scene::new(3, 0);
    for number in 1..=8 {
        let step = step("unlinkat", number, "", Everything);
        let (source, copy) = (
            format!("admin/novel-{number}"),
            format!("admin/copy-{number}"),
        );
        novel(&scene, &source);
        let before = scene.folders().len();
        assert!(forks(&scene, &source, &copy));
        // Either side may go first.
        let (goes, stays) = match number % 2 {
            0 => (&source, &copy),
            _ => (&copy, &source),
        };
        let strace = kill_at(&scene, step);
        let removed = scene.administrator.admin(&["repo", "delete", goes]);
        removed.fails_with("");
        killed(&mut scene, strace, step);
        scene.restarts();
        assert!(!is_listed(&scene, goes) && is_listed(&scene, stays));
        assert_eq!(scene.folders().len(), before, "the rest is swept");
        scene.is_whole(stays);
        scene.pushes(stays, &scene.commit(3), Via::Ssh).succeeds();
        scene.is_whole(stays);
    }
}
