//! Kills at random moments while several people push, make and remove repositories.
//!
//! `PACKHORSE_CRASH_RUNS` says how often, `PACKHORSE_CRASH_SEED` repeats the moments of a run.

use std::{
    collections::BTreeSet,
    sync::mpsc,
    thread,
    time::{Duration, SystemTime},
};

use super::scene::Scene;
use crate::support::Via;

/// Runs unless the environment asks for more.
const RUNS: usize = 8;

/// Branches that are pushed to at once, on [`REPOSITORIES`] repositories.
const BRANCHES: usize = 4;

/// Repositories that are pushed to at once.
const REPOSITORIES: usize = 2;

/// The latest moment of a kill after the pushes began, in milliseconds.
const LATEST_MILLISECONDS: u64 = 900;

/// Steele, Lea, Flood: "Fast splittable pseudorandom number generators", SplitMix64.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

fn number_from_environment(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name}={text:?}")))
}

/// One branch as its pusher knows it.
#[derive(Debug, Default)]
struct Branch {
    /// The last commit that git said was pushed.
    acknowledged: Option<String>,
    /// The commit of the push that was cut off.
    attempted: Option<String>,
    pushes: usize,
}

/// Repositories as the one who makes and removes them knows them.
#[derive(Debug, Default)]
struct Churn {
    there: BTreeSet<String>,
    /// What was being made or removed when the server was killed.
    unsure: Option<String>,
}

/// Pushes one commit after the other until a push fails.
fn push_on(scene: &Scene, commits: &[String], repository: &str, branch: usize) -> Branch {
    let url = scene.url(repository, Via::BOTH[branch % 2]);
    let mut known = Branch::default();
    // Each branch begins elsewhere, so that the pushes bring different objects.
    for commit in commits.iter().skip(branch * 2) {
        let refspec = format!("{commit}:refs/heads/branch-{branch}");
        let push = scene
            .source
            .git_with(&["push", "--quiet", &url, &refspec], b"");
        if !push.succeeded() {
            known.attempted = Some(commit.clone());
            return known;
        }
        known.acknowledged = Some(commit.clone());
        known.pushes += 1;
    }
    known
}

/// Makes and removes repositories until it fails.
fn churn_on(scene: &Scene, run: usize) -> Churn {
    let mut known = Churn::default();
    for number in 0.. {
        let path = format!("admin/churn-{run}-{}", number / 2);
        let making = number % 2 == 0;
        let verb = if making { "create" } else { "delete" };
        // Every third one stays.
        if !making && number % 6 == 1 {
            continue;
        }
        if !scene
            .administrator
            .admin(&["repo", verb, &path])
            .succeeded()
        {
            known.unsure = Some(path);
            return known;
        }
        match making {
            true => known.there.insert(path),
            false => known.there.remove(&path),
        };
    }
    known
}

#[test]
fn whatever_was_acknowledged_outlives_kills_at_random_moments() {
    let runs = number_from_environment("PACKHORSE_CRASH_RUNS")
        .map_or(RUNS, |runs| usize::try_from(runs).unwrap());
    let seed = number_from_environment("PACKHORSE_CRASH_SEED").unwrap_or_else(|| {
        let now = SystemTime::UNIX_EPOCH.elapsed().unwrap();
        now.as_secs() ^ u64::from(now.subsec_nanos())
    });
    eprintln!("PACKHORSE_CRASH_SEED={seed}");
    let mut random = Random(seed);
    let mut scene = Scene::new(60);
    let commits: Vec<String> = (1..=60).map(|number| scene.commit(number)).collect();
    let (mut acknowledged, mut cut_off, mut kept) = (0, 0, 0);
    for run in 0..runs {
        let repositories: Vec<_> = (0..REPOSITORIES)
            .map(|number| format!("admin/run-{run}-{number}"))
            .collect();
        for repository in &repositories {
            scene.creates(repository);
        }
        let moment = Duration::from_millis(random.below(LATEST_MILLISECONDS));
        let (branches, churn) = thread::scope(|scope| {
            let (ended, too_early) = mpsc::channel();
            let pushing: Vec<_> = (0..BRANCHES)
                .map(|branch| {
                    let (scene, commits, ended) = (&scene, &commits, ended.clone());
                    let repository = &repositories[branch % REPOSITORIES];
                    scope.spawn(move || {
                        let known = push_on(scene, commits, repository, branch);
                        ended.send(()).ok();
                        known
                    })
                })
                .collect();
            let churning = scope.spawn(|| churn_on(&scene, run));
            let early = too_early.recv_timeout(moment);
            scene.kill();
            assert!(early.is_err(), "a push ended before the kill, run {run}");
            let branches: Vec<Branch> = pushing
                .into_iter()
                .map(|pushing| pushing.join().unwrap())
                .collect();
            (branches, churning.join().unwrap())
        });
        scene.server = None;
        scene.restarts();
        for (number, branch) in branches.iter().enumerate() {
            let repository = &repositories[number % REPOSITORIES];
            let tip = scene.tip(repository, &format!("branch-{number}"));
            acknowledged += branch.pushes;
            cut_off += 1;
            if tip.is_some() && tip == branch.attempted {
                kept += 1;
            } else {
                assert_eq!(
                    tip, branch.acknowledged,
                    "run {run}, seed {seed}: {branch:?}"
                );
            }
        }
        check_churn(&scene, &churn);
        for repository in &repositories {
            scene.pushes(repository, &commits[0], Via::Http).succeeds();
            scene.is_whole(repository);
        }
        scene.packs();
        for repository in &repositories {
            scene
                .administrator
                .admin(&["repo", "delete", repository])
                .succeeds();
        }
    }
    eprintln!(
        "{runs} kills: {acknowledged} pushes acknowledged and whole, {cut_off} cut off, \
         of which {kept} had happened; slowest start {:?}",
        scene.slowest
    );
}

/// The folders and the rows are those of the repositories known to be there, and no others.
#[track_caller]
fn check_churn(scene: &Scene, churn: &Churn) {
    let listed = scene.administrator.admin(&["repo", "list"]).succeeds();
    let rows = listed.lines().filter(|line| !line.is_empty()).count();
    assert_eq!(scene.folders().len(), rows, "{listed}");
    for path in &churn.there {
        let known = listed.lines().any(|line| line == path);
        assert!(
            known || churn.unsure.as_ref() == Some(path),
            "{path} in {listed}"
        );
    }
}
