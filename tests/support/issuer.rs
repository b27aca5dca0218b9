//! A namespace whose owner signs JWTs, as the clients of Code Storage do.

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::{Value, json};

use super::{Server, User};

const PRIVATE_KEY: &str = include_str!("../../fixtures/keys/issuer-es256.pem");

/// The path of a key among the fixtures.
pub(crate) fn key_file(name: &str) -> String {
    format!("{}/fixtures/keys/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// Registers the issuer of the namespace `name` with the server.
pub(crate) fn issuer(server: &Server, name: &str) {
    let key = key_file("issuer-es256.pub.pem");
    server
        .admin(&["issuer", "add", name, "--public-key", &key])
        .succeeds();
}

/// What the issuer `acme` says of a repository, for an hour.
pub(crate) fn claims(repository: &str, scopes: &[&str]) -> Value {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    let expiry = now.as_secs() + 3600;
    json!({"iss": "acme", "sub": "test", "repo": repository, "scopes": scopes, "iat": 0, "exp": expiry})
}

/// These claims, signed.
pub(crate) fn jwt(claims: &Value) -> String {
    let key = EncodingKey::from_ec_pem(PRIVATE_KEY.as_bytes()).unwrap();
    encode(&Header::new(Algorithm::ES256), claims, &key).unwrap()
}

impl<'s> User<'s> {
    /// Somebody who has nothing but a JWT with these claims.
    pub(crate) fn with_jwt(&self, claims: &Value) -> Self {
        let mut holder = self.with_token(&jwt(claims));
        holder.name = "t".to_owned();
        holder
    }
}
