#![doc = include_str!("../README.md")]
#![warn(clippy::indexing_slicing)]

mod error;
pub mod exec;
pub mod fetch_client;
pub mod filter;
mod input;
pub mod ls_refs;
pub mod object_info;
mod offer;
pub mod pkt_line;
pub mod receive_pack;
pub mod refs;
pub mod sideband;
mod text;
pub mod upload_archive;
pub mod upload_pack;
mod version;

pub use error::{Bound, ProtocolError};
pub use offer::{Limits, Offer, Transport};
pub use receive_pack::ReceivePack;
pub use refs::AdvertisedRef;
pub use sideband::Sideband;
pub use text::Excerpt;
pub use upload_archive::UploadArchive;
pub use upload_pack::UploadPack;
pub use version::Version;
