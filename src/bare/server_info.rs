//! What clients of the dumb protocol read first: lists of refs and of packs.
//!
//! Source: gitrepository-layout(5) `info/refs`, `objects/info/packs`; git-update-server-info(1).
//! Invariant: a list is written whole, beside the old one, and then takes its place.

use std::{fs, sync::Arc};

use gix_object::bstr::ByteSlice as _;

use super::{
    BareError,
    folder::Folder,
    hidden::Hidden,
    refs::{self, Refs},
};
use crate::{disk, git::ObjectReader};

/// Writes both lists.
pub(super) fn update(folder: &Folder) -> Result<(), BareError> {
    const MODE: u32 = 0o644;
    let lists = [
        (folder.common.join("info/refs"), refs(folder, Vec::new())?),
        (folder.own_objects().join("info/packs"), packs(folder)?),
    ];
    for (path, list) in lists {
        let made = path.parent().map_or(Ok(()), disk::make_folder);
        made.and_then(|()| disk::write_file(&path, &list, MODE))
            .map_err(BareError::io("unable to update", path))?;
    }
    Ok(())
}

/// A line for each ref, and one for what it is a tag of.
pub(super) fn refs(folder: &Folder, namespace: Vec<u8>) -> Result<Vec<u8>, BareError> {
    let repository = folder.repository(folder.own_objects())?;
    let refs = Refs::read(&refs::store(folder), namespace)?;
    let mut reader = ObjectReader::new(Arc::clone(&repository.packs()));
    let (shown, _) = refs.shown(&Hidden::default(), &mut reader)?;
    let mut list = Vec::new();
    for shown in shown {
        let peeled = shown.peeled.map(|id| (id, b"^{}".as_slice()));
        for (id, suffix) in shown
            .id
            .map(|id| (id, b"".as_slice()))
            .into_iter()
            .chain(peeled)
        {
            list.extend_from_slice(id.to_string().as_bytes());
            list.push(b'\t');
            list.extend_from_slice(&shown.name);
            list.extend_from_slice(suffix);
            list.push(b'\n');
        }
    }
    Ok(list)
}

/// A line for each pack, the latest first, and an empty one.
pub(super) fn packs(folder: &Folder) -> Result<Vec<u8>, BareError> {
    let path = folder.own_objects().join("pack");
    let failed = |error| BareError::io("unable to read", path.clone())(error);
    let mut packs = Vec::new();
    for entry in fs::read_dir(&path).map_err(failed)? {
        let pack = entry.map_err(failed)?.path();
        if pack.extension().is_some_and(|end| end == "pack") && pack.with_extension("idx").exists()
        {
            let modified = fs::metadata(&pack).and_then(|facts| facts.modified());
            packs.push((modified.map_err(failed)?, pack));
        }
    }
    packs.sort_unstable_by(|one, other| other.cmp(one));
    let mut list = Vec::new();
    for (_, pack) in packs {
        list.extend_from_slice(b"P ");
        list.extend_from_slice(
            <[u8]>::from_path(pack.file_name().unwrap_or_default().as_ref()).unwrap_or_default(),
        );
        list.push(b'\n');
    }
    list.push(b'\n');
    Ok(list)
}
