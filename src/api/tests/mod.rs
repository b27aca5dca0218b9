//! The APIs over real services: every answer is one that a client would get.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair},
};
use axum::{
    Router,
    body::Body,
    http::{HeaderMap, Method, Request, StatusCode, header},
};
use base64::{Engine as _, prelude::BASE64_STANDARD, prelude::BASE64_URL_SAFE_NO_PAD};
use bytes::Bytes;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt as _;

use super::{Limits, UploadLimits};
use crate::{
    auth::Authenticator,
    git::{self, fixture::Stock},
    hosting::{Hosting, bootstrap},
    mirror::Mirrors,
    model::{Caller, Timestamp},
    store::{
        Store, StoreError,
        refs::{self, RefWrite},
    },
};

mod accounts;
mod code_storage;
mod commit_pack;
mod contents;
mod deploy_keys;
mod diff_commit;
mod diffs;
mod forks;
mod merges;
mod namespaces;
mod newer;
mod repositories;
mod requests;
mod searches;
mod writes;

/// What bodies may have in these tests.
const BODY_MAX_BYTES: usize = 16 << 10;
/// What a request that makes a commit may have.
const UPLOAD_MAX_BYTES: u64 = 24 << 20;
const FILES_MAX: usize = 50;
const ISSUER_KEY: &str = include_str!("../../../fixtures/keys/issuer-es256.pem");
const ISSUER_PUBLIC_KEY: &str = include_str!("../../../fixtures/keys/issuer-es256.pub.pem");

/// A server's APIs without its transports.
struct World {
    store: Store,
    hosting: Hosting,
    folders: Arc<git::Repositories>,
    router: Router,
    admin: String,
    admin_caller: Caller,
    folder: TempDir,
}

/// What came back.
struct Answer {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Answer {
    #[track_caller]
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{error}: {} {:?}", self.status, self.body))
    }

    /// The body, of an answer with this status.
    #[track_caller]
    fn is(&self, status: u16) -> Value {
        assert_eq!(self.status.as_u16(), status, "{:?}", self.body);
        match self.body.is_empty() {
            true => Value::Null,
            false => self.json(),
        }
    }

    /// What a refusal says.
    #[track_caller]
    fn refused(&self, status: u16) -> String {
        let body = self.is(status);
        assert_eq!(
            self.header("content-type"),
            Some("application/json"),
            "a refusal is JSON"
        );
        body["error"].as_str().unwrap().to_owned()
    }

    fn header(&self, name: &str) -> Option<&str> {
        Some(self.headers.get(name)?.to_str().unwrap())
    }
}

impl World {
    async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path()).unwrap();
        let made = bootstrap(folder.path(), &store).await.unwrap();
        let root = folder.path().join("repositories");
        let capacity = NonZeroUsize::new(8).unwrap();
        let folders = Arc::new(git::Repositories::new(&root, capacity));
        let auth = Authenticator::new(store.clone(), made.secret.clone());
        let hosting = Hosting::new(store.clone(), Arc::clone(&folders), made.secret);
        let admin = std::fs::read_to_string(&made.admin_token_file).unwrap();
        let admin = admin.trim().to_owned();
        let public_url = "https://git.example".to_owned();
        let limits = Limits {
            body_bytes: BODY_MAX_BYTES,
            upload: UploadLimits {
                bytes: UPLOAD_MAX_BYTES,
                files: FILES_MAX,
                idle: Duration::from_secs(5),
                total: Duration::from_secs(600),
            },
        };
        let mirrors = Mirrors::for_tests(hosting.clone());
        Self {
            admin_caller: auth.bearer(&admin, None).unwrap(),
            router: super::router(hosting.clone(), auth, mirrors, public_url, limits),
            store,
            hosting,
            folders,
            admin,
            folder,
        }
    }

    async fn send(&self, request: Request<Body>) -> Answer {
        let (parts, body) = self
            .router
            .clone()
            .oneshot(request)
            .await
            .unwrap()
            .into_parts();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: body.collect().await.unwrap().to_bytes(),
        }
    }

    /// Sends a request with this token, if it is not empty, and this body, if it is not null.
    async fn ask(&self, method: Method, path: &str, token: &str, body: Value) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        if !token.is_empty() {
            request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
        }
        let body = match body {
            Value::Null => Body::empty(),
            body => Body::from(body.to_string()),
        };
        self.send(request.body(body).unwrap()).await
    }

    async fn get(&self, path: &str, token: &str) -> Answer {
        self.ask(Method::GET, path, token, Value::Null).await
    }

    async fn post(&self, path: &str, token: &str, body: Value) -> Answer {
        self.ask(Method::POST, path, token, body).await
    }

    async fn put(&self, path: &str, token: &str, body: Value) -> Answer {
        self.ask(Method::PUT, path, token, body).await
    }

    async fn patch(&self, path: &str, token: &str, body: Value) -> Answer {
        self.ask(Method::PATCH, path, token, body).await
    }

    async fn delete(&self, path: &str, token: &str) -> Answer {
        self.ask(Method::DELETE, path, token, Value::Null).await
    }

    /// Does something as the administrator that must succeed.
    async fn makes(&self, path: &str, body: Value) -> Value {
        let path = format!("/api/v1/admin/{path}");
        self.post(&path, &self.admin, body).await.is(201)
    }

    /// How many folders of repositories there are.
    fn folders_on_disk(&self) -> usize {
        let list = |folder: &std::path::Path| {
            let entries = std::fs::read_dir(folder).unwrap();
            entries
                .map(|entry| entry.unwrap().path())
                .collect::<Vec<_>>()
        };
        let shelves = list(&self.folder.path().join("repositories"));
        shelves.iter().map(|shelf| list(shelf).len()).sum()
    }

    /// A user's token with these scopes.
    async fn token(&self, user: &str, scopes: &[&str]) -> String {
        let made = self
            .makes(&format!("users/{user}/tokens"), json!({"scopes": scopes}))
            .await;
        made["token"].as_str().unwrap().to_owned()
    }

    /// A user with a token for everything that is theirs.
    async fn user(&self, name: &str) -> String {
        self.makes("users", json!({"name": name})).await;
        self.token(name, &["api"]).await
    }

    /// An organization whose JWTs [`jwt`] signs.
    async fn issuer(&self, name: &str) {
        self.makes("namespaces", json!({"name": name})).await;
        let key = json!({"public_key": ISSUER_PUBLIC_KEY});
        self.makes(&format!("namespaces/{name}/issuers"), key).await;
    }

    /// A private repository.
    async fn repository(&self, path: &str) -> u64 {
        let made = self.makes("repositories", json!({"path": path})).await;
        made["id"].as_u64().unwrap()
    }

    /// Puts the objects and refs of a stock repository into one of ours, refs in this order first.
    async fn fill(&self, path: &str, stock: &Stock, order: &[&str]) {
        let path = path.parse().unwrap();
        let row = self
            .hosting
            .repository(&self.admin_caller, &path)
            .unwrap()
            .row;
        let repository = self.folders.get(&row.uuid, row.object_format).unwrap();
        for index in stock.indices() {
            let name = index.file_name().unwrap();
            let target = repository.folder().join("objects/pack").join(name);
            std::fs::copy(index.with_extension("pack"), target.with_extension("pack")).unwrap();
            std::fs::copy(&index, &target).unwrap();
            repository.add_pack(&target).unwrap();
        }
        let snapshot = stock.refs();
        let mut writes: Vec<_> = snapshot
            .entries()
            .iter()
            .map(|entry| RefWrite {
                name: entry.name.clone(),
                new: Some(entry.id),
                peeled: entry.peeled,
                forced: false,
            })
            .collect();
        let place = |write: &RefWrite| {
            let place = order.iter().position(|name| *name == write.name.as_str());
            place.unwrap_or(order.len())
        };
        writes.sort_by_key(place);
        self.store
            .commit(move |tx| {
                refs::apply(tx, row.id, &writes, "test")?;
                Ok::<_, StoreError>(())
            })
            .await
            .unwrap();
    }
}

/// A JWT of the issuer `acme`, good for an hour.
fn jwt(repository: &str, scopes: &[&str]) -> String {
    signed(&json!({
        "iss": "acme",
        "sub": "tests",
        "repo": repository,
        "scopes": scopes,
        "iat": Timestamp::now().seconds(),
        "exp": Timestamp::now().seconds() + 3600,
    }))
}

fn signed(claims: &Value) -> String {
    let body: String = ISSUER_KEY
        .lines()
        .filter(|line| !line.starts_with('-'))
        .collect();
    let der = BASE64_STANDARD.decode(body).unwrap();
    let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &der).unwrap();
    let part = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    let header = part(br#"{"alg":"ES256","typ":"JWT"}"#);
    let text = format!("{header}.{}", part(claims.to_string().as_bytes()));
    let signature = key.sign(&SystemRandom::new(), text.as_bytes()).unwrap();
    format!("{text}.{}", part(signature.as_ref()))
}

/// A public key like no other, in OpenSSH's form.
fn ssh_key(comment: &str) -> String {
    use russh::keys::ssh_key::{PrivateKey, private::Ed25519Keypair};
    let seed = crate::auth::secrets::random_bytes();
    let key = PrivateKey::from(Ed25519Keypair::from_seed(&seed));
    let key = key.public_key().to_openssh().unwrap();
    format!("{key} {comment}\n")
}

/// What is at `key` in each item.
fn each<'a>(list: &'a Value, key: &str) -> Vec<&'a str> {
    let items = list.as_array().unwrap().iter();
    items.map(|item| item[key].as_str().unwrap()).collect()
}
