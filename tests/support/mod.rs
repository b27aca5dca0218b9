//! The words that tests speak: a server, its users, their working copies.
//!
//! Everything is real: the server listens on loopback ports of its own, `git` and `ssh` are the
//! stock clients, keys and tokens are made for the one test that uses them.

mod git;
mod issuer;
mod process;
mod server;
mod strace;
mod upstream;
mod user;

pub(crate) use git::{Finished, Folder, Git, clean_command, installed};
pub(crate) use issuer::{claims, issuer, jwt, key_file};
pub(crate) use process::{Administrator, Process, admin};
pub(crate) use server::{Server, binary};
pub(crate) use strace::Strace;
pub(crate) use upstream::{Behaviour, Upstream};
pub(crate) use user::{Remote, User, Via, WorkingCopy, ed25519_key, ssh_command};
