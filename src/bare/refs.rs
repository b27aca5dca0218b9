//! Refs of a plain folder: read from files, shown to clients.
//!
//! Source: gitrepository-layout(5) `refs`, `packed-refs`, `HEAD`; gitnamespaces(7).
//! Bounds: all refs are in memory, some hundred bytes each; symbolic refs are followed
//! [`SYMREF_DEPTH`] deep, as in git.
//! Invariant: what is shown points to objects that are here; a ref that is broken is passed over
//! with a warning, as git does.
//! Not here: moving refs (`push::transaction`).

use std::collections::HashMap;

use gix_hash::oid;
use gix_object::{Kind, bstr::ByteSlice as _};
use gix_ref::{Target, file::Store};
use packhorse_protocol::AdvertisedRef;

use super::{BareError, folder::Folder, hidden::Hidden};
use crate::{
    git::{ObjectReader, ReadError},
    model::{ObjectId, RefEntry, RefName, RefSnapshot},
};

/// Symbolic refs one behind the other.
const SYMREF_DEPTH: usize = 5;

/// All refs of a folder at one moment.
#[derive(Debug)]
pub(super) struct Refs {
    /// By full name, sorted.
    all: Vec<Named>,
    head: Option<Target>,
    namespace: Vec<u8>,
}

/// One ref as it lies in the files.
#[derive(Debug)]
pub(super) struct Named {
    pub(super) name: Vec<u8>,
    pub(super) id: ObjectId,
    pub(super) symref: Option<Vec<u8>>,
}

/// One ref as clients see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) name: Vec<u8>,
    pub(super) id: Option<ObjectId>,
    pub(super) peeled: Option<ObjectId>,
    pub(super) symref: Option<Vec<u8>>,
}

impl Shown {
    pub(super) fn advertised(&self) -> AdvertisedRef<'_> {
        AdvertisedRef {
            name: &self.name,
            id: self.id.as_deref(),
            peeled: self.peeled.as_deref(),
            symref_target: self.symref.as_deref(),
        }
    }
}

/// The files of a folder's refs.
pub(super) fn store(folder: &Folder) -> Store {
    let hash = folder.format.kind();
    if folder.common == folder.git_dir {
        Store::at(folder.git_dir.clone(), hash)
    } else {
        Store::for_linked_worktree(folder.git_dir.clone(), folder.common.clone(), hash)
    }
}

/// `a/b` as `refs/namespaces/a/refs/namespaces/b/`, nothing as nothing.
pub(super) fn namespace() -> Result<Vec<u8>, BareError> {
    let name = std::env::var("GIT_NAMESPACE").unwrap_or_default();
    let mut prefix = Vec::new();
    for part in name.split('/').filter(|part| !part.is_empty()) {
        prefix.extend_from_slice(format!("refs/namespaces/{part}/").as_bytes());
    }
    if let Some(whole) = prefix.strip_suffix(b"/")
        && gix_ref::FullName::try_from(whole.as_bstr()).is_err()
    {
        return Err(BareError::Refs(format!(
            "bad git namespace path \"{name}\""
        )));
    }
    Ok(prefix)
}

impl Refs {
    /// Reads them all.
    pub(super) fn read(store: &Store, namespace: Vec<u8>) -> Result<Self, BareError> {
        let platform = store.iter().map_err(|error| unreadable(&error))?;
        let mut symbolic = Vec::new();
        let mut ids = HashMap::new();
        for found in platform.all().map_err(|error| unreadable(&error))? {
            match found {
                Ok(found) => {
                    let name: Vec<u8> = found.name.into_inner().into();
                    match found.target {
                        Target::Object(id) => drop(ids.insert(name, id)),
                        Target::Symbolic(target) => {
                            symbolic.push((name, Vec::from(target.into_inner())));
                        }
                    }
                }
                Err(error) => eprintln!("warning: ignoring broken ref: {error}"),
            }
        }
        let targets: HashMap<_, _> = symbolic.into_iter().collect();
        let mut all: Vec<_> = ids
            .iter()
            .map(|(name, id)| Named {
                name: name.clone(),
                id: *id,
                symref: None,
            })
            .collect();
        for (name, target) in &targets {
            let mut at = target;
            for _ in 0..SYMREF_DEPTH {
                let Some(next) = targets.get(at) else { break };
                at = next;
            }
            if let Some(id) = ids.get(at) {
                all.push(Named {
                    name: name.clone(),
                    id: *id,
                    symref: Some(target.clone()),
                });
            }
        }
        all.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        let head_name = [&namespace, b"HEAD".as_slice()].concat();
        let head = store.try_find_loose(head_name.as_bstr());
        let head = head.map_err(|error| BareError::Refs(error.to_string()))?;
        Ok(Self {
            all,
            head: head.map(|head| head.target),
            namespace,
        })
    }

    /// All of them, of all namespaces.
    pub(super) fn all(&self) -> &[Named] {
        &self.all
    }

    /// The first ref whose full name begins so.
    pub(super) fn first_below(&self, prefix: &[u8]) -> Option<&Named> {
        let at = self
            .all
            .partition_point(|named| named.name.as_slice() < prefix);
        self.all
            .get(at)
            .filter(|named| named.name.starts_with(prefix))
    }

    /// The prefix of the namespace; empty without one.
    pub(super) fn namespace(&self) -> &[u8] {
        &self.namespace
    }

    /// The full name of the ref that `HEAD` stands for, if it is symbolic.
    pub(super) fn head_target(&self) -> Option<&[u8]> {
        match &self.head {
            Some(Target::Symbolic(target)) => Some(target.as_bstr()),
            _ => None,
        }
    }

    /// What a ref of this full name points to.
    pub(super) fn find(&self, full_name: &[u8]) -> Option<&Named> {
        let at = self
            .all
            .binary_search_by(|named| named.name.as_slice().cmp(full_name));
        at.ok().map(|at| &self.all[at])
    }

    /// A full name as it is called within the namespace.
    pub(super) fn stripped<'a>(&self, full_name: &'a [u8]) -> Option<&'a [u8]> {
        full_name.strip_prefix(self.namespace.as_slice())
    }

    /// `HEAD`, born or not, unless it is hidden.
    pub(super) fn shown_head(
        &self,
        hidden: &Hidden,
        reader: &mut ObjectReader,
    ) -> Result<Option<Shown>, ReadError> {
        let full_name = [&self.namespace, b"HEAD".as_slice()].concat();
        if hidden.hides(Some(b"HEAD"), &full_name) {
            return Ok(None);
        }
        let (id, symref) = match &self.head {
            None => return Ok(None),
            Some(Target::Object(id)) => (Some(*id), None),
            Some(Target::Symbolic(target)) => {
                let name = target.as_bstr();
                let symref = self.stripped(name).map(<[u8]>::to_vec);
                (self.find(name).map(|named| named.id), symref)
            }
        };
        let id = id.filter(|id| reader.packs().contains(id));
        if id.is_none() && symref.is_none() {
            return Ok(None);
        }
        Ok(Some(Shown {
            name: b"HEAD".to_vec(),
            id,
            peeled: id.map(|id| peel(&id, reader)).transpose()?.flatten(),
            symref,
        }))
    }

    /// The refs of the namespace that are not hidden, and what the hidden ones point to.
    pub(super) fn shown(
        &self,
        hidden: &Hidden,
        reader: &mut ObjectReader,
    ) -> Result<(Vec<Shown>, Vec<ObjectId>), ReadError> {
        let (mut shown, mut tips) = (Vec::with_capacity(self.all.len()), Vec::new());
        for named in &self.all {
            let Some(name) = self.stripped(&named.name) else {
                continue;
            };
            if !name.starts_with(b"refs/") {
                continue;
            }
            if hidden.hides(Some(name), &named.name) {
                tips.push(named.id);
                continue;
            }
            if !reader.packs().contains(&named.id) {
                let name = name.escape_ascii();
                eprintln!("error: {name} does not point to a valid object!");
                continue;
            }
            let symref = named.symref.as_deref().and_then(|full| self.stripped(full));
            shown.push(Shown {
                name: name.to_vec(),
                id: Some(named.id),
                peeled: peel(&named.id, reader)?,
                symref: symref.map(<[u8]>::to_vec),
            });
        }
        Ok((shown, tips))
    }
}

/// The same refs for the engine. It looks at tags by name and at all others by what they point to,
/// so names that are stricter there than in files may stand for others.
pub(super) fn snapshot<'a>(refs: impl IntoIterator<Item = &'a Shown>) -> RefSnapshot {
    let mut entries = Vec::new();
    for (at, shown) in refs.into_iter().enumerate() {
        let Some(id) = shown.id else { continue };
        let is_tag = shown.name.starts_with(b"refs/tags/");
        let stand_in = || {
            let shelf = if is_tag { "tags" } else { "stand-in" };
            format!("refs/{shelf}/{at}-of-another-name").parse().ok()
        };
        if let Some(name) = RefName::from_bytes(&shown.name).ok().or_else(stand_in) {
            entries.push(RefEntry {
                name,
                id,
                peeled: shown.peeled,
            });
        }
    }
    let head = RefName::branch("main").expect("a well-formed name");
    RefSnapshot::new(0, head, entries)
}

/// A ref of no name.
pub(super) fn tip(id: ObjectId) -> Shown {
    Shown {
        name: Vec::new(),
        id: Some(id),
        peeled: None,
        symref: None,
    }
}

/// What a tag finally names; `None` for what is no tag, or names what is not here.
fn peel(id: &oid, reader: &mut ObjectReader) -> Result<Option<ObjectId>, ReadError> {
    let mut at = id.to_owned();
    let mut content = Vec::new();
    // A tag names another by its hash, so no chain of them comes back to where it began.
    while reader.kind(&at)? == Some(Kind::Tag) {
        reader.require(&at, &mut content)?;
        let target = content
            .strip_prefix(b"object ")
            .and_then(|rest| rest.split(|byte| *byte == b'\n').next())
            .and_then(|hex| ObjectId::from_hex(hex).ok());
        match target {
            Some(target) => at = target,
            None => return Ok(None),
        }
    }
    let there = *at != *id && reader.packs().contains(&at);
    Ok(there.then_some(at))
}

fn unreadable(error: &impl std::fmt::Display) -> BareError {
    BareError::Refs(format!("cannot read the refs: {error}"))
}
