//! The store against a real database in a temporary folder.

use std::sync::atomic::{AtomicU32, Ordering};

use tempfile::TempDir;

use super::{
    deploy_keys::{NewDeployKey, NotGranted},
    memberships::{MemberOf, Subject},
    namespaces::NamespaceOwner,
    refs::RefWrite,
    repositories::{NewRepository, RepositoryRow},
    ssh_keys::NewSshKey,
    users::NewUser,
    *,
};
use crate::model::{ObjectFormat, ObjectId, RefName, RefPolicy, Role, Visibility};

fn open() -> (TempDir, Store) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    (folder, store)
}

fn new_user(name: &str) -> NewUser {
    NewUser {
        name: name.parse().unwrap(),
        email: None,
        password_hash: None,
        admin: false,
    }
}

fn new_repository(namespace_id: u64, name: &str) -> NewRepository {
    NewRepository {
        uuid: format!("{namespace_id:04}-{name}"),
        namespace_id,
        name: name.parse().unwrap(),
        visibility: Visibility::Private,
        default_branch: RefName::branch("main").unwrap(),
        object_format: ObjectFormat::Sha1,
        description: String::new(),
    }
}

async fn repository(store: &Store, name: &str) -> RepositoryRow {
    let new = new_repository(1, name);
    let made = store.commit(move |tx| repositories::insert(tx, &new)).await;
    made.unwrap().unwrap()
}

fn id(digit: &str) -> ObjectId {
    ObjectId::from_hex(digit.repeat(40).as_bytes()).unwrap()
}

fn write(name: &str, new: Option<&str>) -> RefWrite {
    RefWrite {
        name: name.parse().unwrap(),
        new: new.map(id),
        peeled: None,
        forced: false,
    }
}

async fn apply(store: &Store, repository: u64, writes: Vec<RefWrite>) {
    let applied = store
        .commit(move |tx| refs::apply(tx, repository, &writes, "alice"))
        .await;
    applied.unwrap();
}

#[tokio::test]
async fn two_hundred_commits_at_once_share_few_transactions() {
    let (_folder, store) = open();
    let before = store.transactions_committed();
    let commits = (0..200).map(|n| {
        let store = store.clone();
        let new = new_user(&format!("user-{n}"));
        async move { store.commit(move |tx| users::insert(tx, &new)).await }
    });
    for made in futures_util::future::join_all(commits).await {
        assert!(made.unwrap().is_some());
    }
    let transactions = store.transactions_committed() - before;
    assert!(transactions < 100, "{transactions} transactions");
    let users = users::list(&store.snapshot().unwrap(), 0, 1000).unwrap();
    assert_eq!(users.len(), 200);
}

#[tokio::test]
async fn a_closure_that_fails_after_it_wrote_leaves_nothing_and_spares_its_neighbours() {
    let (_folder, store) = open();
    let runs = Arc::new(AtomicU32::new(0));
    let good = (0..20).map(|n| {
        let (store, new) = (store.clone(), new_user(&format!("good-{n}")));
        async move {
            let made = store.commit(move |tx| users::insert(tx, &new)).await;
            made.map(|row| row.is_some())
        }
    });
    let bad = {
        let (store, runs) = (store.clone(), Arc::clone(&runs));
        async move {
            let failed: Result<bool, StoreError> = store
                .commit(move |tx| {
                    runs.fetch_add(1, Ordering::Relaxed);
                    users::insert(tx, &new_user("bad"))?;
                    Err(StoreError::Inconsistent("on purpose".to_owned()))
                })
                .await;
            assert!(matches!(failed, Err(StoreError::Inconsistent(_))));
        }
    };
    let (made, ()) = tokio::join!(futures_util::future::join_all(good), bad);
    assert!(made.into_iter().all(|made| made.unwrap()));
    assert!(runs.load(Ordering::Relaxed) >= 1);
    let snapshot = store.snapshot().unwrap();
    assert!(users::by_name(&snapshot, "bad").unwrap().is_none());
    assert_eq!(users::list(&snapshot, 0, 1000).unwrap().len(), 20);
}

#[tokio::test]
async fn a_closure_that_panics_ends_itself_alone() {
    let (_folder, store) = open();
    let panicked: Result<(), StoreError> = store
        .commit(|tx| {
            users::insert(tx, &new_user("ghost"))?;
            panic!("on purpose")
        })
        .await;
    assert!(matches!(panicked, Err(StoreError::Panicked)));
    let alive = store
        .commit(|tx| users::insert(tx, &new_user("alice")))
        .await;
    assert!(alive.unwrap().is_some());
    let ghost = users::by_name(&store.snapshot().unwrap(), "ghost").unwrap();
    assert!(ghost.is_none());
}

#[tokio::test]
async fn a_closure_that_only_reads_costs_no_transaction() {
    let (_folder, store) = open();
    let before = store.transactions_committed();
    let found = store.commit(|tx| users::by_name(tx, "nobody")).await;
    assert!(found.unwrap().is_none());
    assert_eq!(store.transactions_committed(), before);
}

#[tokio::test]
async fn one_server_uses_a_folder_and_the_next_sees_everything() {
    let (folder, store) = open();
    let made = store
        .commit(|tx| users::insert(tx, &new_user("alice")))
        .await;
    made.unwrap().unwrap();
    assert!(matches!(
        Store::open(folder.path()),
        Err(OpenError::InUse(_))
    ));
    drop(store);
    let reopened = Store::open(folder.path()).unwrap();
    let alice = users::by_name(&reopened.snapshot().unwrap(), "Alice").unwrap();
    assert_eq!(alice.unwrap().name.as_str(), "alice");
}

#[tokio::test]
async fn names_are_unique_whatever_their_case() {
    let (_folder, store) = open();
    let twice = store
        .commit(|tx| {
            let name = "Acme".parse().expect("a name");
            let other = "aCME".parse().expect("a name");
            let first = namespaces::insert(tx, "1", &name, NamespaceOwner::Organization)?;
            let second = namespaces::insert(tx, "2", &other, NamespaceOwner::Organization)?;
            Ok::<_, StoreError>((first.is_some(), second.is_some()))
        })
        .await;
    assert_eq!(twice.unwrap(), (true, false));
    assert!(repository(&store, "novel").await.id > 0);
    let again = store
        .commit(|tx| repositories::insert(tx, &new_repository(1, "Novel")))
        .await;
    assert!(again.unwrap().is_none());
}

#[tokio::test]
async fn listing_a_namespace_continues_behind_the_last_name() {
    let (_folder, store) = open();
    for name in ["b", "a/x", "a", "C", "a-b"] {
        repository(&store, name).await;
    }
    let snapshot = store.snapshot().unwrap();
    let mut names = Vec::new();
    loop {
        let after = names.last().map(String::as_str);
        let page = repositories::in_namespace(&snapshot, 1, after, 2).unwrap();
        if page.is_empty() {
            break;
        }
        names.extend(page.into_iter().map(|row| row.name.to_string()));
    }
    assert_eq!(names, ["a", "a-b", "a/x", "b", "C"]);
}

#[tokio::test]
async fn a_removed_repository_frees_its_name_and_its_deploy_keys() {
    let (_folder, store) = open();
    let novel = repository(&store, "novel").await;
    apply(&store, novel.id, vec![write("refs/heads/main", Some("1"))]).await;
    let new = NewDeployKey {
        repository_id: novel.id,
        fingerprint: "SHA256:key".to_owned(),
        public_key: "ssh-ed25519 AAAA".to_owned(),
        title: "ci".to_owned(),
        may_write: false,
        refs: RefPolicy::default(),
    };
    let removed = novel.clone();
    let done = store
        .commit(move |tx| {
            deploy_keys::grant(tx, &new)?.expect("the key is new");
            let member = MemberOf::Repository(removed.id);
            memberships::put(tx, Subject::User(1), member, Role::Write)?;
            repositories::remove(tx, &removed)
        })
        .await;
    done.unwrap();
    let snapshot = store.snapshot().unwrap();
    assert!(ssh_keys::holder(&snapshot, "SHA256:key").unwrap().is_none());
    assert!(deploy_keys::by_id(&snapshot, 1).unwrap().is_none());
    let member = MemberOf::Repository(novel.id);
    assert_eq!(
        memberships::role(&snapshot, Subject::User(1), member).unwrap(),
        None
    );
    assert!(store.refs(novel.id).unwrap().is_none());
    let again = repository(&store, "novel").await;
    assert_ne!(again.id, novel.id);
    assert!(store.refs(again.id).unwrap().unwrap().entries().is_empty());
}

#[tokio::test]
async fn a_fingerprint_is_an_account_key_or_a_deploy_key_never_both() {
    let (_folder, store) = open();
    let deploy = |repository_id, fingerprint: &str| NewDeployKey {
        repository_id,
        fingerprint: fingerprint.to_owned(),
        public_key: "ssh-ed25519 AAAA".to_owned(),
        title: "ci".to_owned(),
        may_write: repository_id == 2,
        refs: RefPolicy::default(),
    };
    let account = |fingerprint: &str| NewSshKey {
        owner: Subject::User(1),
        title: "laptop".to_owned(),
        fingerprint: fingerprint.to_owned(),
        public_key: "ssh-ed25519 AAAA".to_owned(),
    };
    let done = store
        .commit(move |tx| {
            let (key, _) = deploy_keys::grant(tx, &deploy(1, "shared"))?.expect("new");
            let (same, grant) = deploy_keys::grant(tx, &deploy(2, "shared"))?.expect("new there");
            assert_eq!(key.id, same.id);
            assert!(grant.may_write);
            let again = deploy_keys::grant(tx, &deploy(1, "shared"))?;
            assert_eq!(again, Err(NotGranted::AlreadyThere));
            assert_eq!(ssh_keys::insert(tx, &account("shared"))?, None);
            assert!(ssh_keys::insert(tx, &account("own"))?.is_some());
            let taken = deploy_keys::grant(tx, &deploy(1, "own"))?;
            assert_eq!(taken, Err(NotGranted::AccountKey));
            assert!(deploy_keys::revoke(tx, key.id, 1)?);
            assert!(deploy_keys::by_id(tx, key.id)?.is_some(), "2 still has it");
            assert!(deploy_keys::revoke(tx, key.id, 2)?);
            assert!(!deploy_keys::revoke(tx, key.id, 2)?);
            assert!(ssh_keys::insert(tx, &account("shared"))?.is_some());
            Ok::<_, StoreError>(())
        })
        .await;
    done.unwrap();
}

#[tokio::test]
async fn refs_keep_their_creation_order_and_their_history() {
    let (_folder, store) = open();
    let novel = repository(&store, "novel").await.id;
    for name in ["zebra", "apple", "main"] {
        apply(
            &store,
            novel,
            vec![write(&format!("refs/heads/{name}"), Some("1"))],
        )
        .await;
    }
    apply(&store, novel, vec![write("refs/tags/v1", Some("1"))]).await;
    apply(&store, novel, vec![write("refs/heads/zebra", Some("2"))]).await;
    apply(&store, novel, vec![write("refs/heads/apple", None)]).await;
    apply(&store, novel, vec![write("refs/heads/apple", Some("3"))]).await;

    let snapshot = store.snapshot().unwrap();
    let page = |after, limit| {
        refs::in_creation_order(&snapshot, novel, "refs/heads/", after, limit)
            .unwrap()
            .into_iter()
            .map(|(name, row)| (name.as_branch().unwrap().to_owned(), row))
            .collect::<Vec<_>>()
    };
    let first = page(0, 2);
    assert_eq!(first[0].0, "zebra");
    assert_eq!(first[0].1.id, id("2"));
    assert_eq!(first[1].0, "main");
    let rest = page(first[1].1.sequence, 9);
    assert_eq!(rest.len(), 1);
    assert_eq!(rest[0].0, "apple");

    let history = refs::history(&snapshot, novel, None, 3).unwrap();
    let moves: Vec<_> = history.iter().map(|(_, row)| (row.old, row.new)).collect();
    assert_eq!(
        moves,
        [
            (None, Some(id("3"))),
            (Some(id("1")), None),
            (Some(id("1")), Some(id("2")))
        ]
    );
    let older = refs::history(&snapshot, novel, Some(history[2].0), 99).unwrap();
    assert_eq!(older.len(), 4);
    assert_eq!(refs::state(&snapshot, novel).unwrap().count, 4);
}

#[tokio::test]
async fn a_name_that_is_a_folder_of_another_conflicts_with_it() {
    let (_folder, store) = open();
    let novel = repository(&store, "novel").await.id;
    let made = ["refs/heads/a/b", "refs/heads/c", "refs/heads/a-b"];
    apply(
        &store,
        novel,
        made.iter().map(|name| write(name, Some("1"))).collect(),
    )
    .await;
    let snapshot = store.snapshot().unwrap();
    let check = |name: &str, with: Option<&str>| {
        let found = refs::conflicting(&snapshot, novel, name, |_| false).unwrap();
        assert_eq!(found.as_deref(), with, "{name}");
    };
    check("refs/heads/a", Some("refs/heads/a/b"));
    check("refs/heads/a/b/c", Some("refs/heads/a/b"));
    check("refs/heads/c/d/e", Some("refs/heads/c"));
    check("refs/heads/a/c", None);
    check("refs/heads/a/b", None);
    check("refs/heads/d", None);
    let leaves = |name: &str| name == "refs/heads/a/b";
    let freed = refs::conflicting(&snapshot, novel, "refs/heads/a", leaves).unwrap();
    assert_eq!(freed, None);
}

#[tokio::test]
async fn ref_snapshots_are_kept_until_a_ref_or_head_changes() {
    let (_folder, store) = open();
    let mut novel = repository(&store, "novel").await;
    let empty = store.refs(novel.id).unwrap().unwrap();
    assert!(Arc::ptr_eq(&empty, &store.refs(novel.id).unwrap().unwrap()));
    apply(&store, novel.id, vec![write("refs/heads/main", Some("1"))]).await;
    assert!(store.refs_if_cached(novel.id).unwrap().is_none());
    let full = store.refs(novel.id).unwrap().unwrap();
    assert_eq!(full.head_id(), Some(id("1")));
    assert!(store.refs_if_cached(novel.id).unwrap().is_some());

    novel.default_branch = RefName::branch("trunk").unwrap();
    let changed = novel.clone();
    let done = store
        .commit(move |tx| repositories::update(tx, &changed))
        .await;
    done.unwrap();
    let moved = store.refs(novel.id).unwrap().unwrap();
    assert_eq!(moved.head().as_str(), "refs/heads/trunk");
    assert!(moved.generation() > full.generation());
}
