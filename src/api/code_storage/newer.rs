//! The newer spelling of the same API: the repository stands in the path, in one segment, and some
//! parameters have other names.
//!
//! A request is put into the words of the older spelling and handed to the same handlers; the older names
//! are understood here, too. What is answered under an older name is answered under the newer one besides.
//!
//! Source: Code Storage API, "Repositories" of the newer pages.
//! Bounds: [`ANSWER_MAX`] of an answer that gets further names; bodies by configuration. One that is a
//! stream of lines passes as it is: whoever reads those knows both names.
//! Invariant: a JWT opens what it names, in the path as elsewhere: another repository there is refused.
//! Not here: what the requests do.

use axum::{
    Router,
    body::Body,
    extract::{FromRequestParts as _, Request, State},
    http::{HeaderValue, Method, StatusCode, Uri, header, request::Parts},
    response::{IntoResponse as _, Response},
    routing::any,
};
use http_body_util::{BodyExt as _, Limited};
use serde_json::{Map, Value};
use tower::ServiceExt as _;

use super::error::Error;
use crate::{
    api::{App, request::RequestError, unknown_path, wrong_method},
    model::{Caller, Principal, RepositoryLimit},
    policy::Denied,
};

/// Longest answer that gets further names.
const ANSWER_MAX: usize = 1 << 20;

/// Newer names with the older ones.
type Names = &'static [(&'static str, &'static str)];

/// The usual ones.
const READS: Names = &[
    ("ref_is_ephemeral", "ephemeral"),
    ("base_is_ephemeral", "ephemeral_base"),
];

/// What a path below the repository is called by the older spelling, and its parameters.
const ROUTES: &[(Method, &str, &str, Names)] = &[
    (Method::GET, "", "/api/v1/repo", &[]),
    (Method::POST, "", "/api/v1/repos", &[]),
    (Method::DELETE, "", "/api/v1/repos/delete", &[]),
    (
        Method::GET,
        "branches/diff",
        "/api/v1/repos/branches/diff",
        &[
            ("ref", "branch"),
            ("base_ref", "base"),
            ("ref_is_ephemeral", "ephemeral"),
            ("base_is_ephemeral", "ephemeral_base"),
        ],
    ),
    (
        Method::GET,
        "commits",
        "/api/v1/repos/commits",
        &[("ref", "branch"), ("ref_is_ephemeral", "ephemeral")],
    ),
    (
        Method::GET,
        "commit",
        "/api/v1/repos/commit",
        &[("ref", "sha")],
    ),
    (
        Method::GET,
        "diff",
        "/api/v1/repos/diff",
        &[
            ("ref", "sha"),
            ("base_ref", "baseSha"),
            ("git_apply_compatible", "gitApplyCompatible"),
        ],
    ),
    (
        Method::POST,
        "branches/create",
        "/api/v1/repos/branches/create",
        &[],
    ),
    (
        Method::DELETE,
        "branches",
        "/api/v1/repos/branches",
        &[
            ("target_branch", "name"),
            ("target_is_ephemeral", "ephemeral"),
        ],
    ),
    (
        Method::POST,
        "merge",
        "/api/v1/repos/merge",
        &[("source_ref", "source_branch")],
    ),
    (
        Method::GET,
        "merge/preview",
        "/api/v1/repos/merge/preview",
        &[("source_ref", "source_branch")],
    ),
    (Method::GET, "notes", "/api/v1/repos/notes", NOTES),
    (Method::POST, "notes", "/api/v1/repos/notes", NOTES),
    (Method::DELETE, "notes", "/api/v1/repos/notes", NOTES),
];

const NOTES: Names = &[
    ("object_ref", "sha"),
    ("notes_ref", "ref"),
    ("expected_notes_ref_sha", "expected_ref_sha"),
];

/// Things that are named by the path itself, and the field that names them in the older spelling.
const NAMED_IN_PATH: &[(&str, &str)] = &[("tags/", "name"), ("git-credentials/", "id")];

/// Answers the older names of an answer under these, too.
const ANSWERED: Names = &[("repo_id", "repo_name")];

/// What the routes work with.
#[derive(Clone)]
struct Newer {
    app: App,
    /// The handlers by their older spelling.
    older: Router,
}

/// The routes of the newer spelling, over these of the older one.
pub(super) fn routes(app: &App, older: Router<App>) -> Router<App> {
    let older = older
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
        .with_state(app.clone());
    let newer = Newer {
        app: app.clone(),
        older,
    };
    Router::new()
        .route("/api/repos", any(collection))
        .route("/api/repos/", any(collection))
        .route("/api/repos/{repo}", any(below))
        .route("/api/repos/{repo}/", any(below))
        .route("/api/repos/{repo}/{*rest}", any(below))
        .with_state(newer)
}

async fn collection(State(newer): State<Newer>, mut request: Request) -> Response {
    match uri("/api/v1/repos", request.uri().query()) {
        Ok(uri) => *request.uri_mut() = uri,
        Err(error) => return error.into_response(),
    }
    newer.asks(request).await
}

async fn below(State(newer): State<Newer>, request: Request) -> Response {
    match translated(&newer.app, request).await {
        Ok(request) => answered(newer.asks(request).await).await,
        Err(error) => error.into_response(),
    }
}

impl Newer {
    /// What the handlers of the older spelling answer.
    async fn asks(self, request: Request) -> Response {
        let served = self.older.oneshot(request).await;
        served.unwrap_or_else(|never| match never {})
    }
}

/// The request in the words of the older spelling.
async fn translated(app: &App, request: Request) -> Result<Request, Error> {
    let (mut parts, body) = request.into_parts();
    let path = parts.uri.path().to_owned();
    let inner = path.strip_prefix("/api/repos/").unwrap_or_default();
    let (repository, rest) = inner.split_once('/').unwrap_or((inner, ""));
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let repository = decoded(repository)?;
    let caller = Caller::from_request_parts(&mut parts, app).await?;
    check_named(&caller, &repository)?;
    let known = ROUTES
        .iter()
        .find(|(method, newer, ..)| *newer == rest && *method == as_read(&parts.method));
    let mut fields = Map::new();
    let (older, names) = match known {
        Some((_, _, older, names)) => ((*older).to_owned(), *names),
        None => {
            let named = NAMED_IN_PATH.iter().find_map(|(prefix, field)| {
                let name = rest.strip_prefix(prefix)?;
                (!name.is_empty() && !name.contains('/')).then_some((prefix, *field, name))
            });
            match named {
                Some((prefix, field, name)) => {
                    fields.insert(field.to_owned(), Value::String(decoded(name)?));
                    (
                        format!("/api/v1/repos/{}", prefix.trim_end_matches('/')),
                        READS,
                    )
                }
                None => (format!("/api/v1/repos/{rest}"), READS),
            }
        }
    };
    if rest == "git-credentials" {
        fields.insert("repo_id".to_owned(), Value::String(repository.clone()));
    }
    let mut query: Vec<String> = parts
        .uri
        .query()
        .into_iter()
        .flat_map(|query| query.split('&'))
        .map(|pair| renamed_pair(pair, names))
        .collect();
    if !matches!(caller.principal, Principal::Issuer { .. }) {
        query.push(format!("repo={}", encoded(&repository)));
    }
    parts.uri = uri(&older, Some(&query.join("&")))?;
    let body = translated_body(app, &mut parts, body, names, fields).await?;
    Ok(Request::from_parts(parts, body))
}

/// A JWT for one repository opens no other, wherever it is named.
fn check_named(caller: &Caller, repository: &str) -> Result<(), Error> {
    let (Principal::Issuer { namespace, .. }, RepositoryLimit::Named(name)) =
        (&caller.principal, &caller.grant.repositories)
    else {
        return Ok(());
    };
    let whole = format!("{namespace}/{name}");
    let same = |text: &str| text.eq_ignore_ascii_case(repository);
    match same(name.as_str()) || same(&whole) {
        true => Ok(()),
        false => Err(Denied::OutsideGrant.into()),
    }
}

/// HEAD asks for what GET gives.
fn as_read(method: &Method) -> &Method {
    match *method {
        Method::HEAD => &Method::GET,
        _ => method,
    }
}

fn renamed_pair(pair: &str, names: Names) -> String {
    let (key, value) = match pair.split_once('=') {
        Some((key, value)) => (key, Some(value)),
        None => (pair, None),
    };
    let key = older_name(key, names).unwrap_or(key);
    match value {
        Some(value) => format!("{key}={value}"),
        None => key.to_owned(),
    }
}

fn older_name(name: &str, names: Names) -> Option<&'static str> {
    let found = names.iter().find(|(newer, _)| *newer == name);
    found.map(|(_, older)| *older)
}

async fn translated_body(
    app: &App,
    parts: &mut Parts,
    body: Body,
    names: Names,
    fields: Map<String, Value>,
) -> Result<Body, Error> {
    if as_read(&parts.method) == Method::GET || (names.is_empty() && fields.is_empty()) {
        return Ok(body);
    }
    let kind = parts.headers.get(header::CONTENT_TYPE);
    if kind.is_some_and(|kind| !kind.as_bytes().starts_with(b"application/json")) {
        return Ok(body);
    }
    let most = app.body_max_bytes;
    let read = Limited::new(body, most).collect().await;
    let bytes = read
        .map_err(|_| RequestError::TooLarge { most })?
        .to_bytes();
    let blank = bytes.trim_ascii().is_empty();
    let translated = match blank && !fields.is_empty() {
        true => Some(Value::Object(Map::new())),
        false => serde_json::from_slice(&bytes).ok(),
    };
    // What is no object is for the handler to refuse.
    let Some(Value::Object(mut object)) = translated else {
        return Ok(Body::from(bytes));
    };
    rename(&mut object, names);
    object.extend(fields);
    let text = Value::Object(object).to_string();
    parts
        .headers
        .insert(header::CONTENT_LENGTH, HeaderValue::from(text.len()));
    Ok(Body::from(text))
}

/// Renames fields; one that is there by its older name stays what it is.
fn rename(object: &mut Map<String, Value>, names: Names) {
    for (newer, older) in names {
        if !object.contains_key(*older)
            && let Some(value) = object.remove(*newer)
        {
            object.insert((*older).to_owned(), value);
        }
    }
}

/// The answer with the newer names besides the older ones.
async fn answered(answer: Response) -> Response {
    let kind = answer.headers().get(header::CONTENT_TYPE);
    let json = kind.is_some_and(|kind| kind == "application/json");
    let length = axum::body::HttpBody::size_hint(answer.body()).exact();
    if !json || length.is_none_or(|length| length > ANSWER_MAX as u64) {
        return answer;
    }
    let (mut parts, body) = answer.into_parts();
    let Ok(read) = body.collect().await else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let bytes = read.to_bytes();
    let Ok(Value::Object(mut object)) = serde_json::from_slice(&bytes) else {
        return Response::from_parts(parts, Body::from(bytes));
    };
    for (older, newer) in ANSWERED {
        if let Some(value) = object.get(*older).cloned() {
            object.insert((*newer).to_owned(), value);
        }
    }
    if let Some(Value::Object(result)) = object.get_mut("result")
        && let Some(branch) = result.get("branch").cloned()
    {
        result.insert("target_branch".to_owned(), branch);
    }
    let text = Value::Object(object).to_string();
    parts
        .headers
        .insert(header::CONTENT_LENGTH, HeaderValue::from(text.len()));
    Response::from_parts(parts, Body::from(text))
}

fn uri(path: &str, query: Option<&str>) -> Result<Uri, RequestError> {
    let text = match query.filter(|query| !query.is_empty()) {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    text.parse().map_err(|_| RequestError::Path)
}

/// `acme%2Fnovel` is `acme/novel`.
fn decoded(segment: &str) -> Result<String, RequestError> {
    let mut bytes = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let [first, tail @ ..] = rest {
        rest = tail;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = rest
            .get(..2)
            .and_then(|digits| std::str::from_utf8(digits).ok());
        let digits = digits.filter(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        let byte = digits.and_then(|digits| u8::from_str_radix(digits, 16).ok());
        bytes.push(byte.ok_or(RequestError::Path)?);
        rest = rest.get(2..).unwrap_or_default();
    }
    String::from_utf8(bytes).map_err(|_| RequestError::Path)
}

fn encoded(text: &str) -> String {
    let plain =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    let escape = |byte: u8| match plain(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    };
    text.bytes().map(escape).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_are_renamed_once_and_older_names_win() {
        let renamed = |value: Value| {
            let Value::Object(mut object) = value else {
                panic!("an object");
            };
            rename(&mut object, NOTES);
            Value::Object(object)
        };
        let newer = json!({"object_ref": "a", "notes_ref": "b", "note": "c"});
        assert_eq!(renamed(newer), json!({"sha": "a", "ref": "b", "note": "c"}));
        let both = json!({"object_ref": "a", "sha": "b"});
        assert_eq!(renamed(both.clone()), both);
        assert_eq!(
            renamed_pair("ref=a%2Fb", &[("ref", "branch")]),
            "branch=a%2Fb"
        );
        assert_eq!(renamed_pair("refs=a", &[("ref", "branch")]), "refs=a");
        assert_eq!(renamed_pair("ref", &[("ref", "branch")]), "branch");
    }

    #[test]
    fn segments_are_decoded_and_encoded_alike() {
        for text in ["acme/novel", "a b", "ä", "100%", "a+b&c=d"] {
            assert_eq!(decoded(&encoded(text)).unwrap(), text);
        }
        assert_eq!(encoded("acme/novel"), "acme%2Fnovel");
        for broken in ["%", "%4", "%zz", "%+1", "%ff"] {
            assert!(decoded(broken).is_err(), "{broken}");
        }
    }
}
