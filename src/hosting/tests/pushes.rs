//! The commit point: what moves refs, what does not, and what was taken away in between.

use super::*;
use crate::{
    model::{RefOperation, RefPolicy, RefRule, Scope},
    store::refs,
};

/// main has three commits, `topic` leaves it after the first; v1 is an annotated tag of main.
const STORY: &str = "\
commit refs/heads/main
mark :1
committer A <a@b> 1000 +0000
data 1
1
commit refs/heads/main
mark :2
committer A <a@b> 2000 +0000
data 1
2
from :1
commit refs/heads/main
mark :3
committer A <a@b> 3000 +0000
data 1
3
from :2
commit refs/heads/topic
mark :4
committer A <a@b> 4000 +0000
data 1
4
from :1
tag v1
from :3
tagger A <a@b> 5000 +0000
data 1
v
";

/// A repository of alice's that a pack of the story can be pushed to.
struct Novel {
    world: World,
    alice: Caller,
    stock: Stock,
    row: RepositoryRow,
}

async fn novel() -> Novel {
    let world = world().await;
    let alice = world.user("alice").await;
    let row = world.repository(&alice, "alice/novel").await;
    let stock = Stock::new(ObjectFormat::Sha1);
    stock.import(STORY);
    Novel {
        world,
        alice,
        stock,
        row,
    }
}

impl Novel {
    fn may_push(&self) -> Authorized<policy::Push> {
        self.world.may(&self.alice, "alice/novel")
    }

    fn id(&self, revision: &str) -> ObjectId {
        self.stock.id(revision)
    }

    fn command(&self, name: &str, old: Option<&str>, new: Option<&str>) -> Command {
        Command {
            name: name.parse().unwrap(),
            old: old.map(|revision| self.id(revision)),
            new: new.map(|revision| self.id(revision)),
        }
    }

    /// Everything there is, in quarantine.
    fn objects(&self, authorized: &Authorized<policy::Push>) -> receive::Quarantine {
        let pack = self
            .stock
            .git_with_input(["pack-objects", "--all", "--stdout", "-q"], b"");
        let repository = self.world.hosting.objects(authorized).unwrap();
        let mut input = pack.as_slice();
        receive::ingest(&repository, &mut input, &Limits::default(), &mut |_| {}).unwrap()
    }

    async fn push_as(
        &self,
        authorized: Authorized<policy::Push>,
        atomic: bool,
        commands: Vec<Command>,
    ) -> Result<Vec<CommandOutcome>, HostingError> {
        let quarantine = self.objects(&authorized);
        let push = Push { commands, atomic };
        self.world
            .hosting
            .push(authorized, push, Some(quarantine))
            .await
    }

    /// What became of each command: nothing, or the reason why not.
    async fn push(&self, atomic: bool, commands: Vec<Command>) -> Vec<Option<Refusal>> {
        let outcomes = self.push_as(self.may_push(), atomic, commands).await;
        let outcomes = outcomes.unwrap().into_iter();
        outcomes.map(|outcome| outcome.result.err()).collect()
    }

    async fn refs(&self) -> Vec<(String, ObjectId)> {
        let refs = self.world.hosting.refs(&self.may_push()).await.unwrap();
        let entries = refs.entries().iter();
        entries
            .map(|entry| (entry.name.to_string(), entry.id))
            .collect()
    }

    fn pack_count(&self) -> usize {
        let uuid = &self.row.uuid;
        let packs = self
            .world
            .root()
            .join(&uuid[..2])
            .join(uuid)
            .join("objects/pack");
        std::fs::read_dir(packs).unwrap().count() / 2
    }
}

#[tokio::test]
async fn a_push_moves_refs_and_tells_its_history() {
    let novel = novel().await;
    let first = vec![
        novel.command("refs/heads/main", None, Some("main")),
        novel.command("refs/tags/v1", None, Some("v1")),
    ];
    assert_eq!(novel.push(false, first).await, [None, None]);
    let hosting = &novel.world.hosting;
    let refs = hosting.refs(&novel.may_push()).await.unwrap();
    assert_eq!(refs.head_id(), Some(novel.id("main")));
    let tag = refs.find("refs/tags/v1").unwrap();
    assert_eq!(
        (tag.id, tag.peeled),
        (novel.id("v1"), Some(novel.id("main")))
    );

    let second = vec![
        novel.command("refs/heads/main", Some("main"), Some("topic")),
        novel.command("refs/tags/v1", Some("v1"), None),
    ];
    assert_eq!(novel.push(false, second).await, [None, None]);
    let fetch = novel.world.may::<Fetch>(&novel.alice, "alice/novel");
    let history = hosting.ref_history(&fetch, None, 9).unwrap();
    let told: Vec<_> = history
        .iter()
        .map(|(_, row)| (row.name.as_str(), row.forced, row.actor.as_str()))
        .collect();
    assert_eq!(
        told,
        [
            ("refs/tags/v1", true, "alice"),
            ("refs/heads/main", true, "alice"),
            ("refs/tags/v1", false, "alice"),
            ("refs/heads/main", false, "alice"),
        ]
    );
    let rows = hosting.audit_log(&novel.world.server(), None, 2).unwrap();
    assert_eq!(rows[0].action, "push");
    assert_eq!(rows[0].repository_id, Some(novel.row.id));
}

#[tokio::test]
async fn only_who_knows_where_a_ref_points_moves_it() {
    let novel = novel().await;
    let made = vec![novel.command("refs/heads/main", None, Some("main~1"))];
    assert_eq!(novel.push(false, made).await, [None]);
    for (command, expected) in [
        (
            novel.command("refs/heads/main", Some("main~2"), Some("main")),
            Refusal::Stale,
        ),
        (
            novel.command("refs/heads/main", None, Some("main")),
            Refusal::AlreadyExists,
        ),
        (
            novel.command("refs/heads/other", Some("main"), Some("topic")),
            Refusal::Stale,
        ),
        (
            novel.command("refs/heads/other", Some("main"), None),
            Refusal::Stale,
        ),
        (
            novel.command("refs/heads/other", None, None),
            Refusal::NoSuchRef,
        ),
    ] {
        let verdicts = novel.push(false, vec![command.clone()]).await;
        assert_eq!(verdicts, [Some(expected)], "{command:?}");
    }
    assert_eq!(
        novel.refs().await,
        [("refs/heads/main".to_owned(), novel.id("main~1"))]
    );
}

#[tokio::test]
async fn of_many_pushes_at_once_to_one_branch_one_wins() {
    let novel = novel().await;
    let made = vec![novel.command("refs/heads/main", None, Some("main~2"))];
    assert_eq!(novel.push(false, made).await, [None]);
    let racers = (0..16).map(|n| {
        let to = if n % 2 == 0 { "main" } else { "topic" };
        let command = novel.command("refs/heads/main", Some("main~2"), Some(to));
        novel.push(false, vec![command])
    });
    let verdicts = futures_util::future::join_all(racers).await;
    let won = verdicts.iter().filter(|verdict| verdict[0].is_none());
    assert_eq!(won.count(), 1);
}

#[tokio::test]
async fn an_atomic_push_moves_all_or_nothing_and_another_what_it_can() {
    let novel = novel().await;
    let commands = || {
        vec![
            novel.command("refs/heads/main", None, Some("main")),
            novel.command("refs/pull/1/head", None, Some("topic")),
            novel.command("refs/heads/topic", None, Some("topic")),
        ]
    };
    let reserved = Some(Refusal::Policy(policy::Refusal::Reserved("refs/pull/")));
    assert_eq!(
        novel.push(true, commands()).await,
        [
            Some(Refusal::Atomic),
            reserved.clone(),
            Some(Refusal::Atomic)
        ]
    );
    assert_eq!(novel.refs().await, []);
    assert_eq!(novel.push(false, commands()).await, [None, reserved, None]);
    assert_eq!(novel.refs().await.len(), 2);
    let rows = novel
        .world
        .hosting
        .audit_log(&novel.world.server(), None, 1)
        .unwrap();
    assert!(
        rows[0].detail.contains("2 refs moved, 1 refused"),
        "{rows:?}"
    );
}

#[tokio::test]
async fn a_branch_names_a_commit_that_exists() {
    let novel = novel().await;
    let absent = ObjectId::from_hex(&[b'a'; 40]).unwrap();
    let mut missing = novel.command("refs/heads/missing", None, Some("main"));
    missing.new = Some(absent);
    let commands = vec![
        missing,
        novel.command("refs/heads/tag", None, Some("v1")),
        novel.command("refs/heads/tree", None, Some("main^{tree}")),
        novel.command("refs/tags/tree", None, Some("main^{tree}")),
    ];
    assert_eq!(
        novel.push(false, commands).await,
        [
            Some(Refusal::MissingObject(absent)),
            Some(Refusal::NotACommit(novel.id("v1"))),
            Some(Refusal::NotACommit(novel.id("main^{tree}"))),
            None
        ]
    );
}

#[tokio::test]
async fn names_that_are_folders_of_each_other_never_stand_together() {
    let novel = novel().await;
    let create = |name: &str| novel.command(name, None, Some("main"));
    let conflict = |name: &str| Some(Refusal::Conflict(name.to_owned()));
    let within = vec![
        create("refs/heads/main"),
        create("refs/heads/a"),
        create("refs/heads/a/b"),
        create("refs/heads/c/d"),
        create("refs/heads/c"),
        create("refs/heads/c-d"),
    ];
    assert_eq!(
        novel.push(false, within).await,
        [
            None,
            None,
            conflict("refs/heads/a"),
            None,
            conflict("refs/heads/c/d"),
            None
        ]
    );
    let stored = vec![create("refs/heads/a/x"), create("refs/heads/c")];
    assert_eq!(
        novel.push(false, stored).await,
        [conflict("refs/heads/a"), conflict("refs/heads/c/d")]
    );
    // A push may make the room it needs.
    let room = vec![
        create("refs/heads/a/x"),
        novel.command("refs/heads/a", Some("main"), None),
    ];
    assert_eq!(novel.push(true, room).await, [None, None]);
    let twice = vec![create("refs/heads/t"), create("refs/heads/t")];
    let duplicate = Some(Refusal::Duplicate);
    assert_eq!(
        novel.push(false, twice).await,
        [duplicate.clone(), duplicate]
    );
}

#[tokio::test]
async fn a_token_that_may_not_force_is_judged_by_the_stored_history() {
    let novel = novel().await;
    let made = vec![novel.command("refs/heads/main", None, Some("main~1"))];
    assert_eq!(novel.push(false, made).await, [None]);
    let hosting = &novel.world.hosting;
    let account = hosting.authorize_account(&novel.alice, "alice").unwrap();
    let mut limited = token_settings(&[Scope::GitWrite]);
    limited.refs = RefPolicy(vec![RefRule {
        pattern: "*".to_owned(),
        operations: vec![RefOperation::NoForcePush],
    }]);
    let (secret, _) = hosting.create_token(account, limited).await.unwrap();
    let caller = novel.world.auth.bearer(secret.expose(), None).unwrap();
    let push = |command: Command| {
        let authorized = novel.world.may(&caller, "alice/novel");
        novel.push_as(authorized, false, vec![command])
    };
    let forced = push(novel.command("refs/heads/main", Some("main~1"), Some("topic"))).await;
    let refusal = forced.unwrap().remove(0).result.unwrap_err();
    assert!(
        refusal.to_string().starts_with("denied by policy"),
        "{refusal}"
    );
    let forward = push(novel.command("refs/heads/main", Some("main~1"), Some("main"))).await;
    let moved = forward.unwrap().remove(0).result.unwrap();
    assert!(!moved.forced);
}

#[tokio::test]
async fn a_right_taken_away_while_pushing_moves_nothing() {
    let novel = novel().await;
    let hosting = &novel.world.hosting;
    let account = || hosting.authorize_account(&novel.alice, "alice").unwrap();
    let scopes = token_settings(&[Scope::GitWrite]);
    let (secret, row) = hosting.create_token(account(), scopes).await.unwrap();
    let caller = novel.world.auth.bearer(secret.expose(), None).unwrap();
    let authorized: Authorized<policy::Push> = novel.world.may(&caller, "alice/novel");
    hosting.delete_token(account(), row.id).await.unwrap();
    let command = novel.command("refs/heads/main", None, Some("main"));
    let late = novel.push_as(authorized, false, vec![command]).await;
    assert_eq!(denied(late), Denied::Unauthenticated);

    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHWWB9euUODWN0aSRpWCH1662IqVOmNrWAiPGB+J21tT";
    let administer = || novel.world.may::<Administer>(&novel.alice, "alice/novel");
    let settings = DeployKeySettings {
        title: None,
        may_write: true,
        refs: RefPolicy::default(),
    };
    let added = hosting.add_deploy_key(administer(), key, settings).await;
    let (deploy_key, _) = added.unwrap();
    let public = key.parse::<russh::keys::ssh_key::PublicKey>().unwrap();
    let caller = novel.world.auth.ssh_key_proven(&public, None).unwrap();
    let authorized: Authorized<policy::Push> = novel.world.may(&caller, "alice/novel");
    hosting
        .delete_deploy_key(administer(), deploy_key.id)
        .await
        .unwrap();
    let command = novel.command("refs/heads/main", None, Some("main"));
    let late = novel.push_as(authorized, false, vec![command]).await;
    assert_eq!(denied(late), Denied::Unauthenticated);
    assert_eq!(novel.refs().await, []);
}

#[tokio::test]
async fn a_first_push_without_the_default_branch_names_head_and_later_ones_do_not() {
    let novel = novel().await;
    novel
        .push(false, vec![novel.command("refs/tags/v1", None, Some("v1"))])
        .await;
    let head = |novel: &Novel| {
        let shown = novel
            .world
            .hosting
            .repository(&novel.alice, &path("alice/novel"));
        shown.unwrap().row.default_branch.to_string()
    };
    assert_eq!(head(&novel), "refs/heads/main", "a tag is no branch");
    let first = vec![
        novel.command("refs/heads/a", None, Some("topic")),
        novel.command("refs/heads/master", None, Some("main")),
    ];
    novel.push(false, first).await;
    assert_eq!(head(&novel), "refs/heads/master");
    novel
        .push(
            false,
            vec![novel.command("refs/heads/main", None, Some("main"))],
        )
        .await;
    assert_eq!(
        head(&novel),
        "refs/heads/master",
        "only the first push decides"
    );
}

#[tokio::test]
async fn the_default_branch_of_the_moment_of_commit_is_kept() {
    let novel = novel().await;
    let first = vec![
        novel.command("refs/heads/main", None, Some("main")),
        novel.command("refs/heads/topic", None, Some("topic")),
    ];
    novel.push(false, first).await;
    let held = novel.may_push();
    let administer = novel.world.may::<Administer>(&novel.alice, "alice/novel");
    novel
        .world
        .changes(administer, head("topic"))
        .await
        .unwrap();
    let delete = vec![
        novel.command("refs/heads/topic", Some("topic"), None),
        novel.command("refs/heads/main", Some("main"), None),
    ];
    let outcomes = novel.push_as(held, false, delete).await.unwrap();
    let default = Refusal::Policy(policy::Refusal::DefaultBranch);
    assert_eq!(outcomes[0].result, Err(default));
    assert!(outcomes[1].result.is_ok());
}

#[tokio::test]
async fn a_push_that_can_not_succeed_publishes_nothing() {
    let novel = novel().await;
    let stale = vec![novel.command("refs/heads/main", Some("topic"), Some("main"))];
    assert_eq!(novel.push(false, stale).await, [Some(Refusal::Stale)]);
    assert_eq!(novel.pack_count(), 0);
    let good = vec![novel.command("refs/heads/main", None, Some("main"))];
    assert_eq!(novel.push(false, good).await, [None]);
    assert_eq!(novel.pack_count(), 1);
    let snapshot = novel.world.store.snapshot().unwrap();
    let before = refs::state(&snapshot, novel.row.id).unwrap();
    let same = vec![novel.command("refs/heads/main", Some("main"), Some("main"))];
    assert_eq!(novel.push(false, same).await, [None]);
    let snapshot = novel.world.store.snapshot().unwrap();
    assert_eq!(refs::state(&snapshot, novel.row.id).unwrap(), before);
}

#[tokio::test]
async fn branches_are_listed_in_the_order_they_were_made() {
    let novel = novel().await;
    for name in ["zebra", "main", "apple"] {
        let made = vec![novel.command(&format!("refs/heads/{name}"), None, Some("main"))];
        assert_eq!(novel.push(false, made).await, [None]);
    }
    let fetch = novel.world.may::<Fetch>(&novel.alice, "alice/novel");
    let hosting = &novel.world.hosting;
    let first = hosting.branches(&fetch, false, None, 2).unwrap();
    let names: Vec<_> = first.items.iter().map(|branch| &branch.name).collect();
    assert_eq!(names, ["zebra", "main"]);
    assert!(first.has_more);
    let cursor: BranchCursor = first.items[1].cursor.to_string().parse().unwrap();
    let rest = hosting.branches(&fetch, false, Some(cursor), 2).unwrap();
    assert_eq!(rest.items[0].name, "apple");
    assert!(!rest.has_more);
    assert!("x1".parse::<BranchCursor>().is_err());
    assert!("b".parse::<BranchCursor>().is_err());
}
