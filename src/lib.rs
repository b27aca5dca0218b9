//! Packhorse: a Git server in one process.
//!
//! In the order data passes them: [`cli`] starts a [`server`], whose transports [`ssh`] and [`http`]
//! hand bytes to [`wire`], which asks [`policy`] who may and drives the protocol with answers from
//! [`git`] and [`hosting`]; everything that must survive is committed by [`store`]. [`bare`] serves plain folders instead, without all that.

pub mod api;
pub mod auth;
pub mod bare;
pub mod cli;
pub mod config;
mod disk;
pub mod git;
pub mod hosting;
pub mod http;
pub mod mirror;
pub mod model;
pub mod outbound;
pub mod policy;
pub mod server;
pub mod ssh;
pub mod store;
pub mod wire;
