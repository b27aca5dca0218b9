//! Packhorse: a Git server in one process.

pub mod auth;
pub mod git;
pub mod hosting;
pub mod model;
pub mod policy;
pub mod store;
