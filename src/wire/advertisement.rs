//! Ref advertisements and `ls-refs` answers, encoded once for each generation of the refs.
//!
//! Source: gitprotocol-pack(5) "Reference Discovery", gitprotocol-v2(5) "ls-refs".
//! Bounds: [`CACHED_BYTES`] of answers in all, [`CACHED_PREFIXES`] prefixes in a cached question.
//! Invariant: an answer is served only for the generation it was encoded from.
//! Not here: which refs a remote shows (`remote`), which repository a caller sees (`policy`).

use std::{
    num::NonZeroUsize,
    sync::{Mutex, PoisonError},
};

use bytes::Bytes;
use lru::LruCache;
use packhorse_protocol::{
    AdvertisedRef, Offer, ProtocolError, Transport,
    ls_refs::{LsRefsRequest, encode_ls_refs},
    refs::{encode_advertisement, encode_receive_advertisement},
};

use super::remote::{NAMESPACES, Remote};
use crate::model::{RefEntry, RefSnapshot};

/// Bytes of all cached answers together.
const CACHED_BYTES: usize = 64 << 20;
/// A question with more prefixes is answered but not remembered.
const CACHED_PREFIXES: usize = 16;
/// A remote of a repository.
type Place = (u64, Remote);

/// What an answer answers.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Question {
    UploadPack { with_no_done: bool },
    ReceivePack,
    LsRefs(LsRefsRequest),
}

#[derive(Debug)]
struct Answer {
    generation: u64,
    bytes: Bytes,
}

/// The answers of late, by remote and question.
#[derive(Debug)]
pub(super) struct Advertisements(Mutex<Cached>);

#[derive(Debug)]
struct Cached {
    answers: LruCache<(Place, Question), Answer>,
    bytes: usize,
}

impl Advertisements {
    /// Remembers answers of at most this many questions.
    pub(super) fn new(most: usize) -> Self {
        Self(Mutex::new(Cached {
            answers: LruCache::new(
                NonZeroUsize::new(most.saturating_mul(4)).unwrap_or(NonZeroUsize::MIN),
            ),
            bytes: 0,
        }))
    }

    /// What `git-upload-pack` says first in versions 0 and 1.
    pub(super) fn upload_pack(
        &self,
        place: Place,
        refs: &RefSnapshot,
        offer: &Offer,
        transport: Transport,
    ) -> Result<Bytes, ProtocolError> {
        let question = Question::UploadPack {
            with_no_done: transport == Transport::Advertisement,
        };
        self.answer(place, refs, question, |output| {
            let head = refs.head_id();
            Ok(encode_advertisement(
                offer,
                transport,
                head_ref(refs, head.as_ref())
                    .into_iter()
                    .chain(visible(refs.entries())),
                output,
            )?)
        })
    }

    /// What `git-receive-pack` says first.
    pub(super) fn receive_pack(
        &self,
        place: Place,
        refs: &RefSnapshot,
        offer: &Offer,
    ) -> Result<Bytes, ProtocolError> {
        self.answer(place, refs, Question::ReceivePack, |output| {
            Ok(encode_receive_advertisement(
                offer,
                visible(refs.entries()),
                output,
            )?)
        })
    }

    /// The answer to `ls-refs`.
    pub(super) fn ls_refs(
        &self,
        place: Place,
        refs: &RefSnapshot,
        asked: &LsRefsRequest,
    ) -> Result<Bytes, ProtocolError> {
        let encode = |output: &mut Vec<u8>| {
            let head = refs.head_id();
            let first = head_ref(refs, head.as_ref());
            if asked.prefixes.is_empty() {
                let all = first.into_iter().chain(visible(refs.entries()));
                return Ok(encode_ls_refs(asked, all, output)?);
            }
            let ranges = asked
                .prefixes
                .iter()
                .flat_map(|prefix| refs.with_prefix(prefix));
            Ok(encode_ls_refs(
                asked,
                first.into_iter().chain(visible(ranges)),
                output,
            )?)
        };
        if asked.prefixes.len() > CACHED_PREFIXES || !asked.server_options.is_empty() {
            let mut output = Vec::new();
            encode(&mut output)?;
            return Ok(output.into());
        }
        self.answer(place, refs, Question::LsRefs(asked.clone()), encode)
    }

    fn answer(
        &self,
        place: Place,
        refs: &RefSnapshot,
        question: Question,
        encode: impl FnOnce(&mut Vec<u8>) -> Result<(), ProtocolError>,
    ) -> Result<Bytes, ProtocolError> {
        let key = (place, question);
        if let Some(answer) = self
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .answers
            .get(&key)
            && answer.generation == refs.generation()
        {
            return Ok(answer.bytes.clone());
        }
        let mut output = Vec::new();
        encode(&mut output)?;
        let bytes = Bytes::from(output);
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .remember(
                key,
                Answer {
                    generation: refs.generation(),
                    bytes: bytes.clone(),
                },
            );
        Ok(bytes)
    }
}

impl Cached {
    fn remember(&mut self, key: (Place, Question), answer: Answer) {
        if answer.bytes.len() > CACHED_BYTES / 4 {
            return;
        }
        self.bytes += answer.bytes.len();
        if let Some((_, old)) = self.answers.push(key, answer) {
            self.bytes -= old.bytes.len();
        }
        while self.bytes > CACHED_BYTES {
            let Some((_, old)) = self.answers.pop_lru() else {
                break;
            };
            self.bytes -= old.bytes.len();
        }
    }
}

fn head_ref<'a>(
    refs: &'a RefSnapshot,
    id: Option<&'a gix_hash::ObjectId>,
) -> Option<AdvertisedRef<'a>> {
    Some(AdvertisedRef {
        name: b"HEAD",
        id: id.map(AsRef::as_ref),
        peeled: None,
        symref_target: Some(refs.head().as_str().as_bytes()),
    })
}

/// The refs that a plain remote shows.
fn visible<'a>(
    entries: impl IntoIterator<Item = &'a RefEntry>,
) -> impl Iterator<Item = AdvertisedRef<'a>> {
    entries
        .into_iter()
        .filter(|entry| !entry.name.as_str().starts_with(NAMESPACES))
        .map(|entry| AdvertisedRef {
            name: entry.name.as_str().as_bytes(),
            id: Some(entry.id.as_ref()),
            peeled: entry.peeled.as_ref().map(AsRef::as_ref),
            symref_target: None,
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{ObjectId, RefName};

    fn refs(generation: u64, names: &[&str]) -> RefSnapshot {
        let entry = |name: &&str| RefEntry {
            name: name.parse().unwrap(),
            id: ObjectId::null(gix_hash::Kind::Sha1),
            peeled: None,
        };
        RefSnapshot::new(
            generation,
            RefName::branch("main").unwrap(),
            names.iter().map(entry).collect(),
        )
    }

    fn asked(prefixes: &[&str]) -> LsRefsRequest {
        LsRefsRequest {
            symrefs: true,
            prefixes: prefixes
                .iter()
                .map(|prefix| prefix.as_bytes().to_vec())
                .collect(),
            ..LsRefsRequest::default()
        }
    }

    #[test]
    fn an_answer_changes_with_the_generation_and_only_with_it() {
        let advertisements = Advertisements::new(8);
        let one = refs(1, &["refs/heads/main"]);
        let first = advertisements
            .ls_refs((7, Remote::Ordinary), &one, &asked(&[]))
            .unwrap();
        let again = advertisements
            .ls_refs((7, Remote::Ordinary), &one, &asked(&[]))
            .unwrap();
        assert_eq!(first.as_ptr(), again.as_ptr(), "the very same bytes");
        let two = refs(2, &["refs/heads/main", "refs/heads/next"]);
        let later = advertisements
            .ls_refs((7, Remote::Ordinary), &two, &asked(&[]))
            .unwrap();
        assert!(later.len() > first.len());
        let other = advertisements
            .ls_refs((8, Remote::Ordinary), &refs(1, &[]), &asked(&[]))
            .unwrap();
        assert_eq!(
            &other[..],
            b"0000",
            "another repository is another question"
        );
    }

    #[test]
    fn hidden_refs_are_never_shown() {
        let advertisements = Advertisements::new(8);
        let refs = refs(
            1,
            &["refs/heads/main", "refs/namespaces/ephemeral/refs/heads/x"],
        );
        for prefixes in [&[][..], &["refs/namespaces/"], &["refs/"]] {
            let answer = advertisements
                .ls_refs((1, Remote::Ordinary), &refs, &asked(prefixes))
                .unwrap();
            assert!(
                !String::from_utf8_lossy(&answer).contains("ephemeral"),
                "{prefixes:?}"
            );
        }
    }

    #[test]
    fn the_byte_bound_holds() {
        let mut cached = Cached {
            answers: LruCache::new(NonZeroUsize::new(100).unwrap()),
            bytes: 0,
        };
        for repository in 0..50 {
            let bytes = Bytes::from(vec![0; CACHED_BYTES / 8]);
            cached.remember(
                ((repository, Remote::Ordinary), Question::ReceivePack),
                Answer {
                    generation: 1,
                    bytes,
                },
            );
            assert!(cached.bytes <= CACHED_BYTES);
        }
        assert_eq!(cached.answers.len(), 8);
    }
}
