//! The tables: scope × role × action, principal × visibility, and what refs allow.

use super::*;
use crate::model::{
    CredentialUsed, Grant, Principal, RefOperation, RefRule, RepositoryLimit, Scopes,
};

const REPOSITORY: u64 = 7;
const NAMESPACE: u64 = 3;

fn caller(principal: Principal) -> Caller {
    Caller {
        principal,
        grant: Grant::unlimited(),
        credential: CredentialUsed::None,
        address: None,
    }
}

fn user() -> Caller {
    caller(Principal::User {
        id: 1,
        name: "alice".to_owned(),
        admin: false,
    })
}

fn administrator() -> Caller {
    caller(Principal::User {
        id: 2,
        name: "root".to_owned(),
        admin: true,
    })
}

fn robot() -> Caller {
    caller(Principal::Robot {
        id: 1,
        name: "acme+ci".to_owned(),
    })
}

fn deploy_key() -> Caller {
    caller(Principal::DeployKey {
        id: 1,
        title: "ci".to_owned(),
    })
}

fn issuer(namespace_id: u64, limit: RepositoryLimit) -> Caller {
    let mut caller = caller(Principal::Issuer {
        namespace_id,
        namespace: "acme".parse().unwrap(),
        subject: "tests".to_owned(),
    });
    caller.grant.repositories = limit;
    caller
}

fn named(name: &str) -> RepositoryLimit {
    RepositoryLimit::Named(name.parse().unwrap())
}

fn with_scopes(mut caller: Caller, scopes: &[Scope]) -> Caller {
    caller.grant.scopes = scopes.iter().copied().collect();
    caller
}

fn novel(visibility: Visibility, member: Option<Role>) -> RepositoryFacts {
    RepositoryFacts {
        id: REPOSITORY,
        namespace_id: NAMESPACE,
        path: "acme/novel".parse().unwrap(),
        visibility,
        default_branch: RefName::branch("main").unwrap(),
        member,
        deploy_key: None,
    }
}

fn acme(member: Option<Role>) -> NamespaceFacts {
    NamespaceFacts {
        id: NAMESPACE,
        name: "acme".parse().unwrap(),
        member,
    }
}

fn judge<A: Action>(caller: &Caller, target: &A::Target) -> Result<(), Denied> {
    authorize::<A>(caller, target).map(drop)
}

/// Judges by the name of the action, so that tables can hold actions as data.
fn on_repository(action: &str, caller: &Caller, target: &RepositoryFacts) -> Result<(), Denied> {
    match action {
        "view" => judge::<View>(caller, target),
        "fetch" => judge::<Fetch>(caller, target),
        "push" => judge::<Push>(caller, target),
        "administer" => judge::<Administer>(caller, target),
        "delete" => judge::<DeleteRepository>(caller, target),
        other => panic!("no action {other}"),
    }
}

/// Action, lowest role, and the scopes that allow it; no scopes: any credential.
const REPOSITORY_ACTIONS: &[(&str, Role, &[Scope])] = &[
    ("view", Role::Read, &[]),
    (
        "fetch",
        Role::Read,
        &[Scope::GitRead, Scope::GitWrite, Scope::Api],
    ),
    ("push", Role::Write, &[Scope::GitWrite, Scope::Api]),
    ("administer", Role::Admin, &[Scope::RepoWrite, Scope::Api]),
    ("delete", Role::Owner, &[Scope::RepoWrite, Scope::Api]),
];

#[test]
fn every_scope_by_every_role_by_every_action_on_a_repository() {
    let roles = [None].into_iter().chain(Role::ALL.map(Some));
    let mut judged = 0;
    for role in roles {
        for scope in [None].into_iter().chain(Scope::ALL.map(Some)) {
            for (action, needed, allowing) in REPOSITORY_ACTIONS {
                let held: Vec<Scope> = scope.into_iter().collect();
                let scope_allows =
                    allowing.is_empty() || held.iter().any(|scope| allowing.contains(scope));
                let expected = match role {
                    _ if !scope_allows => "scope",
                    None => "not visible",
                    Some(role) if role < *needed => "role",
                    Some(_) => "allowed",
                };
                for member in [user(), robot()] {
                    let member = with_scopes(member, &held);
                    let target = novel(Visibility::Private, role);
                    let verdict = match on_repository(action, &member, &target) {
                        Ok(()) => "allowed",
                        Err(Denied::MissingScope(_)) => "scope",
                        Err(Denied::NotVisible) => "not visible",
                        Err(Denied::RoleTooLow { .. }) => "role",
                        Err(other) => panic!("{other:?}"),
                    };
                    assert_eq!(verdict, expected, "{action} as {role:?} with {scope:?}");
                    judged += 1;
                }
            }
        }
    }
    assert_eq!(judged, 5 * 7 * 5 * 2);
}

#[test]
fn visibility_lets_strangers_read_and_no_more() {
    let elsewhere = || issuer(NAMESPACE + 1, RepositoryLimit::All);
    // Who fetches from a private, an internal and a public repository.
    let table: [(Caller, [bool; 3]); 6] = [
        (Caller::anonymous(None), [false, false, true]),
        (user(), [false, true, true]),
        (robot(), [false, false, true]),
        (deploy_key(), [false, false, false]),
        (elsewhere(), [false, false, false]),
        (administrator(), [true, true, true]),
    ];
    let visibilities = [
        Visibility::Private,
        Visibility::Internal,
        Visibility::Public,
    ];
    for (caller, fetches) in table {
        for (visibility, fetches) in visibilities.into_iter().zip(fetches) {
            let target = novel(visibility, None);
            let verdict = judge::<Fetch>(&caller, &target);
            assert_eq!(
                verdict.is_ok(),
                fetches,
                "{:?} {visibility:?}",
                caller.principal
            );
            assert_eq!(is_visible(&caller, &target), fetches);
            let anonymous = caller.is_anonymous();
            match verdict {
                Ok(()) if caller == administrator() => {}
                Ok(()) => {
                    let pushed = judge::<Push>(&caller, &target).unwrap_err();
                    let expected = match anonymous {
                        true => Denied::Unauthenticated,
                        false => Denied::RoleTooLow {
                            needed: Role::Write,
                        },
                    };
                    assert_eq!(pushed, expected);
                }
                Err(denied) if anonymous => assert_eq!(denied, Denied::Unauthenticated),
                Err(denied) => assert_eq!(denied, Denied::NotVisible),
            }
        }
    }
}

#[test]
fn a_deploy_key_does_what_its_mode_says_on_its_repositories_only() {
    let key = with_scopes(deploy_key(), &[Scope::GitRead, Scope::GitWrite]);
    let granted = |may_write| RepositoryFacts {
        deploy_key: Some(DeployKeyFacts {
            may_write,
            refs: RefPolicy::default(),
        }),
        ..novel(Visibility::Private, None)
    };
    for (action, read_only, read_write) in [
        ("view", true, true),
        ("fetch", true, true),
        ("push", false, true),
        ("administer", false, false),
        ("delete", false, false),
    ] {
        assert_eq!(
            on_repository(action, &key, &granted(false)).is_ok(),
            read_only
        );
        assert_eq!(
            on_repository(action, &key, &granted(true)).is_ok(),
            read_write
        );
        // A key that is not the repository's sees nothing, be the repository ever so public.
        let stranger = on_repository(action, &key, &novel(Visibility::Public, None));
        assert!(stranger.is_err(), "{action}");
    }
}

#[test]
fn a_jwt_reaches_the_repository_it_names_in_its_issuers_namespace_and_no_other() {
    let private = novel(Visibility::Private, None);
    let public = novel(Visibility::Public, Some(Role::Owner));
    let check = |caller: &Caller, expected: Result<(), Denied>| {
        assert_eq!(judge::<Push>(caller, &private), expected);
        assert_eq!(judge::<DeleteRepository>(caller, &private), expected);
    };
    check(&issuer(NAMESPACE, named("Novel")), Ok(()));
    check(
        &issuer(NAMESPACE, named("draft")),
        Err(Denied::OutsideGrant),
    );
    check(
        &issuer(NAMESPACE, RepositoryLimit::Organization),
        Err(Denied::OutsideGrant),
    );
    check(
        &issuer(NAMESPACE + 1, named("novel")),
        Err(Denied::NotVisible),
    );
    let foreign = judge::<Fetch>(&issuer(NAMESPACE + 1, named("novel")), &public);
    assert_eq!(foreign, Err(Denied::NotVisible));
    let reader = with_scopes(issuer(NAMESPACE, named("novel")), &[Scope::GitRead]);
    assert_eq!(judge::<Fetch>(&reader, &private), Ok(()));
    assert_eq!(
        judge::<Push>(&reader, &private),
        Err(Denied::MissingScope(Scope::GitWrite))
    );
}

#[test]
fn what_a_grant_can_never_reach_is_said_before_anything_is_looked_up() {
    let check = |caller: &Caller, path: &str, expected: Result<(), Denied>| {
        let path = path.parse().unwrap();
        assert_eq!(within_grant::<Push>(caller, &path), expected);
    };
    let jwt = issuer(NAMESPACE, named("novel"));
    check(&jwt, "acme/novel", Ok(()));
    check(&jwt, "acme/absent", Err(Denied::OutsideGrant));
    check(&jwt, "other/novel", Err(Denied::OutsideGrant));
    let reader = with_scopes(user(), &[Scope::GitRead]);
    let missing = Denied::MissingScope(Scope::GitWrite);
    check(&reader, "any/thing", Err(missing));
    check(&user(), "any/thing", Ok(()));
}

#[test]
fn a_token_limited_to_some_repositories_sees_no_other_not_even_a_public_one() {
    let limited = |ids: &[u64]| {
        let mut caller = user();
        caller.grant.repositories = RepositoryLimit::Ids(ids.to_vec());
        caller
    };
    let target = novel(Visibility::Public, Some(Role::Owner));
    assert_eq!(judge::<Push>(&limited(&[1, REPOSITORY]), &target), Ok(()));
    for ids in [&[][..], &[REPOSITORY + 1]] {
        let denied = judge::<View>(&limited(ids), &target);
        assert_eq!(denied, Err(Denied::NotVisible));
    }
    let everything = limited(&[REPOSITORY]);
    let owner = Some(Role::Owner);
    let new = NewRepositoryFacts {
        namespace: acme(owner),
        name: "draft".parse().unwrap(),
    };
    for denied in [
        judge::<CreateRepository>(&everything, &new),
        judge::<ManageNamespace>(&everything, &acme(owner)),
        judge::<ManageAccount>(&everything, &AccountFacts { user_id: 1 }),
    ] {
        assert_eq!(denied, Err(Denied::OutsideGrant));
    }
}

#[test]
fn repositories_are_made_by_administrators_of_the_namespace_and_by_its_jwts() {
    let new = |member| NewRepositoryFacts {
        namespace: acme(member),
        name: "novel".parse().unwrap(),
    };
    let check = |caller: &Caller, member, expected: Result<(), Denied>| {
        assert_eq!(judge::<CreateRepository>(caller, &new(member)), expected);
    };
    let needed = Role::Admin;
    check(&user(), Some(Role::Owner), Ok(()));
    check(&user(), Some(Role::Admin), Ok(()));
    check(
        &user(),
        Some(Role::Write),
        Err(Denied::RoleTooLow { needed }),
    );
    check(&user(), None, Err(Denied::NotVisible));
    check(&administrator(), None, Ok(()));
    check(&deploy_key(), None, Err(Denied::NotVisible));
    check(&Caller::anonymous(None), None, Err(Denied::Unauthenticated));
    check(&issuer(NAMESPACE, named("novel")), None, Ok(()));
    check(
        &issuer(NAMESPACE, named("draft")),
        None,
        Err(Denied::OutsideGrant),
    );
    check(
        &issuer(NAMESPACE + 1, named("novel")),
        None,
        Err(Denied::NotVisible),
    );
    let scopes = [Scope::GitRead, Scope::GitWrite, Scope::OrgRead];
    let missing = Denied::MissingScope(Scope::RepoWrite);
    check(&with_scopes(user(), &scopes), Some(needed), Err(missing));
}

#[test]
fn only_a_jwt_for_the_whole_organization_lists_it() {
    let check = |caller: &Caller, expected: Result<(), Denied>| {
        assert_eq!(judge::<ListRepositories>(caller, &acme(None)), expected);
    };
    check(&issuer(NAMESPACE, RepositoryLimit::Organization), Ok(()));
    check(
        &issuer(NAMESPACE, named("novel")),
        Err(Denied::OutsideGrant),
    );
    check(
        &issuer(NAMESPACE + 1, RepositoryLimit::Organization),
        Err(Denied::OutsideGrant),
    );
    let missing = Denied::MissingScope(Scope::OrgRead);
    check(&with_scopes(user(), &[Scope::GitWrite]), Err(missing));

    let list = authorize::<ListRepositories>(&user(), &acme(None)).unwrap();
    assert!(list.shows(&novel(Visibility::Public, None)));
    assert!(list.shows(&novel(Visibility::Private, Some(Role::Read))));
    assert!(!list.shows(&novel(Visibility::Private, None)));
}

#[test]
fn namespaces_accounts_and_the_server_are_in_the_hands_of_their_owners() {
    let api = &[Scope::Api];
    let git = &[Scope::GitRead, Scope::GitWrite, Scope::RepoWrite];
    let owner = acme(Some(Role::Owner));
    let (own, other) = (AccountFacts { user_id: 1 }, AccountFacts { user_id: 9 });
    let missing = |scope| Err(Denied::MissingScope(scope));

    assert_eq!(judge::<ManageNamespace>(&user(), &owner), Ok(()));
    let needed = Role::Owner;
    assert_eq!(
        judge::<ManageNamespace>(&user(), &acme(Some(Role::Admin))),
        Err(Denied::RoleTooLow { needed })
    );
    let jwt = issuer(NAMESPACE, RepositoryLimit::Organization);
    assert_eq!(
        judge::<ManageNamespace>(&jwt, &owner),
        Err(Denied::OutsideGrant)
    );
    assert_eq!(
        judge::<ManageNamespace>(&with_scopes(user(), git), &owner),
        missing(Scope::Api)
    );

    // A credential for an upstream is set by whoever may set the repository.
    let admin = acme(Some(Role::Admin));
    for (caller, namespace, expected) in [
        (user(), &admin, Ok(())),
        (
            user(),
            &acme(Some(Role::Write)),
            Err(Denied::RoleTooLow {
                needed: Role::Admin,
            }),
        ),
        (user(), &acme(None), Err(Denied::NotVisible)),
        (jwt.clone(), &acme(None), Ok(())),
        (
            issuer(NAMESPACE, named("novel")),
            &admin,
            Err(Denied::OutsideGrant),
        ),
        (
            issuer(NAMESPACE + 1, RepositoryLimit::Organization),
            &acme(None),
            Err(Denied::NotVisible),
        ),
        (
            with_scopes(user(), &[Scope::GitWrite]),
            &admin,
            missing(Scope::RepoWrite),
        ),
        (deploy_key(), &acme(None), Err(Denied::NotVisible)),
    ] {
        let judged = judge::<ManageUpstreamCredentials>(&caller, namespace);
        assert_eq!(judged, expected, "{caller:?}");
    }

    assert_eq!(judge::<ManageAccount>(&user(), &own), Ok(()));
    assert_eq!(
        judge::<ManageAccount>(&user(), &other),
        Err(Denied::NotAdministrator)
    );
    assert_eq!(
        judge::<ManageAccount>(&with_scopes(user(), git), &own),
        missing(Scope::Api)
    );
    assert_eq!(judge::<ManageAccount>(&administrator(), &other), Ok(()));
    assert_eq!(
        judge::<ManageAccount>(&with_scopes(administrator(), api), &other),
        missing(Scope::Admin)
    );
    assert_eq!(
        judge::<ManageAccount>(&robot(), &own),
        Err(Denied::OutsideGrant)
    );

    let server = ServerFacts;
    assert_eq!(judge::<AdministerServer>(&administrator(), &server), Ok(()));
    assert_eq!(
        judge::<AdministerServer>(&with_scopes(administrator(), api), &server),
        missing(Scope::Admin)
    );
    for caller in [user(), robot(), deploy_key(), jwt] {
        assert_eq!(
            judge::<AdministerServer>(&caller, &server),
            Err(Denied::NotAdministrator)
        );
    }
    let anonymous = Caller::anonymous(None);
    assert_eq!(
        judge::<AdministerServer>(&anonymous, &server),
        Err(Denied::Unauthenticated)
    );
    assert_eq!(
        judge::<ManageAccount>(&anonymous, &own),
        Err(Denied::Unauthenticated)
    );
}

#[test]
fn no_scopes_allow_nothing_but_to_know_what_one_may_see() {
    let bare = with_scopes(user(), &[]);
    assert_eq!(bare.grant.scopes, Scopes::NONE);
    let target = novel(Visibility::Private, Some(Role::Owner));
    for (action, ..) in REPOSITORY_ACTIONS {
        let allowed = on_repository(action, &bare, &target).is_ok();
        assert_eq!(allowed, *action == "view", "{action}");
    }
}

fn rule(pattern: &str, operations: &[RefOperation]) -> RefRule {
    RefRule {
        pattern: pattern.to_owned(),
        operations: operations.to_vec(),
    }
}

const CREATE: RefChangeKind = RefChangeKind::Create;
const FORWARD: RefChangeKind = RefChangeKind::Update { forced: false };
const FORCED: RefChangeKind = RefChangeKind::Update { forced: true };
const DELETE: RefChangeKind = RefChangeKind::Delete;

#[test]
fn a_ref_policy_holds_for_the_refs_it_names() {
    let policy = RefPolicy(vec![
        rule("main", &[RefOperation::NoForcePush]),
        rule("refs/heads/free/*", &[]),
        rule("refs/heads/signed", &[RefOperation::VerifySig]),
        rule("*", &[RefOperation::NoPush]),
    ]);
    let mut by_token = user();
    by_token.grant.refs = policy.clone();
    let target = novel(Visibility::Private, Some(Role::Owner));
    let by_token = authorize::<Push>(&by_token, &target).unwrap();
    let by_key = RepositoryFacts {
        deploy_key: Some(DeployKeyFacts {
            may_write: true,
            refs: policy,
        }),
        ..novel(Visibility::Private, None)
    };
    let by_key = authorize::<Push>(&deploy_key(), &by_key).unwrap();
    for (name, kind, signed, allowed) in [
        ("refs/heads/main", FORWARD, false, true),
        ("refs/heads/main", FORCED, false, false),
        ("refs/heads/main", DELETE, false, false),
        ("refs/heads/free/x", FORCED, false, true),
        ("refs/heads/free/x", DELETE, false, true),
        ("refs/heads/signed", CREATE, false, false),
        ("refs/heads/signed", FORCED, true, true),
        ("refs/heads/signed", DELETE, false, true),
        ("refs/heads/other", CREATE, true, false),
        ("refs/tags/main", CREATE, true, false),
        (
            "refs/namespaces/ephemeral/refs/heads/free/x",
            FORCED,
            false,
            true,
        ),
        (
            "refs/namespaces/ephemeral/refs/heads/signed",
            FORCED,
            false,
            false,
        ),
        (
            "refs/namespaces/ephemeral/refs/heads/other",
            CREATE,
            true,
            false,
        ),
    ] {
        let name = name.parse().unwrap();
        let change = RefChange {
            name: &name,
            kind,
            signed,
        };
        for push in [&by_token, &by_key] {
            let verdict = judge_command(push, &change);
            assert_eq!(verdict.is_ok(), allowed, "{name} {kind:?}");
            if let Err(refusal) = verdict {
                assert!(refusal.to_string().starts_with("denied by policy"));
            }
        }
    }
}

#[test]
fn the_default_branch_stays_and_the_servers_own_refs_are_not_pushed() {
    let target = novel(Visibility::Private, Some(Role::Write));
    let push = authorize::<Push>(&user(), &target).unwrap();
    let check = |name: &str, kind, expected: Result<(), Refusal>| {
        let name = name.parse().unwrap();
        let change = RefChange {
            name: &name,
            kind,
            signed: false,
        };
        assert_eq!(judge_command(&push, &change), expected, "{name}");
    };
    check("refs/heads/main", DELETE, Err(Refusal::DefaultBranch));
    check("refs/heads/main", FORCED, Ok(()));
    check("refs/heads/other", DELETE, Ok(()));
    check("refs/tags/main", DELETE, Ok(()));
    check("refs/notes/commits", CREATE, Ok(()));
    for reserved in RESERVED_REFS {
        let expected = Err(Refusal::Reserved(reserved));
        check(&format!("{reserved}x"), CREATE, expected.clone());
        check(&format!("{reserved}x"), DELETE, expected);
    }
    check("refs/pullover", CREATE, Ok(()));
    check("refs/namespaces/ephemeral/refs/heads/main", DELETE, Ok(()));
    for (name, reserved) in [
        ("refs/namespaces/ephemeral/refs/pull/1", "refs/pull/"),
        ("refs/namespaces/ephemeral/heads/x", RefName::EPHEMERAL),
    ] {
        check(name, CREATE, Err(Refusal::Reserved(reserved)));
    }
}
