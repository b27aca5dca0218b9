//! The commits of a repository as a graph: parents, trees and dates.
//!
//! Source: git's commit format; a walk by date, newest first, is git's own way.
//! Bounds: some 40 bytes for each commit that was looked at.
//! Invariant: a commit is parsed once; one that is cut has no parents for anybody who asks.
//! Not here: what trees hold (`fetch::trees`), texts of commits (`browse`).

mod ancestry;
mod bases;
mod range;

use std::{
    cmp::Ordering,
    collections::{BinaryHeap, HashMap},
    hash::BuildHasherDefault,
    sync::Arc,
};

use gix_hash::oid;
use gix_object::Kind;

use crate::{
    git::packs::{KeyHasher, ObjectReader, PackSet, ReadError},
    model::ObjectId,
};

pub(crate) use bases::BasesError;

/// A commit that was parsed; an index into the history that parsed it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct CommitIndex(u32);

#[derive(Debug, Clone, Copy)]
struct Commit {
    number: u32,
    tree: u32,
    first_parent: u32,
    parent_count: u32,
    /// Seconds since 1970 by the committer.
    time: i64,
    cut: bool,
}

/// Parses commits on demand and remembers their place in the graph.
pub(crate) struct History {
    reader: ObjectReader,
    buffer: Vec<u8>,
    indices: HashMap<u32, CommitIndex, BuildHasherDefault<KeyHasher>>,
    commits: Vec<Commit>,
    parents: Vec<u32>,
}

impl History {
    pub(crate) fn new(packs: Arc<PackSet>) -> Self {
        Self {
            reader: ObjectReader::new(packs),
            buffer: Vec::new(),
            indices: HashMap::default(),
            commits: Vec::new(),
            parents: Vec::new(),
        }
    }

    pub(crate) fn packs(&self) -> &Arc<PackSet> {
        self.reader.packs()
    }

    /// For objects other than commits.
    pub(crate) fn reader(&mut self) -> &mut ObjectReader {
        &mut self.reader
    }

    /// The commit of this number.
    pub(crate) fn commit(&mut self, number: u32) -> Result<CommitIndex, ReadError> {
        if let Some(known) = self.indices.get(&number) {
            return Ok(*known);
        }
        let packs = Arc::clone(self.reader.packs());
        let kind = self
            .reader
            .read(packs.location_of(number), &mut self.buffer)?;
        let malformed = || ReadError::Malformed {
            id: packs.id_of(number).to_owned(),
            expected: Kind::Commit,
        };
        if kind != Kind::Commit {
            return Err(malformed());
        }
        let header = Header::parse(&self.buffer).ok_or_else(malformed)?;
        let numbered = |id: ObjectId| packs.number(&id).ok_or(ReadError::Missing(id));
        let tree = numbered(header.tree)?;
        let first_parent = u32::try_from(self.parents.len()).map_err(|_| malformed())?;
        let is_cut = packs.is_cut(number);
        for line in header.parents.filter(|_| !is_cut) {
            self.parents
                .push(numbered(parse_parent(line).ok_or_else(malformed)?)?);
        }
        let index = CommitIndex(u32::try_from(self.commits.len()).expect("fewer than objects"));
        self.commits.push(Commit {
            number,
            tree,
            first_parent,
            parent_count: u32::try_from(self.parents.len()).map_err(|_| malformed())?
                - first_parent,
            time: header.time,
            cut: false,
        });
        self.indices.insert(number, index);
        Ok(index)
    }

    /// The commit of this id.
    pub(crate) fn commit_of_id(&mut self, id: &oid) -> Result<CommitIndex, ReadError> {
        let number = self
            .packs()
            .number(id)
            .ok_or_else(|| ReadError::Missing(id.to_owned()))?;
        self.commit(number)
    }

    pub(crate) fn number(&self, commit: CommitIndex) -> u32 {
        self.get(commit).number
    }

    pub(crate) fn id(&self, commit: CommitIndex) -> ObjectId {
        self.packs().id_of(self.number(commit)).to_owned()
    }

    /// Number of the commit's tree.
    pub(crate) fn tree(&self, commit: CommitIndex) -> u32 {
        self.get(commit).tree
    }

    pub(crate) fn time(&self, commit: CommitIndex) -> i64 {
        self.get(commit).time
    }

    /// Lets the commit have no parents from now on, or its own again.
    pub(crate) fn cut(&mut self, commit: CommitIndex, cut: bool) {
        self.commits[commit.0 as usize].cut = cut;
    }

    pub(crate) fn parent_count(&self, commit: CommitIndex) -> u32 {
        let commit = self.get(commit);
        if commit.cut { 0 } else { commit.parent_count }
    }

    /// The parent at this place, which is below [`Self::parent_count`].
    pub(crate) fn parent(
        &mut self,
        commit: CommitIndex,
        at: u32,
    ) -> Result<CommitIndex, ReadError> {
        let number = self.parents[(self.get(commit).first_parent + at) as usize];
        self.commit(number)
    }

    fn get(&self, commit: CommitIndex) -> &Commit {
        &self.commits[commit.0 as usize]
    }

    /// Follows tags from this object to what they name; the tags passed go into `tags`.
    pub(crate) fn peel(
        &mut self,
        mut number: u32,
        tags: &mut Vec<u32>,
    ) -> Result<(u32, Kind), ReadError> {
        /// A tag of a tag of a tag… is no use beyond this.
        const TAGS_MAX: usize = 100;
        let packs = Arc::clone(self.reader.packs());
        let malformed = |number| ReadError::Malformed {
            id: packs.id_of(number).to_owned(),
            expected: Kind::Tag,
        };
        for _ in 0..TAGS_MAX {
            let location = packs.location_of(number);
            let kind = self.reader.kind_at(location)?;
            if kind != Kind::Tag {
                return Ok((number, kind));
            }
            tags.push(number);
            self.reader.read(location, &mut self.buffer)?;
            let target = self
                .buffer
                .strip_prefix(b"object ")
                .and_then(|rest| rest.split(|byte| *byte == b'\n').next())
                .and_then(|hex| ObjectId::from_hex(hex).ok())
                .ok_or_else(|| malformed(number))?;
            number = packs.number(&target).ok_or(ReadError::Missing(target))?;
        }
        Err(malformed(number))
    }
}

/// Commits to visit, newest first, those of one second in the order in which they came.
#[derive(Debug, Default)]
pub(crate) struct ByTime {
    heap: BinaryHeap<Queued>,
    count: u64,
}

#[derive(Debug, PartialEq, Eq)]
struct Queued {
    time: i64,
    order: u64,
    commit: CommitIndex,
}

impl Ord for Queued {
    fn cmp(&self, other: &Self) -> Ordering {
        self.time
            .cmp(&other.time)
            .then_with(|| other.order.cmp(&self.order))
    }
}

impl PartialOrd for Queued {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl ByTime {
    pub(crate) fn push(&mut self, history: &History, commit: CommitIndex) {
        self.heap.push(Queued {
            time: history.time(commit),
            order: self.count,
            commit,
        });
        self.count += 1;
    }

    pub(crate) fn pop(&mut self) -> Option<CommitIndex> {
        self.heap.pop().map(|queued| queued.commit)
    }

    pub(crate) fn newest(&self) -> Option<i64> {
        self.heap.peek().map(|queued| queued.time)
    }
}

/// The part of a commit that places it in the graph.
struct Header<'a> {
    tree: ObjectId,
    parents: ParentLines<'a>,
    time: i64,
}

impl<'a> Header<'a> {
    fn parse(commit: &'a [u8]) -> Option<Self> {
        let rest = commit.strip_prefix(b"tree ")?;
        let (tree, after_tree) = split_line(rest)?;
        let tree = ObjectId::from_hex(tree).ok()?;
        let mut rest = after_tree;
        while rest.starts_with(b"parent ") {
            (_, rest) = split_line(rest)?;
        }
        let parents = ParentLines(&after_tree[..after_tree.len() - rest.len()]);
        let (_author, rest) = split_line(rest.strip_prefix(b"author ")?)?;
        let (committer, _) = split_line(rest.strip_prefix(b"committer ")?)?;
        Some(Self {
            tree,
            parents,
            time: seconds(committer),
        })
    }
}

/// Lines `parent <id>\n`, one by one.
struct ParentLines<'a>(&'a [u8]);

impl<'a> Iterator for ParentLines<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        let (line, rest) = split_line(self.0)?;
        self.0 = rest;
        Some(line)
    }
}

fn parse_parent(line: &[u8]) -> Option<ObjectId> {
    ObjectId::from_hex(line.strip_prefix(b"parent ")?).ok()
}

fn split_line(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    Some((&bytes[..end], &bytes[end + 1..]))
}

/// The time in `Name <email> seconds zone`; 0, like git, when there is none.
fn seconds(signature: &[u8]) -> i64 {
    let after = signature
        .iter()
        .rposition(|byte| *byte == b'>')
        .map_or(0, |at| at + 1);
    let digits = signature[after..].trim_ascii_start();
    let end = digits
        .iter()
        .position(|byte| !byte.is_ascii_digit())
        .unwrap_or(digits.len());
    std::str::from_utf8(&digits[..end])
        .ok()
        .and_then(|digits| digits.parse().ok())
        .unwrap_or(0)
}
