//! Peers that mean harm: each hears clearly why it is refused, and the server goes on serving.
//!
//! Bounds: the real program in a process of its own, whose memory never passed [`MEMORY_KIB`].
//! Invariant: after each attack a clone succeeds and holds what it held before.
//! Not here: what the engine makes of packs that are wrong in detail (`src/git/receive/tests`).

mod forgery;
mod http2;
mod large;
mod pack;
mod packs;
mod peers;
mod refs;
mod rights;
mod scene;
mod wire;
