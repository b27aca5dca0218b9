//! Credentials of every kind against a real store.

use aws_lc_rs::{
    encoding::{AsDer as _, PublicKeyX509Der},
    rsa,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::*;
use crate::{
    model::{RefOperation, RefPolicy, RefRule, Scopes, Secret},
    store::{
        deploy_keys::NewDeployKey,
        issuers,
        namespaces::NamespaceOwner,
        ssh_keys::NewSshKey,
        tokens::{NewToken, TokenRow},
        users::NewUser,
    },
};

struct World {
    _folder: TempDir,
    store: Store,
    secret: ServerSecret,
    auth: Authenticator,
}

fn world() -> World {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let secret = ServerSecret::new(&Secret::new([7; 32]));
    World {
        _folder: folder,
        auth: Authenticator::new(store.clone(), secret.clone()),
        store,
        secret,
    }
}

impl World {
    async fn user(&self, name: &str, password: Option<&str>) -> UserRow {
        let new = NewUser {
            name: name.parse().unwrap(),
            email: None,
            password_hash: password.map(|password| hash_password(password).unwrap()),
            admin: false,
        };
        let made = self.store.commit(move |tx| users::insert(tx, &new)).await;
        made.unwrap().unwrap()
    }

    async fn namespace(&self, name: &str) -> u64 {
        let name = name.parse().unwrap();
        let uuid = secrets::new_uuid();
        let made = self
            .store
            .commit(move |tx| namespaces::insert(tx, &uuid, &name, NamespaceOwner::Organization))
            .await;
        made.unwrap().unwrap().id
    }

    async fn token(&self, owner: Subject, expires_at: Option<Timestamp>) -> (String, TokenRow) {
        let secret = secrets::new_token();
        let new = NewToken {
            hash: self.secret.token_hash(secret.expose()),
            owner,
            name: "test".to_owned(),
            scopes: [Scope::GitRead].into_iter().collect(),
            repositories: Some(vec![5]),
            refs: RefPolicy::default(),
            expires_at,
        };
        let made = self.store.commit(move |tx| tokens::insert(tx, &new)).await;
        (secret.expose().clone(), made.unwrap())
    }

    async fn issuer(&self, namespace: u64, kid: Option<&str>, issuer: &Issuer) -> IssuerKeyId {
        let family = issuer_key::family(&issuer.public_pem).unwrap();
        let (kid, pem) = (kid.map(str::to_owned), issuer.public_pem.clone());
        let made = self
            .store
            .commit(move |tx| issuers::insert(tx, namespace, kid.as_deref(), family, &pem))
            .await;
        IssuerKeyId(namespace, made.unwrap().id)
    }

    async fn remove_issuer(&self, key: IssuerKeyId) {
        let done: Result<(), StoreError> = self
            .store
            .commit(move |tx| {
                let row = issuers::find(tx, key.0, key.1)?.expect("the key is there");
                issuers::remove(tx, &row)
            })
            .await;
        done.unwrap();
    }
}

#[derive(Clone, Copy)]
struct IssuerKeyId(u64, u64);

/// Somebody who signs JWTs, with a key of its own making.
struct Issuer {
    algorithm: Algorithm,
    key: EncodingKey,
    public_pem: String,
}

fn pem(label: &str, der: &[u8]) -> String {
    let body = STANDARD.encode(der);
    let lines: Vec<_> = body
        .as_bytes()
        .chunks(64)
        .map(|line| std::str::from_utf8(line).unwrap())
        .collect();
    format!(
        "-----BEGIN {label}-----\n{}\n-----END {label}-----\n",
        lines.join("\n")
    )
}

impl Issuer {
    fn es256() -> Self {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap();
        let public: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        Self {
            algorithm: Algorithm::ES256,
            key: EncodingKey::from_ec_der(pair.to_pkcs8v1().unwrap().as_ref()),
            public_pem: pem("PUBLIC KEY", public.as_ref()),
        }
    }

    fn eddsa() -> Self {
        let pair = Ed25519KeyPair::generate().unwrap();
        let public: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        Self {
            algorithm: Algorithm::EdDSA,
            key: EncodingKey::from_ed_der(pair.to_pkcs8().unwrap().as_ref()),
            public_pem: pem("PUBLIC KEY", public.as_ref()),
        }
    }

    fn rs256() -> Self {
        let pair = rsa::KeyPair::generate(rsa::KeySize::Rsa2048).unwrap();
        let public: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
        let private =
            aws_lc_rs::encoding::AsDer::<aws_lc_rs::encoding::Pkcs8V1Der<'_>>::as_der(&pair)
                .unwrap();
        Self {
            algorithm: Algorithm::RS256,
            key: EncodingKey::from_rsa_pem(pem("PRIVATE KEY", private.as_ref()).as_bytes())
                .unwrap(),
            public_pem: pem("PUBLIC KEY", public.as_ref()),
        }
    }

    fn signs(&self, kid: Option<&str>, claims: &Value) -> String {
        let mut header = Header::new(self.algorithm);
        header.kid = kid.map(str::to_owned);
        jsonwebtoken::encode(&header, claims, &self.key).unwrap()
    }
}

fn claims() -> Value {
    json!({
        "iss": "acme",
        "sub": "tests",
        "repo": "team/novel",
        "scopes": ["git:write", "org:sing"],
        "iat": Timestamp::now().seconds(),
        "exp": Timestamp::now().seconds() + 3600,
    })
}

fn with(changes: Value) -> Value {
    let mut claims = claims();
    for (name, value) in changes.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}

fn unauthorized(result: Result<Caller, AuthError>) -> Unauthorized {
    match result {
        Err(AuthError::Unauthorized(reason)) => reason,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_token_acts_for_its_owner_within_its_limits() {
    let world = world();
    let alice = world.user("alice", None).await;
    let (token, row) = world.token(Subject::User(alice.id), None).await;
    let by_bearer = world.auth.bearer(&token, None).unwrap();
    assert_eq!(by_bearer.principal, user(&alice));
    assert_eq!(
        by_bearer.grant.scopes,
        [Scope::GitRead].into_iter().collect::<Scopes>()
    );
    assert_eq!(by_bearer.grant.repositories, RepositoryLimit::Ids(vec![5]));
    assert_eq!(by_bearer.credential, CredentialUsed::Token(row.id));
    for (name, password) in [("x", token.as_str()), ("", &token), (&token, "")] {
        let by_basic = world.auth.basic(name, password, None).await.unwrap();
        assert_eq!(by_basic, by_bearer);
    }
    let unknown = secrets::new_token();
    assert_eq!(
        unauthorized(world.auth.bearer(unknown.expose(), None)),
        Unauthorized::UnknownToken
    );
    let removed: Result<(), StoreError> =
        world.store.commit(move |tx| tokens::remove(tx, &row)).await;
    removed.unwrap();
    assert_eq!(
        unauthorized(world.auth.bearer(&token, None)),
        Unauthorized::UnknownToken
    );
}

#[tokio::test]
async fn an_expired_token_and_a_blocked_owner_open_nothing() {
    let world = world();
    let mut alice = world.user("alice", Some("hunter2")).await;
    let past = Timestamp::now().plus_seconds(-1);
    let (expired, _) = world.token(Subject::User(alice.id), Some(past)).await;
    assert_eq!(
        unauthorized(world.auth.bearer(&expired, None)),
        Unauthorized::Expired(past)
    );
    let (token, _) = world.token(Subject::User(alice.id), None).await;
    alice.blocked = true;
    let blocked: Result<(), StoreError> = world
        .store
        .commit(move |tx| users::update(tx, &alice))
        .await;
    blocked.unwrap();
    assert_eq!(
        unauthorized(world.auth.bearer(&token, None)),
        Unauthorized::Blocked
    );
    let by_password = world.auth.basic("alice", "hunter2", None).await;
    assert!(matches!(
        unauthorized(by_password),
        Unauthorized::WrongPassword(_)
    ));
}

#[tokio::test]
async fn a_robots_token_goes_with_no_other_robots_name() {
    let world = world();
    let acme = world.namespace("acme").await;
    let short = "ci".parse().unwrap();
    let robot = world
        .store
        .commit(move |tx| robots::insert(tx, acme, &short, ""))
        .await;
    let robot = robot.unwrap().unwrap();
    let (token, _) = world.token(Subject::Robot(robot.id), None).await;
    let caller = world.auth.basic("acme+ci", &token, None).await.unwrap();
    assert_eq!(caller.principal.display_name(), "acme+ci");
    let other = world.auth.basic("acme+cd", &token, None).await;
    assert!(matches!(unauthorized(other), Unauthorized::OtherOwner(_)));
}

#[tokio::test]
async fn a_password_opens_and_ten_wrong_ones_close_the_door_for_a_while() {
    let world = world();
    world.user("alice", Some("hunter2")).await;
    world.user("bob", None).await;
    let auth = &world.auth;
    let address: Option<IpAddr> = Some("192.0.2.9".parse().unwrap());
    let alice = auth.basic("Alice", "hunter2", address).await.unwrap();
    assert_eq!(alice.principal.display_name(), "alice");
    assert_eq!(alice.credential, CredentialUsed::Password);
    for name in ["bob", "nobody"] {
        let refused = unauthorized(auth.basic(name, "hunter2", address).await);
        assert_eq!(refused, Unauthorized::WrongPassword(name.to_owned()));
    }
    for _ in 0..10 {
        let wrong = auth.basic("alice", "wrong", address).await;
        assert!(matches!(
            unauthorized(wrong),
            Unauthorized::WrongPassword(_)
        ));
    }
    let right = auth.basic("alice", "hunter2", address).await;
    assert!(matches!(right, Err(AuthError::TooManyTries { .. })));
    let elsewhere = Some("192.0.2.10".parse().unwrap());
    assert!(auth.basic("alice", "hunter2", elsewhere).await.is_ok());
}

const LAPTOP: &str =
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHWWB9euUODWN0aSRpWCH1662IqVOmNrWAiPGB+J21tT";

#[tokio::test]
async fn a_known_ssh_key_names_its_holder_and_an_unknown_one_nobody() {
    let world = world();
    let alice = world.user("alice", None).await;
    let key = ssh_key::PublicKey::from_openssh(LAPTOP).unwrap();
    assert!(!world.auth.ssh_key_offered(&key).unwrap());
    assert!(matches!(
        unauthorized(world.auth.ssh_key_proven(&key, None)),
        Unauthorized::UnknownKey(_)
    ));
    let accepted = public_key::parse(LAPTOP).unwrap();
    let new = NewSshKey {
        owner: Subject::User(alice.id),
        title: "laptop".to_owned(),
        fingerprint: accepted.fingerprint.clone(),
        public_key: accepted.text.clone(),
    };
    let row = world
        .store
        .commit(move |tx| ssh_keys::insert(tx, &new))
        .await;
    let row = row.unwrap().unwrap();
    assert!(world.auth.ssh_key_offered(&key).unwrap());
    let caller = world.auth.ssh_key_proven(&key, None).unwrap();
    assert_eq!(caller.principal, user(&alice));
    assert!(!caller.grant.scopes.allows(Scope::Api));

    let new = NewDeployKey {
        repository_id: 1,
        fingerprint: accepted.fingerprint,
        public_key: accepted.text,
        title: "ci".to_owned(),
        may_write: true,
        refs: RefPolicy::default(),
    };
    let swapped: Result<(), StoreError> = world
        .store
        .commit(move |tx| {
            ssh_keys::remove(tx, &row)?;
            deploy_keys::grant(tx, &new)?.expect("the fingerprint is free");
            Ok(())
        })
        .await;
    swapped.unwrap();
    let caller = world.auth.ssh_key_proven(&key, None).unwrap();
    assert!(matches!(caller.principal, Principal::DeployKey { .. }));
}

#[tokio::test]
async fn a_jwt_of_each_algorithm_speaks_for_its_issuer() {
    let world = world();
    let acme = world.namespace("acme").await;
    for issuer in [Issuer::es256(), Issuer::eddsa(), Issuer::rs256()] {
        world.issuer(acme, None, &issuer).await;
        let token = issuer.signs(None, &claims());
        let caller = world.auth.bearer(&token, None).unwrap();
        assert!(matches!(
            &caller.principal,
            Principal::Issuer { namespace_id, subject, .. }
                if *namespace_id == acme && subject == "tests"
        ));
        assert_eq!(
            caller.grant.scopes,
            [Scope::GitWrite].into_iter().collect::<Scopes>()
        );
        let named = RepositoryLimit::Named("team/novel".parse().unwrap());
        assert_eq!(caller.grant.repositories, named);
        assert_eq!(world.auth.basic("t", &token, None).await.unwrap(), caller);
    }
}

#[tokio::test]
async fn a_jwt_dies_with_its_key_even_when_it_was_seen_before() {
    let world = world();
    let acme = world.namespace("acme").await;
    let issuer = Issuer::es256();
    let key = world.issuer(acme, None, &issuer).await;
    let token = issuer.signs(None, &claims());
    assert!(world.auth.bearer(&token, None).is_ok());
    assert!(world.auth.bearer(&token, None).is_ok());
    world.remove_issuer(key).await;
    assert!(matches!(
        unauthorized(world.auth.bearer(&token, None)),
        Unauthorized::UnknownIssuer(_)
    ));
}

#[tokio::test]
async fn a_jwt_has_its_time() {
    let world = world();
    let acme = world.namespace("acme").await;
    let issuer = Issuer::eddsa();
    world.issuer(acme, None, &issuer).await;
    let snapshot = world.store.snapshot().unwrap();
    let verifier = jwt::Verifier::default();
    let now = Timestamp::from_seconds(1_800_000_000);
    let token = issuer.signs(
        None,
        &with(json!({"exp": now.seconds() + 600, "nbf": now.seconds()})),
    );
    let at = |seconds| verifier.verify(&snapshot, &token, now.plus_seconds(seconds));
    assert!(matches!(unauthorized(at(-31)), Unauthorized::NotYet(_)));
    for seconds in [-30, 0, 599, 629] {
        assert!(at(seconds).is_ok(), "{seconds}");
    }
    assert!(matches!(unauthorized(at(630)), Unauthorized::Expired(_)));
}

#[tokio::test]
async fn a_kid_selects_the_key_and_an_unknown_one_only_nameless_keys() {
    let world = world();
    let acme = world.namespace("acme").await;
    let (one, other, nameless) = (Issuer::es256(), Issuer::es256(), Issuer::es256());
    world.issuer(acme, Some("one"), &one).await;
    world.issuer(acme, Some("other"), &other).await;
    world.issuer(acme, None, &nameless).await;
    let accepted = |issuer: &Issuer, kid| {
        let token = issuer.signs(kid, &claims());
        world.auth.bearer(&token, None).is_ok()
    };
    assert!(accepted(&one, Some("one")));
    assert!(accepted(&one, None));
    assert!(!accepted(&one, Some("other")));
    assert!(!accepted(&one, Some("unknown")));
    assert!(accepted(&nameless, Some("unknown")));
}

/// The attack: sign with the issuer's *public* key as an HMAC secret, or with no algorithm at all,
/// and hope that the server picks the algorithm from the token.
#[tokio::test]
async fn a_jwt_can_not_choose_its_own_algorithm() {
    let world = world();
    let acme = world.namespace("acme").await;
    let issuer = Issuer::es256();
    world.issuer(acme, None, &issuer).await;
    let forger = Issuer {
        algorithm: Algorithm::HS256,
        key: EncodingKey::from_secret(issuer.public_pem.as_bytes()),
        public_pem: String::new(),
    };
    let token = forger.signs(None, &claims());
    assert!(matches!(
        unauthorized(world.auth.bearer(&token, None)),
        Unauthorized::MalformedJwt(_)
    ));
    let part =
        |value: Value| base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(value.to_string());
    let header = part(json!({"alg": "none", "typ": "JWT"}));
    let unsigned = format!("{header}.{}.", part(claims()));
    assert!(matches!(
        unauthorized(world.auth.bearer(&unsigned, None)),
        Unauthorized::MalformedJwt(_)
    ));
    let foreign = Issuer::es256().signs(None, &claims());
    assert!(matches!(
        unauthorized(world.auth.bearer(&foreign, None)),
        Unauthorized::BadSignature(_)
    ));
}

#[tokio::test]
async fn a_jwts_permissions_are_dropped_and_its_limits_refused_when_not_understood() {
    let world = world();
    let acme = world.namespace("acme").await;
    let issuer = Issuer::es256();
    world.issuer(acme, None, &issuer).await;
    let caller = |changes: Value| world.auth.bearer(&issuer.signs(None, &with(changes)), None);
    let rule = |pattern: &str, operations: &[RefOperation]| RefRule {
        pattern: pattern.to_owned(),
        operations: operations.to_vec(),
    };

    let powers = caller(json!({"scopes": ["api", "admin", "git:read", "root"]})).unwrap();
    assert_eq!(
        powers.grant.scopes,
        [Scope::GitRead].into_iter().collect::<Scopes>()
    );
    let whole = caller(json!({"repo": "org"})).unwrap();
    assert_eq!(whole.grant.repositories, RepositoryLimit::Organization);
    let limited = caller(json!({
        "refs": [["main", ["no-push"]], ["refs/heads/bot/*", []]],
        "ops": ["no-force-push"],
    }));
    assert_eq!(
        limited.unwrap().grant.refs,
        RefPolicy(vec![
            rule("main", &[RefOperation::NoPush]),
            rule("refs/heads/bot/*", &[]),
            rule("*", &[RefOperation::NoForcePush]),
        ])
    );
    for changes in [
        json!({"refs": [["main", ["no-smoking"]]]}),
        json!({"refs": "main"}),
        json!({"refs": [["main"]]}),
        json!({"ops": ["no-smoking"]}),
        json!({"repo": null}),
        json!({"repo": "../etc"}),
        json!({"exp": null}),
        json!({"exp": "tomorrow"}),
    ] {
        let refused = unauthorized(caller(changes.clone()));
        assert!(
            matches!(refused, Unauthorized::MalformedJwt(_)),
            "{changes}: {refused}"
        );
    }
    let stranger = unauthorized(caller(json!({"iss": "umbrella"})));
    assert_eq!(stranger, Unauthorized::UnknownIssuer("umbrella".to_owned()));
}

#[test]
fn an_issuer_key_is_a_public_key() {
    use crate::store::issuers::KeyFamily;
    use issuer_key::{IssuerKeyError, PEM_BYTES_MAX, family};
    assert_eq!(family(&Issuer::es256().public_pem), Ok(KeyFamily::Ec));
    assert_eq!(family(&Issuer::eddsa().public_pem), Ok(KeyFamily::Ed));
    assert_eq!(family(&Issuer::rs256().public_pem), Ok(KeyFamily::Rsa));
    let private = pem("PRIVATE KEY", b"anything");
    assert_eq!(family(&private), Err(IssuerKeyError::Private));
    assert_eq!(family("a shared secret"), Err(IssuerKeyError::Unreadable));
    let long = "a".repeat(PEM_BYTES_MAX + 1);
    assert_eq!(family(&long), Err(IssuerKeyError::TooLong(long.len())));
}

#[test]
fn what_is_shaped_like_a_jwt() {
    for (text, expected) in [
        ("eyJh.eyJp.c2ln", true),
        ("eyJh.eyJp.", false),
        ("eyJh.eyJp", false),
        ("my.pass.word", false),
        ("eyJh.ey p.c2ln", false),
        ("", false),
    ] {
        assert_eq!(jwt::looks_like_one(text), expected, "{text:?}");
    }
}
