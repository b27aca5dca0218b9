//! Looks at each object of a pack the moment its name is known, and at all their links in the end.
//!
//! Invariant: an object that the repository holds already is the same there, byte for byte; blobs
//! too large to be held are compared by size only and left to the collision-detecting hash.

use std::{collections::HashSet, sync::Arc};

use gix_hash::ObjectId;
use gix_object::Kind;

use super::{
    ReceiveError,
    check::{GITATTRIBUTES_BYTES, GITMODULES_BYTES, Message, Notices, Refusal, Rules, Special},
    gathered::Gathered,
    index::Order,
    levels::Levels,
    limits::{Expense, Limited, Limits},
    pack::{Decoder, UnpublishedPack},
    references::{References, WithoutParents},
};
use crate::git::{
    ObjectReader, PackSet, ReadError,
    memory::Loan,
    packs::{Content, HELD_BYTES, roots::Roots},
};

pub(super) struct Inspector {
    rules: Rules,
    references: References,
    references_max: u64,
    levels: Levels,
    shallow: HashSet<ObjectId>,
    repository: ObjectReader,
    buffer: Vec<u8>,
}

impl Inspector {
    /// Compares with the objects in `packs`.
    pub(super) fn new(packs: Arc<PackSet>, limits: &Limits) -> Self {
        Self {
            rules: Rules::new(
                packs.format().kind(),
                limits.strictness.clone(),
                limits.tree_entries,
            ),
            references: References::new(),
            references_max: packs.object_count(),
            levels: Levels::new(limits.tree_depth),
            shallow: limits.shallow.clone(),
            repository: ObjectReader::new(packs),
            buffer: Vec::new(),
        }
    }

    /// A loan from what the readers of the repository share.
    pub(super) fn loan(&self) -> Loan {
        self.repository.packs().memory().loan()
    }

    /// Says how many objects are coming.
    pub(super) fn expect(&mut self, count: u32) {
        self.references_max += u64::from(count);
        self.levels.expect(count);
    }

    /// An object, and the one that it was built on.
    pub(super) fn object(
        &mut self,
        id: ObjectId,
        kind: Kind,
        content: &[u8],
        base: Option<(&ObjectId, &[u8])>,
    ) -> Result<(), ReceiveError> {
        let (base_id, base) = base.unzip();
        self.rules.begin(id);
        let checked = if self.shallow.contains(&id) {
            let links = &mut WithoutParents(&mut self.references);
            self.rules.check(kind, content, base, links)
        } else {
            self.rules.check(kind, content, base, &mut self.references)
        };
        checked.map_err(|refusal| match refusal {
            Refusal::Fault(fault) => fault.of(id).into(),
            Refusal::TooManyEntries => ReceiveError::Limit {
                what: Limited::TreeEntries,
                limit: self.rules.tree_entries() as u64,
            },
        })?;
        self.note_levels(&id, kind, base_id);
        if self.references.count() > self.references_max {
            return Err(ReceiveError::Unconnected);
        }
        let Some(location) = self.repository.packs().locate(&id) else {
            return Ok(());
        };
        // One of another size, which may be large, need not be read to be another.
        let size = self.repository.size_at(location).map_err(unreadable)?;
        if size == content.len() as u64 {
            let known = self.repository.read(location, &mut self.buffer);
            if known.map_err(unreadable)? == kind && self.buffer == content {
                return Ok(());
            }
        }
        Err(ReceiveError::Collision(id))
    }

    fn note_levels(&mut self, id: &ObjectId, kind: Kind, base: Option<&ObjectId>) {
        let folders = self.references.take_folders();
        if kind == Kind::Tree {
            self.levels.tree(id, base, folders);
        }
    }

    /// A blob of which only the size is known here.
    pub(super) fn large_blob(&mut self, id: ObjectId, size: u64) -> Result<(), ReceiveError> {
        match self.repository.size(&id).map_err(unreadable)? {
            Some(known) if known != size => Err(ReceiveError::Collision(id)),
            _ => Ok(()),
        }
    }

    /// An object of the repository, for deltas that the pack brings without their base. Large blobs
    /// are put into files.
    pub(super) fn base(
        &mut self,
        id: &ObjectId,
        limits: &Limits,
    ) -> Result<Option<(Kind, Content)>, ReceiveError> {
        let Some(location) = self.repository.packs().locate(id) else {
            return Ok(None);
        };
        let size = self.repository.size_at(location).map_err(unreadable)?;
        ReceiveError::bound(Limited::DeltaBytes, limits.delta_bytes, size)?;
        let kind = self.repository.kind_at(location).map_err(unreadable)?;
        if size > held_max(kind) {
            let content = self.repository.content(location, HELD_BYTES);
            return Ok(Some((kind, content.map_err(unreadable)?)));
        }
        // Bases are often made from each other, which the reader remembers.
        let mut content = Vec::new();
        let read = self.repository.read(location, &mut content);
        read.map_err(unreadable)?;
        Ok(Some((kind, Content::Held(content))))
    }

    /// Demands that everything named exists, with the kind it was named as, and reads the blobs whose
    /// name gives them a meaning. Answers what the pack, of which so many entries were sent, hangs on,
    /// and what there is to say about its objects.
    pub(super) fn connect(
        mut self,
        pack: &UnpublishedPack,
        sent: usize,
        order: &Order,
        expense: &mut Expense,
        limits: &Limits,
    ) -> Result<(Option<Roots>, Notices), ReceiveError> {
        let mut gathered = Gathered::new(pack, sent, &self.shallow);
        for (id, expected) in self.references.links() {
            let in_pack = order.find(&pack.entries, &id);
            let actual = match in_pack {
                Some(number) => pack.entry(number).kind,
                None => self.repository.kind(&id).map_err(unreadable)?,
            };
            gathered.link(&id, expected, in_pack, self.repository.packs());
            match actual {
                None => {
                    return Err(ReceiveError::MissingObject {
                        id,
                        kind: word(expected),
                    });
                }
                Some(actual) if actual != expected => {
                    return Err(ReceiveError::WrongKind {
                        id,
                        expected: word(expected),
                        actual: word(actual),
                    });
                }
                Some(_) => {}
            }
        }
        let mut charge = |bytes| expense.charge(bytes, pack.end, limits);
        self.levels.check(pack, order, &mut charge)?;
        let mut decoder = Decoder::new();
        for (id, special) in self.references.special() {
            let (message, most) = match special {
                Special::Gitmodules => (Message::GitmodulesLarge, GITMODULES_BYTES),
                Special::Gitattributes => (Message::GitattributesLarge, GITATTRIBUTES_BYTES),
            };
            let packed = order.find(&pack.entries, &id);
            let size = match packed {
                Some(number) => pack.entry(number).size,
                None => {
                    let size = self.repository.size(&id).map_err(unreadable)?;
                    size.unwrap_or_default()
                }
            };
            self.rules.begin(id);
            if size > most {
                let text = format!("{size} bytes, at most {most} are read");
                self.rules
                    .raise(message, text)
                    .map_err(|fault| fault.of(id))?;
                continue;
            }
            let mut charge = |bytes| expense.charge(bytes, pack.end, limits);
            let content = match packed {
                Some(number) => decoder.object(pack, number, HELD_BYTES, &mut charge)?,
                None => {
                    charge(size)?;
                    let mut content = Vec::new();
                    let found = self.repository.find(&id, &mut content);
                    found.map_err(unreadable)?;
                    Content::Held(content)
                }
            };
            let mut reader = content.reader().map_err(ReceiveError::Storage)?;
            self.rules
                .check_special(special, &mut *reader)
                .map_err(ReceiveError::Storage)?
                .map_err(|fault| fault.of(id))?;
        }
        let roots = gathered.finish(pack, self.repository.packs());
        Ok((roots, self.rules.into_notices()))
    }
}

/// So many bytes of an object of this kind are held; what has a syntax is held as a whole.
pub(super) fn held_max(kind: Kind) -> u64 {
    match kind {
        Kind::Blob => HELD_BYTES,
        _ => u64::MAX,
    }
}

pub(super) fn unreadable(error: ReadError) -> ReceiveError {
    match error {
        ReadError::Scratch(kind) => ReceiveError::Storage(kind.into()),
        error => ReceiveError::Repository(Box::new(error)),
    }
}

pub(super) fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Commit => "commit",
        Kind::Tree => "tree",
        Kind::Blob => "blob",
        Kind::Tag => "tag",
    }
}
