//! Making, listing, changing and removing repositories; the first start; the sweep.

use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::policy::ListRepositories;

#[tokio::test]
async fn the_first_start_makes_an_administrator_and_later_ones_change_nothing() {
    let first = world().await;
    for file in ["secret-key", "admin-token"] {
        let file = first.folder.path().join(file);
        let mode = std::fs::metadata(&file).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{file:?}");
    }
    assert_eq!(first.admin.principal.display_name(), "admin");
    let alice = first.user("alice").await;
    first.repository(&alice, "alice/novel").await;
    let World {
        folder,
        store,
        hosting,
        auth,
        ..
    } = first;
    drop((store, hosting, auth));
    let second = open(folder).await;
    assert!(
        second
            .hosting
            .repository(&alice, &path("alice/novel"))
            .is_ok()
    );
}

#[tokio::test]
async fn of_many_who_make_the_same_repository_one_wins_and_no_folder_is_left_over() {
    let world = world().await;
    let alice = world.user("alice").await;
    let tries = (0..10).map(|n| {
        let name = if n % 2 == 0 {
            "alice/novel"
        } else {
            "alice/Novel"
        };
        let authorized = world
            .hosting
            .authorize_creation(&alice, &path(name))
            .unwrap();
        world.hosting.create_repository(authorized, settings())
    });
    let made = futures_util::future::join_all(tries).await;
    let (won, lost): (Vec<_>, Vec<_>) = made.into_iter().partition(Result::is_ok);
    assert_eq!((won.len(), lost.len()), (1, 9));
    for lost in lost {
        assert!(matches!(lost, Err(HostingError::Taken { .. })), "{lost:?}");
    }
    assert_eq!(world.hosting.remove_orphans(&world.root()).unwrap(), 0);
}

#[tokio::test]
async fn a_removed_repository_is_gone_and_its_path_is_free() {
    let world = world().await;
    let alice = world.user("alice").await;
    let novel = world.repository(&alice, "alice/novel").await;
    let stale = world.may::<Administer>(&alice, "alice/novel");
    let delete = world.may::<DeleteRepository>(&alice, "alice/novel");
    world.hosting.delete_repository(delete).await.unwrap();
    let gone = world.hosting.repository(&alice, &path("alice/novel"));
    assert_eq!(denied(gone), Denied::NotVisible);
    let folder = world.root().join(&novel.uuid[..2]).join(&novel.uuid);
    assert!(!folder.exists());
    let late = world.changes(stale, head("trunk")).await;
    assert_eq!(denied(late), Denied::NotVisible);
    let again = world.repository(&alice, "alice/novel").await;
    assert_ne!(again.id, novel.id);
}

#[tokio::test]
async fn what_does_not_exist_looks_like_what_one_may_not_see() {
    let world = world().await;
    let (alice, bob) = (world.user("alice").await, world.user("bob").await);
    world.repository(&alice, "alice/novel").await;
    let anonymous = Caller::anonymous(None);
    for text in ["alice/novel", "alice/absent", "nobody/novel"] {
        let for_bob = world.hosting.authorize::<Fetch>(&bob, &path(text));
        assert_eq!(denied(for_bob), Denied::NotVisible, "{text}");
        let for_nobody = world.hosting.authorize::<Fetch>(&anonymous, &path(text));
        assert_eq!(denied(for_nobody), Denied::Unauthenticated, "{text}");
    }
    for name in ["bob", "nobody"] {
        let account = world.hosting.authorize_account(&alice, name);
        assert_eq!(denied(account), Denied::NotAdministrator, "{name}");
    }
    let absent = world.hosting.authorize_account(&world.admin, "nobody");
    assert!(matches!(absent, Err(HostingError::NotFound { .. })));
}

#[tokio::test]
async fn a_namespace_lists_what_its_reader_may_see() {
    let world = world().await;
    let (alice, bob) = (world.user("alice").await, world.user("bob").await);
    for name in ["alice/a", "alice/b", "alice/c"] {
        world.repository(&alice, name).await;
    }
    let public = world.may::<Administer>(&alice, "alice/b");
    world.changes(public, opened()).await.unwrap();
    let listed = |caller: &Caller, after, limit| -> Vec<_> {
        let namespace = "alice".parse().unwrap();
        let list = world
            .hosting
            .authorize_namespace::<ListRepositories>(caller, &namespace)
            .unwrap();
        let shown = world.hosting.list_repositories(&list, after, limit);
        shown
            .unwrap()
            .into_iter()
            .map(|shown| shown.row.name.to_string())
            .collect()
    };
    assert_eq!(listed(&alice, None, 9), ["a", "b", "c"]);
    assert_eq!(listed(&alice, Some("a"), 1), ["b"]);
    assert_eq!(listed(&bob, None, 9), ["b"]);
    assert_eq!(listed(&Caller::anonymous(None), None, 9), ["b"]);
    let everywhere = world.hosting.list_visible(&bob, 0, 9).unwrap();
    assert_eq!(everywhere.len(), 1);
}

#[tokio::test]
async fn the_sweep_removes_folders_without_a_row_and_no_others() {
    let world = world().await;
    let alice = world.user("alice").await;
    world.repository(&alice, "alice/novel").await;
    let orphan = crate::auth::secrets::new_uuid();
    let folder = world.root().join(&orphan[..2]).join(&orphan);
    std::fs::create_dir_all(folder.join("objects/pack")).unwrap();
    let foreign = world.root().join("not-ours");
    std::fs::create_dir_all(&foreign).unwrap();
    assert_eq!(world.hosting.remove_orphans(&world.root()).unwrap(), 1);
    assert!(!folder.exists());
    assert!(foreign.exists());
    assert!(
        world
            .hosting
            .repository(&alice, &path("alice/novel"))
            .is_ok()
    );
}
