//! JWTs: whole ones as they come, and claims and headers under a right signature.
//!
//! Source: RFC 7515, RFC 7519.
//! Bounds: those of `auth`.
//! Invariant: without our signature nobody is let in, and with it nobody becomes more than a JWT may be.
//! Not here: what the caller may do then.
#![no_main]

use std::{cell::LazyCell, fmt::Write as _};

use aws_lc_rs::{
    encoding::{AsDer as _, PublicKeyX509Der},
    signature::{Ed25519KeyPair, KeyPair as _},
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use libfuzzer_sys::fuzz_target;
use packhorse::{
    auth::{Authenticator, issuer_key, secrets::ServerSecret},
    model::{Principal, RepositoryLimit, Scope, Secret},
    store::{Store, issuers, namespaces},
};
use tempfile::TempDir;

struct World {
    _folder: TempDir,
    authenticator: Authenticator,
    key: Ed25519KeyPair,
}

thread_local! {
    static WORLD: LazyCell<World> = LazyCell::new(World::new);
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("there is room");
        let store = Store::open(folder.path()).expect("the folder is empty");
        let key = Ed25519KeyPair::generate().expect("there is randomness");
        let public: PublicKeyX509Der<'_> = key.public_key().as_der().expect("it is a key");
        let mut pem = "-----BEGIN PUBLIC KEY-----\n".to_owned();
        write!(
            pem,
            "{}\n-----END PUBLIC KEY-----\n",
            STANDARD.encode(public.as_ref())
        )
        .expect("memory takes it");
        let family = issuer_key::family(&pem).expect("it is a public key");
        let name = "acme".parse().expect("it is a name");
        let added = store.commit(move |tx| {
            let owner = namespaces::NamespaceOwner::Organization;
            let row = namespaces::insert(tx, "uuid", &name, owner)?.expect("it is the first");
            issuers::insert(tx, row.id, None, family, &pem)
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .build()
            .expect("there are threads");
        runtime.block_on(added).map(drop).expect("the store is new");
        let secret = ServerSecret::new(&Secret::new([7; 32]));
        Self {
            authenticator: Authenticator::new(store, secret),
            _folder: folder,
            key,
        }
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((&how, data)) = data.split_first() else {
        return;
    };
    WORLD.with(|world| match how % 3 {
        0 => {
            let token = String::from_utf8_lossy(data);
            assert!(
                world.authenticator.bearer(&token, None).is_err(),
                "nobody signed this"
            );
        }
        1 => signed(world, br#"{"alg":"EdDSA","typ":"JWT"}"#, data),
        _ => {
            let middle = data
                .iter()
                .position(|byte| *byte == b'\n')
                .unwrap_or(data.len());
            let (header, claims) = data.split_at(middle);
            signed(world, header, claims);
        }
    });
});

fn signed(world: &World, header: &[u8], claims: &[u8]) {
    let mut token = format!(
        "{}.{}",
        URL_SAFE_NO_PAD.encode(header),
        URL_SAFE_NO_PAD.encode(claims)
    );
    let signature = world.key.sign(token.as_bytes());
    token.push('.');
    token.push_str(&URL_SAFE_NO_PAD.encode(signature.as_ref()));
    let Ok(caller) = world.authenticator.bearer(&token, None) else {
        return;
    };
    assert!(token.len() <= 8 * 1024 && caller.grant.refs.0.len() <= 257);
    let Principal::Issuer { namespace, .. } = &caller.principal else {
        panic!("a JWT speaks for a namespace alone");
    };
    assert_eq!(namespace.as_str(), "acme");
    assert!(!caller.grant.scopes.allows(Scope::Api) && !caller.grant.scopes.allows(Scope::Admin));
    assert!(matches!(
        caller.grant.repositories,
        RepositoryLimit::Organization | RepositoryLimit::Named(_)
    ));
}
