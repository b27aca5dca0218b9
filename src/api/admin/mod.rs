//! Our own management API below `/api/v1/admin`: accounts, namespaces, repositories, keys, audit.
//!
//! Bounds: lists by [`page`], bodies by configuration.
//! Invariant: every route serves whoever may: administrators everything, a user what is theirs.
//! Users are named by login name, namespaces by name, repositories by `namespace%2Fname` or id.
//! Not here: Git's contents, which the other APIs serve.

use axum::{
    Router,
    routing::{delete, get, post, put},
};

use super::{App, table};

mod audit;
mod deploy_keys;
mod error;
mod issuers;
mod keys;
mod members;
mod namespaces;
mod page;
mod repositories;
mod robots;
mod tokens;
mod users;

pub(super) fn routes() -> Router<App> {
    table([
        ("/api/v1/admin/users", post(users::create).get(users::list)),
        (
            "/api/v1/admin/users/{user}",
            get(users::show).patch(users::change),
        ),
        (
            "/api/v1/admin/users/{user}/password",
            put(users::set_password).delete(users::remove_password),
        ),
        (
            "/api/v1/admin/users/{user}/tokens",
            post(tokens::create).get(tokens::list),
        ),
        (
            "/api/v1/admin/users/{user}/tokens/{id}",
            delete(tokens::remove),
        ),
        (
            "/api/v1/admin/users/{user}/keys",
            post(keys::add).get(keys::list),
        ),
        ("/api/v1/admin/users/{user}/keys/{id}", delete(keys::remove)),
        (
            "/api/v1/admin/namespaces",
            post(namespaces::create).get(namespaces::list),
        ),
        (
            "/api/v1/admin/namespaces/{namespace}",
            get(namespaces::show),
        ),
        (
            "/api/v1/admin/namespaces/{namespace}/repositories",
            get(repositories::list_of_namespace),
        ),
        (
            "/api/v1/admin/namespaces/{namespace}/members",
            get(members::list_of_namespace),
        ),
        (
            "/api/v1/admin/namespaces/{namespace}/members/{member}",
            put(members::put_in_namespace).delete(members::remove_from_namespace),
        ),
        (
            "/api/v1/admin/namespaces/{namespace}/issuers",
            post(issuers::add).get(issuers::list),
        ),
        (
            "/api/v1/admin/namespaces/{namespace}/issuers/{id}",
            delete(issuers::remove),
        ),
        (
            "/api/v1/admin/namespaces/{namespace}/robots",
            post(robots::create).get(robots::list),
        ),
        (
            "/api/v1/admin/namespaces/{namespace}/robots/{robot}",
            delete(robots::remove),
        ),
        (
            "/api/v1/admin/namespaces/{namespace}/robots/{robot}/tokens",
            post(robots::create_token),
        ),
        (
            "/api/v1/admin/repositories",
            post(repositories::create).get(repositories::list),
        ),
        (
            "/api/v1/admin/repositories/{repository}",
            get(repositories::show)
                .patch(repositories::change)
                .delete(repositories::remove),
        ),
        (
            "/api/v1/admin/repositories/{repository}/members",
            get(members::list_of_repository),
        ),
        (
            "/api/v1/admin/repositories/{repository}/members/{member}",
            put(members::put_in_repository).delete(members::remove_from_repository),
        ),
        (
            "/api/v1/admin/repositories/{repository}/deploy_keys",
            post(deploy_keys::add).get(deploy_keys::list),
        ),
        (
            "/api/v1/admin/repositories/{repository}/deploy_keys/{id}",
            get(deploy_keys::show).delete(deploy_keys::remove),
        ),
        ("/api/v1/admin/audit", get(audit::list)),
    ])
}

/// A row id in a path; what is none names nothing that exists.
fn id(segment: &str, what: &'static str) -> Result<u64, error::Error> {
    segment.parse().map_err(|_| {
        let name = segment.to_owned();
        crate::hosting::HostingError::NotFound { what, name }.into()
    })
}
