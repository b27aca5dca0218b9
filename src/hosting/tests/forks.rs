//! Forks: what their pushes may name, and what becomes of them when their source goes.

use super::*;

const STORY: &str = "\
commit refs/heads/main
mark :1
committer A <a@b> 1000 +0000
data 1
1
commit refs/heads/secret
mark :2
committer A <a@b> 2000 +0000
data 1
2
from :1
M 100644 inline treasure
data 3
map
";

struct Scene {
    world: World,
    alice: Caller,
    stock: Stock,
}

async fn scene() -> Scene {
    let world = world().await;
    let alice = world.user("alice").await;
    world.repository(&alice, "alice/novel").await;
    let stock = Stock::new(ObjectFormat::Sha1);
    stock.import(STORY);
    let pack = stock.git_with_input(["pack-objects", "--all", "--stdout", "-q"], b"");
    let may_push = world.may::<policy::Push>(&alice, "alice/novel");
    let repository = world.hosting.objects(&may_push).unwrap();
    let limits = Limits::default();
    let quarantine = receive::ingest(&repository, &mut &*pack, &limits, &mut |_| {}).unwrap();
    let commands = ["main", "secret"].map(|name| Command {
        name: branch(name),
        old: None,
        new: Some(stock.id(name)),
    });
    let push = Push {
        commands: commands.into(),
        atomic: true,
    };
    world
        .hosting
        .push(may_push, push, Some(quarantine))
        .await
        .unwrap();
    Scene {
        world,
        alice,
        stock,
    }
}

impl Scene {
    async fn forks(&self, path_text: &str) -> Result<RepositoryRow, HostingError> {
        let hosting = &self.world.hosting;
        let creation = hosting
            .authorize_creation(&self.alice, &path(path_text))
            .unwrap();
        let source = self.world.may::<Fetch>(&self.alice, "alice/novel");
        let point = ForkPoint {
            revision: Some("main".to_owned()),
            default_branch: None,
        };
        hosting.fork_repository(creation, source, point).await
    }

    fn folder(&self, row: &RepositoryRow) -> PathBuf {
        self.world.root().join(&row.uuid[..2]).join(&row.uuid)
    }
}

/// Attack: the owner of a fork knows the id of a commit on a branch of the source that was not forked.
/// He pushes no objects at all, only the command that makes a branch of that id, and would then fetch it.
#[tokio::test]
async fn a_branch_can_not_be_made_of_what_the_fork_does_not_see() {
    let scene = scene().await;
    scene.forks("alice/copy").await.unwrap();
    for name in [
        "refs/heads/found",
        "refs/tags/found",
        "refs/namespaces/ephemeral/refs/heads/found",
    ] {
        for secret in ["secret", "secret^{tree}", "secret:treasure"] {
            let secret = scene.stock.id(secret);
            let push = Push {
                commands: vec![Command {
                    name: name.parse().unwrap(),
                    old: None,
                    new: Some(secret),
                }],
                atomic: false,
            };
            let may_push = scene.world.may::<policy::Push>(&scene.alice, "alice/copy");
            let outcomes = scene
                .world
                .hosting
                .push(may_push, push, None)
                .await
                .unwrap();
            assert_eq!(
                outcomes[0].result,
                Err(Refusal::MissingObject(secret)),
                "{name}"
            );
        }
    }
}

#[tokio::test]
async fn a_fork_outlives_its_source_and_the_source_its_forks() {
    let scene = scene().await;
    let hosting = &scene.world.hosting;
    let one = scene.forks("alice/one").await.unwrap();
    let other = scene.forks("alice/other").await.unwrap();
    let delete = async |name: &str| {
        let authorized = scene.world.may::<DeleteRepository>(&scene.alice, name);
        hosting.delete_repository(authorized).await.unwrap();
    };
    delete("alice/one").await;
    assert!(!scene.folder(&one).exists());
    delete("alice/novel").await;
    let fetch = scene.world.may::<Fetch>(&scene.alice, "alice/other");
    let mut contents = hosting.contents(&fetch).await.unwrap();
    let main = contents.tip(&branch("main")).unwrap();
    assert_eq!(main, scene.stock.id("main"));
    assert_eq!(contents.commits(main, 0, 10).unwrap().len(), 1);
    let origin = hosting.origin(other.id).unwrap().unwrap();
    assert_eq!(
        (origin.owner.as_str(), origin.name.as_str()),
        ("alice", "novel")
    );
    let root = scene.world.root();
    assert_eq!(hosting.remove_orphans(&root).unwrap(), 0);
    delete("alice/other").await;
    assert_eq!(hosting.origin(other.id).unwrap(), None);
}

/// The right to read the source goes while the fork is being made.
#[tokio::test]
async fn whoever_may_not_read_the_source_any_more_gets_no_fork() {
    let scene = scene().await;
    let hosting = &scene.world.hosting;
    let creation = hosting
        .authorize_creation(&scene.alice, &path("alice/copy"))
        .unwrap();
    let source = scene.world.may::<Fetch>(&scene.alice, "alice/novel");
    let gone = scene
        .world
        .may::<DeleteRepository>(&scene.alice, "alice/novel");
    hosting.delete_repository(gone).await.unwrap();
    let point = ForkPoint {
        revision: None,
        default_branch: None,
    };
    let refused = denied(hosting.fork_repository(creation, source, point).await);
    assert_eq!(refused, Denied::NotVisible);
    let left = hosting.remove_orphans(&scene.world.root()).unwrap();
    assert_eq!(left, 0, "nothing is left over");
}
