//! What a client asks of one fetch, gathered line by line.
//!
//! Source: gitprotocol-pack(5), "Packfile Negotiation"; gitprotocol-v2(5), "fetch".
//! Bounds: [`crate::Limits`] for each list.
//! Invariant: lines that versions 0 and 2 share are read here, and only here.
//! Not here: lines of one version alone (`v0`, `v2`).

use std::{collections::HashSet, sync::Arc};

use gix_hash::ObjectId;

use crate::{
    error::{Bound, ProtocolError},
    filter::{Filter, decimal},
    input::{object_id, push_bounded},
    offer::Offer,
    sideband::Sideband,
    text::Excerpt,
    version::Version,
};

/// Where the client wants its history cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deepen {
    /// This many commits from each want, or, if relative, from the client's present boundary. At least 1;
    /// 2,147,483,647 means all of the history.
    Depth {
        /// How many commits.
        depth: u32,
        /// Counted from the client's boundary.
        relative: bool,
    },
    /// Leave out what is older or reachable elsewhere.
    Excluding {
        /// Leave out commits older than this (seconds since 1970).
        since: Option<u64>,
        /// Leave out what these refs reach; names may be short.
        not: Vec<Vec<u8>>,
    },
}

/// How v0 haves are acknowledged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum MultiAck {
    /// The first common object alone.
    No,
    /// `continue` for all common objects and for what need not be searched further.
    Continue,
    /// `common` for all common objects, and `ready`.
    Detailed,
}

/// The request, as far as it is known.
#[derive(Debug)]
pub(super) struct Fetch {
    /// v0: the client has said anything.
    pub(super) begun: bool,
    pub(super) wants: Arc<Vec<ObjectId>>,
    pub(super) want_refs: Vec<Vec<u8>>,
    pub(super) wanted_refs: Vec<(Vec<u8>, ObjectId)>,
    /// Haves not yet asked about.
    pub(super) haves: Vec<ObjectId>,
    /// Haves of the whole conversation.
    pub(super) haves_seen: usize,
    pub(super) common: Arc<Vec<ObjectId>>,
    pub(super) shallows: Arc<Vec<ObjectId>>,
    depth: Option<u32>,
    relative: bool,
    since: Option<u64>,
    not: Vec<Vec<u8>>,
    pub(super) new_shallow: Vec<ObjectId>,
    pub(super) unshallow: Vec<ObjectId>,
    pub(super) filter: Option<Filter>,
    /// A filter line may come.
    pub(super) filter_negotiated: bool,
    pub(super) thin_pack: bool,
    pub(super) ofs_delta: bool,
    pub(super) include_tag: bool,
    pub(super) no_progress: bool,
    pub(super) sideband: Sideband,
    pub(super) multi_ack: MultiAck,
    pub(super) no_done: bool,
    pub(super) done: bool,
    pub(super) wait_for_done: bool,
    pub(super) sideband_all: bool,
    pub(super) agent: Option<Vec<u8>>,
    pub(super) server_options: Vec<Vec<u8>>,
}

impl Fetch {
    pub(super) fn new(version: Version) -> Self {
        Self {
            begun: false,
            wants: Arc::default(),
            want_refs: Vec::new(),
            wanted_refs: Vec::new(),
            haves: Vec::new(),
            haves_seen: 0,
            common: Arc::default(),
            shallows: Arc::default(),
            depth: None,
            relative: false,
            since: None,
            not: Vec::new(),
            new_shallow: Vec::new(),
            unshallow: Vec::new(),
            filter: None,
            filter_negotiated: false,
            thin_pack: false,
            ofs_delta: false,
            include_tag: false,
            no_progress: false,
            sideband: if version == Version::V2 {
                Sideband::Large
            } else {
                Sideband::None
            },
            multi_ack: MultiAck::No,
            no_done: false,
            done: false,
            wait_for_done: false,
            sideband_all: false,
            agent: None,
            server_options: Vec::new(),
        }
    }

    /// Where to cut, if anywhere.
    pub(super) fn deepen(&self) -> Option<Deepen> {
        if let Some(depth) = self.depth {
            return Some(Deepen::Depth {
                depth,
                relative: self.relative,
            });
        }
        let excluding = self.since.is_some() || !self.not.is_empty();
        excluding.then(|| Deepen::Excluding {
            since: self.since,
            not: self.not.clone(),
        })
    }

    pub(super) fn deepen_relative(&mut self) {
        self.relative = true;
    }

    pub(super) fn want(&mut self, hex: &[u8], offer: &Offer) -> Result<(), ProtocolError> {
        let id = object_id(hex, offer.object_format)?;
        self.wants_left(offer)?;
        Arc::make_mut(&mut self.wants).push(id);
        Ok(())
    }

    pub(super) fn want_ref(&mut self, name: &[u8], offer: &Offer) -> Result<(), ProtocolError> {
        self.wants_left(offer)?;
        self.want_refs.push(name.to_vec());
        Ok(())
    }

    /// Refuses a request that names a ref twice, as the answer maps each name to one id.
    pub(super) fn no_ref_wanted_twice(&self) -> Result<(), ProtocolError> {
        let mut seen = HashSet::with_capacity(self.want_refs.len());
        match self
            .want_refs
            .iter()
            .find(|name| !seen.insert(name.as_slice()))
        {
            None => Ok(()),
            Some(name) => Err(ProtocolError::DuplicateWantRef(Excerpt::of(name))),
        }
    }

    fn wants_left(&self, offer: &Offer) -> Result<(), ProtocolError> {
        let max = offer.limits.wants;
        if self.wants.len() + self.want_refs.len() >= max {
            return Err(ProtocolError::TooMany {
                bound: Bound::Wants,
                max,
            });
        }
        Ok(())
    }

    pub(super) fn have(&mut self, hex: &[u8], offer: &Offer) -> Result<(), ProtocolError> {
        let id = object_id(hex, offer.object_format)?;
        let max = offer.limits.haves;
        if self.haves_seen >= max {
            return Err(ProtocolError::TooMany {
                bound: Bound::Haves,
                max,
            });
        }
        self.haves_seen += 1;
        self.haves.push(id);
        Ok(())
    }

    /// Reads a line on shallow histories or filters; false when it is about something else.
    pub(super) fn take_shared(
        &mut self,
        line: &[u8],
        offer: &Offer,
    ) -> Result<bool, ProtocolError> {
        let limits = &offer.limits;
        if let Some(hex) = line.strip_prefix(b"shallow ") {
            let id = object_id(hex, offer.object_format)?;
            push_bounded(
                Arc::make_mut(&mut self.shallows),
                id,
                Bound::Shallows,
                limits.shallows,
            )?;
        } else if let Some(depth) = line.strip_prefix(b"deepen ") {
            let depth = decimal(depth).and_then(|depth| u32::try_from(depth).ok());
            self.depth = Some(
                depth
                    .filter(|&depth| depth > 0)
                    .ok_or_else(|| bad_deepen(line))?,
            );
        } else if let Some(since) = line.strip_prefix(b"deepen-since ") {
            self.since = Some(decimal(since).ok_or_else(|| bad_deepen(line))?);
        } else if let Some(name) = line.strip_prefix(b"deepen-not ") {
            push_bounded(
                &mut self.not,
                name.to_vec(),
                Bound::DeepenNots,
                limits.deepen_nots,
            )?;
        } else if let Some(spec) = line.strip_prefix(b"filter ") {
            if !self.filter_negotiated {
                return Err(ProtocolError::FilterNotNegotiated);
            }
            if self.filter.is_some() {
                return Err(ProtocolError::SecondFilter);
            }
            let filter = Filter::parse(spec, limits.filter_parts)?;
            offer.filters.check(&filter)?;
            self.filter = Some(filter);
        } else {
            return Ok(false);
        }
        if self.depth.is_some() && (self.since.is_some() || !self.not.is_empty()) {
            return Err(ProtocolError::DeepenConflict);
        }
        Ok(true)
    }
}

fn bad_deepen(line: &[u8]) -> ProtocolError {
    ProtocolError::BadDeepen(Excerpt::of(line))
}
