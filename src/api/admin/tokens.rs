//! Tokens of users and robots. A secret is in the answer that makes it, and in no other.

use axum::{Json, extract::State, http::StatusCode};
use serde::{Deserialize, Serialize};

use super::{error::Error, id, page::Page};
use crate::{
    api::{App, body::JsonBody, request::Segments},
    hosting::TokenSettings,
    model::{Caller, RefOperation, RefPolicy, RefRule, Scope, Secret, Timestamp},
    store::tokens::TokenRow,
};

/// The body that describes a new token.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewToken {
    #[serde(default)]
    name: String,
    scopes: Option<Vec<String>>,
    repositories: Option<Vec<u64>>,
    refs: Option<Vec<(String, Vec<RefOperation>)>>,
    expires_at: Option<String>,
}

/// A token in an answer.
#[derive(Debug, Serialize)]
pub(super) struct TokenView {
    id: u64,
    name: String,
    scopes: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    repositories: Option<Vec<u64>>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    refs: Vec<(String, Vec<RefOperation>)>,
    expires_at: Option<String>,
    created_at: String,
    last_used_at: Option<String>,
}

/// A token just made.
#[derive(Serialize)]
pub(super) struct NewTokenView {
    token: String,
    #[serde(flatten)]
    view: TokenView,
}

impl NewToken {
    /// What it means; without scopes the token may what its owner may, but for the server itself.
    pub(super) fn settings(self) -> Result<TokenSettings, Error> {
        let scopes = match self.scopes {
            None => [Scope::Api].into_iter().collect(),
            Some(names) => names
                .iter()
                .map(|name| name.parse::<Scope>())
                .collect::<Result<_, _>>()
                .map_err(|error| Error::value("scopes", error))?,
        };
        let expires_at = self
            .expires_at
            .map(|text| text.parse::<Timestamp>())
            .transpose()
            .map_err(|error| Error::value("expires_at", error))?;
        Ok(TokenSettings {
            name: self.name,
            scopes,
            repositories: self.repositories,
            refs: ref_policy(self.refs.unwrap_or_default()),
            expires_at,
        })
    }
}

impl NewTokenView {
    pub(super) fn new(secret: &Secret<String>, row: TokenRow) -> Self {
        Self {
            token: secret.expose().clone(),
            view: TokenView::new(row, None),
        }
    }
}

impl TokenView {
    fn new(row: TokenRow, last_used_at: Option<Timestamp>) -> Self {
        Self {
            id: row.id,
            name: row.name,
            scopes: row.scopes.iter().map(Scope::as_str).collect(),
            repositories: row.repositories,
            refs: ref_rules(row.refs),
            expires_at: row.expires_at.map(|at| at.to_string()),
            created_at: row.created_at.to_string(),
            last_used_at: last_used_at.map(|at| at.to_string()),
        }
    }
}

/// A ref policy as it is written everywhere: `[["main", ["no-push"]], …]`.
pub(super) fn ref_policy(rules: Vec<(String, Vec<RefOperation>)>) -> RefPolicy {
    let rule = |(pattern, operations)| RefRule {
        pattern,
        operations,
    };
    RefPolicy(rules.into_iter().map(rule).collect())
}

/// The inverse of [`ref_policy`].
pub(super) fn ref_rules(policy: RefPolicy) -> Vec<(String, Vec<RefOperation>)> {
    let rules = policy.0.into_iter();
    rules.map(|rule| (rule.pattern, rule.operations)).collect()
}

/// `POST /api/v1/admin/users/{user}/tokens`: makes a token of a user.
///
/// 201 the token with its secret; 400 a value is not understood; 401 no valid credential; 403 the
/// account is somebody else's, or the token would be allowed more than the caller's credential;
/// 404 no such user; 409 the user has too many.
pub(super) async fn create(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
    body: JsonBody,
) -> Result<(StatusCode, Json<NewTokenView>), Error> {
    let [user] = segments.take();
    let authorized = app.hosting.authorize_account(&caller, &user)?;
    let settings = body.parse_or_empty::<NewToken>()?.settings()?;
    let (secret, row) = app.hosting.create_token(authorized, settings).await?;
    Ok((StatusCode::CREATED, Json(NewTokenView::new(&secret, row))))
}

/// `GET /api/v1/admin/users/{user}/tokens`: lists the tokens of a user, oldest first.
///
/// 200 all of them without secrets; 401 no valid credential; 403 the account is somebody else's;
/// 404 no such user.
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
) -> Result<Json<Page<TokenView>>, Error> {
    let [user] = segments.take();
    let authorized = app.hosting.authorize_account(&caller, &user)?;
    let tokens = app.hosting.list_tokens(&authorized)?.into_iter();
    let views = tokens.map(|(row, used)| TokenView::new(row, used));
    Ok(Json(Page::whole(views)))
}

/// `DELETE /api/v1/admin/users/{user}/tokens/{id}`: makes a token worthless at once.
///
/// 204 done; 401 no valid credential; 403 the account is somebody else's; 404 no such user or
/// token.
pub(super) async fn remove(
    State(app): State<App>,
    caller: Caller,
    segments: Segments,
) -> Result<StatusCode, Error> {
    let [user, token] = segments.take();
    let authorized = app.hosting.authorize_account(&caller, &user)?;
    let id = id(&token, "token")?;
    app.hosting.delete_token(authorized, id).await?;
    Ok(StatusCode::NO_CONTENT)
}
