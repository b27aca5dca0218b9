//! Packhorse: a Git server in one process.

pub mod git;
pub mod model;
