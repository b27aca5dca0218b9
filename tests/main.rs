//! The one integration-test binary; this list is its table of contents.
#![expect(clippy::unwrap_used, reason = "helpers of tests are tests too")]

mod support;

mod access;
mod api;
mod archives;
mod bare;
mod clone_fetch_push;
mod command_line;
mod commits;
mod concurrency;
mod crash_recovery;
mod deploy_keys;
mod features;
mod foreign;
mod forks;
mod git_versions;
mod hostile;
mod http_transport;
mod limits;
mod mirrors;
mod notices;
mod partial_clones;
mod remotes;
mod shallow;
mod shutdown;
mod ssh_transport;
mod systemd;
mod tidy;
mod tour;
mod wants;
