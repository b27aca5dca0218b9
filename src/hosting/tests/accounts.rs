//! Users, tokens, keys, members, issuers; what is taken away is gone at once.

use super::*;
use crate::{
    model::{Role, Scope, Secret},
    store::{audit::AuditResult, memberships::Subject},
};

const KEY: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHWWB9euUODWN0aSRpWCH1662IqVOmNrWAiPGB+J21tT laptop";

fn deploy(may_write: bool) -> DeployKeySettings {
    DeployKeySettings {
        title: None,
        may_write,
        refs: crate::model::RefPolicy::default(),
    }
}

fn subject(caller: &Caller) -> Subject {
    access::subject(caller).unwrap()
}

#[tokio::test]
async fn a_user_and_a_namespace_share_their_names() {
    let world = world().await;
    world.user("alice").await;
    let acme = "acme".parse().unwrap();
    let server = world.server();
    world
        .hosting
        .create_organization(server, acme)
        .await
        .unwrap();
    for name in ["Alice", "ACME"] {
        let new = NewAccount {
            name: name.parse().unwrap(),
            email: None,
            password: Some(Secret::new("hunter2".to_owned())),
            admin: false,
        };
        let taken = world.hosting.create_user(world.server(), new).await;
        assert!(matches!(taken, Err(HostingError::Taken { .. })), "{name}");
        let organization = name.parse().unwrap();
        let taken = world
            .hosting
            .create_organization(world.server(), organization)
            .await;
        assert!(matches!(taken, Err(HostingError::Taken { .. })), "{name}");
    }
}

#[tokio::test]
async fn nobody_makes_a_token_that_may_more_than_the_one_it_was_asked_with() {
    let world = world().await;
    let alice = world.user("alice").await;
    let own = || world.hosting.authorize_account(&alice, "alice").unwrap();
    let narrow = token_settings(&[Scope::GitRead, Scope::RepoWrite]);
    let (secret, row) = world.hosting.create_token(own(), narrow).await.unwrap();
    let wide = token_settings(&[Scope::Admin]);
    let refused = denied(world.hosting.create_token(own(), wide).await);
    assert_eq!(refused, Denied::MissingScope(Scope::Admin));
    let by_narrow = world.auth.bearer(secret.expose(), None).unwrap();
    let account = world.hosting.authorize_account(&by_narrow, "alice");
    assert_eq!(denied(account), Denied::MissingScope(Scope::Api));

    assert_eq!(world.hosting.list_tokens(&own()).unwrap().len(), 2);
    world.hosting.delete_token(own(), row.id).await.unwrap();
    assert!(world.auth.bearer(secret.expose(), None).is_err());
    let again = world.hosting.delete_token(own(), row.id).await;
    assert!(matches!(again, Err(HostingError::NotFound { .. })));
}

#[tokio::test]
async fn members_do_what_their_role_says_and_give_away_no_higher_one() {
    let world = world().await;
    let (alice, bob, eve) = (
        world.user("alice").await,
        world.user("bob").await,
        world.user("eve").await,
    );
    world.repository(&alice, "alice/novel").await;
    let novel = path("alice/novel");
    let hosting = &world.hosting;
    let set = |by: &Caller, who: &Caller, role| {
        let authorized = world.may::<Administer>(by, "alice/novel");
        hosting.set_repository_member(authorized, subject(who), role)
    };
    set(&alice, &bob, Some(Role::Admin)).await.unwrap();
    assert!(hosting.authorize::<Administer>(&bob, &novel).is_ok());
    let too_high = set(&bob, &eve, Some(Role::Owner)).await;
    let needed = Role::Owner;
    assert_eq!(denied(too_high), Denied::RoleTooLow { needed });
    set(&bob, &eve, Some(Role::Write)).await.unwrap();
    assert!(hosting.authorize::<policy::Push>(&eve, &novel).is_ok());

    let held = world.may::<Administer>(&bob, "alice/novel");
    set(&alice, &bob, None).await.unwrap();
    let too_late = hosting
        .set_repository_member(held, subject(&eve), None)
        .await;
    assert_eq!(denied(too_late), Denied::NotVisible);

    let namespace = "alice".parse().unwrap();
    let manage = hosting
        .authorize_namespace::<ManageNamespace>(&alice, &namespace)
        .unwrap();
    hosting
        .set_member(manage.clone(), subject(&bob), Some(Role::Read))
        .await
        .unwrap();
    assert!(hosting.authorize::<Fetch>(&bob, &novel).is_ok());
    assert_eq!(hosting.list_members(&manage).unwrap().len(), 1);
}

#[tokio::test]
async fn a_deploy_key_opens_each_repository_in_its_own_way_until_it_is_deleted() {
    let world = world().await;
    let alice = world.user("alice").await;
    let hosting = &world.hosting;
    for name in ["alice/novel", "alice/draft", "alice/diary"] {
        world.repository(&alice, name).await;
    }
    let administer = |name: &str| world.may::<Administer>(&alice, name);
    let (key, _) = hosting
        .add_deploy_key(administer("alice/novel"), KEY, deploy(false))
        .await
        .unwrap();
    let (same, grant) = hosting
        .add_deploy_key(administer("alice/draft"), KEY, deploy(true))
        .await
        .unwrap();
    assert_eq!(key.id, same.id);
    assert_eq!(grant.title, "laptop");
    let twice = hosting
        .add_deploy_key(administer("alice/novel"), KEY, deploy(true))
        .await;
    assert!(matches!(twice, Err(HostingError::Taken { .. })));
    let own = hosting.authorize_account(&alice, "alice").unwrap();
    let as_account = hosting.add_user_key(own, None, KEY).await;
    assert!(matches!(as_account, Err(HostingError::Taken { .. })));

    let public = KEY.parse::<russh::keys::ssh_key::PublicKey>().unwrap();
    let robot = world.auth.ssh_key_proven(&public, None).unwrap();
    let fetches = |name| hosting.authorize::<Fetch>(&robot, &path(name)).is_ok();
    let pushes = |name| {
        hosting
            .authorize::<policy::Push>(&robot, &path(name))
            .is_ok()
    };
    assert!(fetches("alice/novel") && !pushes("alice/novel"));
    assert!(fetches("alice/draft") && pushes("alice/draft"));
    assert!(!fetches("alice/diary") && !pushes("alice/diary"));

    let listed = hosting.list_deploy_keys(&administer("alice/novel"), 0, 9);
    assert_eq!(listed.unwrap().len(), 1);
    hosting
        .delete_deploy_key(administer("alice/novel"), key.id)
        .await
        .unwrap();
    assert!(!fetches("alice/novel"));
    assert!(pushes("alice/draft"));
    assert!(
        hosting
            .deploy_key(&administer("alice/novel"), key.id)
            .is_err()
    );
    assert!(
        hosting
            .deploy_key(&administer("alice/draft"), key.id)
            .is_ok()
    );
    hosting
        .delete_deploy_key(administer("alice/draft"), key.id)
        .await
        .unwrap();
    assert!(!world.auth.ssh_key_offered(&public).unwrap());
}

#[tokio::test]
async fn robots_have_tokens_and_lose_them_with_their_robot() {
    let world = world().await;
    let alice = world.user("alice").await;
    let hosting = &world.hosting;
    world.repository(&alice, "alice/novel").await;
    let manage = || {
        let namespace = "alice".parse().unwrap();
        hosting
            .authorize_namespace::<ManageNamespace>(&alice, &namespace)
            .unwrap()
    };
    let short = "ci".parse().unwrap();
    let robot = hosting.create_robot(manage(), short, String::new()).await;
    let robot = robot.unwrap();
    let (secret, _) = hosting
        .create_robot_token(manage(), "ci".to_owned(), token_settings(&[Scope::GitRead]))
        .await
        .unwrap();
    let caller = world
        .auth
        .basic("alice+ci", secret.expose(), None)
        .await
        .unwrap();
    let novel = path("alice/novel");
    assert!(hosting.authorize::<Fetch>(&caller, &novel).is_err());
    let member = world.may::<Administer>(&alice, "alice/novel");
    hosting
        .set_repository_member(member, Subject::Robot(robot.id), Some(Role::Read))
        .await
        .unwrap();
    assert!(hosting.authorize::<Fetch>(&caller, &novel).is_ok());
    hosting
        .delete_robot(manage(), "ci".to_owned())
        .await
        .unwrap();
    assert!(world.auth.bearer(secret.expose(), None).is_err());
}

#[tokio::test]
async fn every_change_leaves_its_row_in_the_audit_log() {
    let world = world().await;
    let alice = world.user("alice").await;
    world.repository(&alice, "alice/novel").await;
    let delete = world.may::<DeleteRepository>(&alice, "alice/novel");
    world.hosting.delete_repository(delete).await.unwrap();
    let rows = world.hosting.audit_log(&world.server(), None, 9).unwrap();
    let told: Vec<_> = rows
        .iter()
        .map(|row| (row.actor.as_str(), row.action.as_str(), row.target.as_str()))
        .collect();
    assert_eq!(told[0], ("alice", "repository.delete", "alice/novel"));
    assert_eq!(told[1], ("alice", "repository.create", "alice/novel"));
    assert_eq!(told[2].1, "token.create");
    assert_eq!(told[3], ("admin", "user.create", "alice"));
    assert!(rows.iter().all(|row| row.result == AuditResult::Done));
    let older = world
        .hosting
        .audit_log(&world.server(), Some(rows[2].id), 1)
        .unwrap();
    assert_eq!(older[0].action, "user.create");
}
