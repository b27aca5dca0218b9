//! Names become addresses, and those that nobody may be led to are left out.
//!
//! Invariant: what is dialled is what was judged: there is no second look-up in between that could give
//! another answer.

use ureq::{
    Error,
    config::Config,
    http::Uri,
    unversioned::{
        resolver::{DefaultResolver, ResolvedSocketAddrs, Resolver},
        transport::NextTimeout,
    },
};

use super::address::is_public;

/// The name leads to none but private addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("no public address")]
pub(super) struct PrivateAddress;

/// Asks the system, and drops private addresses if it is told to.
#[derive(Debug, Default)]
pub(super) struct PublicResolver {
    system: DefaultResolver,
    private: bool,
}

impl PublicResolver {
    pub(super) fn new(private: bool) -> Self {
        Self {
            private,
            ..Self::default()
        }
    }
}

impl Resolver for PublicResolver {
    fn resolve(
        &self,
        uri: &Uri,
        config: &Config,
        timeout: NextTimeout,
    ) -> Result<ResolvedSocketAddrs, Error> {
        let found = self.system.resolve(uri, config, timeout)?;
        let mut allowed = self.empty();
        for address in found.iter() {
            if self.private || is_public(address.ip()) {
                allowed.push(*address);
            }
        }
        match allowed.is_empty() {
            true => Err(Error::Other(Box::new(PrivateAddress))),
            false => Ok(allowed),
        }
    }
}
