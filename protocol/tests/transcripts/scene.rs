//! What the repository of a transcript holds, and what its server decides.
//!
//! Source: the head of a transcript, see `fixtures/transcripts/README.md`.
//! Bounds: none; the transcripts are ours.
//! Invariant: what can't be read fails the test.
//! Not here: the dialogue.

use gix_hash::{Kind, ObjectId};
use packhorse_protocol::{
    AdvertisedRef, Offer, Transport, Version,
    receive_pack::{CommandStatus, Outcome, RefUpdate},
};

/// What the repository of a transcript holds and what its server decides.
#[derive(Default)]
pub(super) struct Scene {
    pub(super) receive: bool,
    pub(super) version: Version,
    pub(super) transport: Option<Transport>,
    pub(super) hash: Option<Kind>,
    pub(super) offer: Vec<String>,
    pub(super) refs: Vec<Ref>,
    pub(super) objects: Vec<ObjectId>,
    pub(super) ready_on: Option<ObjectId>,
    pub(super) shallow: Vec<ObjectId>,
    pub(super) unshallow: Vec<ObjectId>,
    pub(super) refused: Option<String>,
    pub(super) pack: Vec<u8>,
    pub(super) fail: Option<String>,
    pub(super) progress: Option<String>,
    pub(super) unpack: Option<String>,
    pub(super) statuses: Vec<String>,
}

pub(super) struct Ref {
    pub(super) name: String,
    pub(super) id: Option<ObjectId>,
    pub(super) peeled: Option<ObjectId>,
    pub(super) target: Option<String>,
}

impl Scene {
    fn kind(&self) -> Kind {
        self.hash.unwrap_or(Kind::Sha1)
    }

    /// Replaces `{a}` by an id whose hex form repeats what stands inside.
    pub(super) fn expand(&self, text: &str) -> String {
        let mut expanded = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (pattern, after) = after
                .split_once('}')
                .unwrap_or_else(|| panic!("no }} in {text:?}"));
            expanded.push_str(before);
            if pattern.is_empty() {
                expanded.push_str("{}"); // as in `capabilities^{}`
            } else {
                expanded.extend(pattern.chars().cycle().take(self.kind().len_in_hex()));
            }
            rest = after;
        }
        expanded + rest
    }

    pub(super) fn set(&mut self, key: &str, value: &str) -> Option<()> {
        let ids = |text: &str| {
            text.split(' ')
                .map(|hex| ObjectId::from_hex(hex.as_bytes()).ok())
                .collect::<Option<Vec<_>>>()
        };
        match key {
            "service" => self.receive = value == "receive-pack",
            "version" => {
                self.version = match value {
                    "0" => Version::V0,
                    "1" => Version::V1,
                    "2" => Version::V2,
                    _ => return None,
                }
            }
            "transport" => {
                self.transport = Some(match value {
                    "stateful" => Transport::Stateful,
                    "stateless" => Transport::Stateless,
                    "advertisement" => Transport::Advertisement,
                    _ => return None,
                });
            }
            "hash" => self.hash = Some(Kind::Sha256).filter(|_| value == "sha256"),
            "offer" => self.offer = value.split(' ').map(str::to_owned).collect(),
            "ref" => {
                let mut words = value.split(' ');
                let name = words.next()?.to_owned();
                let id = words
                    .next()
                    .filter(|&word| word != "unborn")
                    .map(|hex| ObjectId::from_hex(hex.as_bytes()).unwrap());
                let mut each = Ref {
                    name,
                    id,
                    peeled: None,
                    target: None,
                };
                while let Some(word) = words.next() {
                    match word {
                        "->" => each.target = Some(words.next()?.to_owned()),
                        "peeled" => each.peeled = ObjectId::from_hex(words.next()?.as_bytes()).ok(),
                        _ => return None,
                    }
                }
                self.refs.push(each);
            }
            "objects" => self.objects = ids(value)?,
            "ready-on" => self.ready_on = ids(value)?.first().copied(),
            "shallow" => self.shallow = ids(value)?,
            "unshallow" => self.unshallow = ids(value)?,
            "refuse" => self.refused = Some(value.to_owned()),
            "pack" => self.pack = unescape(value),
            "fail" => self.fail = Some(String::from_utf8(unescape(value)).unwrap()),
            "progress" => self.progress = Some(String::from_utf8(unescape(value)).unwrap()),
            "unpack" => self.unpack = Some(value.to_owned()),
            "status" => self
                .statuses
                .push(String::from_utf8(unescape(value)).unwrap()),
            _ => return None,
        }
        Some(())
    }

    pub(super) fn offer(&self) -> Offer {
        let mut offer = Offer::new(self.kind(), "packhorse/test");
        for word in &self.offer {
            let (flag, name) = (word.starts_with('+'), word.trim_start_matches(['+', '-']));
            match name {
                "filter" => offer.filter = flag,
                "allow-tip-sha1-in-want" => offer.allow_tip_sha1_in_want = flag,
                "allow-reachable-sha1-in-want" => offer.allow_reachable_sha1_in_want = flag,
                "ref-in-want" => offer.ref_in_want = flag,
                "object-info" => offer.object_info = flag,
                "sideband-all" => offer.sideband_all = flag,
                "wait-for-done" => offer.wait_for_done = flag,
                "session-id" => offer.session_id = flag.then(|| "s 1".to_owned()),
                "atomic" => offer.atomic = flag,
                "push-options" => offer.push_options = flag,
                _ => panic!("unknown offer {word}"),
            }
        }
        offer
    }

    pub(super) fn advertised(&self) -> impl Iterator<Item = AdvertisedRef<'_>> {
        self.refs.iter().map(|each| AdvertisedRef {
            name: each.name.as_bytes(),
            id: each.id.as_deref(),
            peeled: each.peeled.as_deref(),
            symref_target: each.target.as_ref().map(String::as_bytes),
        })
    }

    pub(super) fn statuses(&self) -> Vec<CommandStatus<'_>> {
        self.statuses
            .iter()
            .map(|status| {
                let (name, rest) = status.split_once(' ').unwrap();
                let outcome = match rest.split_once(' ') {
                    None => Outcome::Done,
                    Some(("ng", reason)) => Outcome::Rejected(reason),
                    Some((_, updates)) => {
                        Outcome::DoneAs(updates.split(" and ").map(ref_update).collect())
                    }
                };
                CommandStatus {
                    name: name.as_bytes(),
                    outcome,
                }
            })
            .collect()
    }
}

fn ref_update(text: &str) -> RefUpdate<'_> {
    let mut update = RefUpdate::default();
    let mut words = text.split(' ');
    while let Some(word) = words.next() {
        let id = |hex: &str| ObjectId::from_hex(hex.as_bytes()).unwrap();
        match word {
            "name" => update.name = words.next().map(str::as_bytes),
            "old" => update.old = words.next().map(id),
            "new" => update.new = words.next().map(id),
            "forced" => update.forced = true,
            _ => panic!("unknown word {word} in a status"),
        }
    }
    update
}

pub(super) fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('\\') {
        bytes.extend_from_slice(before.as_bytes());
        let (length, byte) = match after.chars().next().unwrap() {
            'n' => (1, b'\n'),
            'r' => (1, b'\r'),
            '0' => (1, 0),
            'x' => (3, u8::from_str_radix(after.get(1..3).unwrap(), 16).unwrap()),
            other => panic!("unknown escape \\{other}"),
        };
        bytes.push(byte);
        rest = after.get(length..).unwrap();
    }
    bytes.extend_from_slice(rest.as_bytes());
    bytes
}
