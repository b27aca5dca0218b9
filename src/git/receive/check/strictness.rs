//! What becomes of a fault: it refuses the push, is told to the pusher, or passes in silence.
//!
//! Source: git-config(1) `receive.fsck.<msg-id>`, `receive.fsck.skipList`.
//! Invariant: a fault that harms others refuses the push whatever is configured, and whatever object
//! has it.

use std::{collections::HashSet, sync::Arc};

use gix_hash::ObjectId;

use super::message::{Message, Nature};

/// What is done about a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Nothing.
    Ignore,
    /// The pusher is told.
    Warn,
    /// The push is refused.
    Error,
}

/// A setting that can't be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StrictnessError {
    /// No fault has this name.
    #[error("{0:?} is no fault of an object")]
    Unknown(String),
    /// It would harm others.
    #[error("{0:?} is no fault that may be tolerated")]
    NotTolerable(String),
}

/// What becomes of each fault, and which objects are let off.
#[derive(Debug, Clone, Default)]
pub struct Strictness {
    /// One bit for each [`Message`] that refuses nothing.
    tolerated: u64,
    /// Those of them that the pusher is told of.
    told: u64,
    excused: Arc<HashSet<ObjectId>>,
}

impl Strictness {
    /// What git does when it checks objects at all.
    pub fn strict() -> Self {
        Self::passing(|nature| match nature {
            Nature::Harmful | Nature::Refused => Severity::Error,
            Nature::Remarked => Severity::Warn,
            Nature::Silent => Severity::Ignore,
        })
    }

    /// Only what harms others is refused, and nothing else is worth a word.
    pub fn lenient() -> Self {
        Self::passing(|nature| match nature {
            Nature::Harmful => Severity::Error,
            Nature::Refused | Nature::Remarked | Nature::Silent => Severity::Ignore,
        })
    }

    fn passing(severity: impl Fn(Nature) -> Severity) -> Self {
        let mut all = Self::default();
        for message in Message::ALL {
            all.put(*message, severity(message.nature()));
        }
        all
    }

    /// The same, but for the fault that git calls `name`, whatever its case.
    ///
    /// # Errors
    /// When there is no such fault, or it must not be tolerated.
    pub fn with(mut self, name: &str, severity: Severity) -> Result<Self, StrictnessError> {
        let named = |message: &&Message| message.name().eq_ignore_ascii_case(name);
        let message = *Message::ALL
            .iter()
            .find(named)
            .ok_or_else(|| StrictnessError::Unknown(name.to_owned()))?;
        if severity != Severity::Error && message.nature() == Nature::Harmful {
            return Err(StrictnessError::NotTolerable(name.to_owned()));
        }
        self.put(message, severity);
        Ok(self)
    }

    /// The same, but these objects are let off what harms nobody.
    pub fn excusing(self, objects: HashSet<ObjectId>) -> Self {
        Self {
            excused: Arc::new(objects),
            ..self
        }
    }

    fn put(&mut self, message: Message, severity: Severity) {
        let bit = bit(message);
        self.tolerated &= !bit;
        self.told &= !bit;
        match severity {
            Severity::Error => {}
            Severity::Warn => {
                self.tolerated |= bit;
                self.told |= bit;
            }
            Severity::Ignore => self.tolerated |= bit,
        }
    }

    /// What is done about this fault of this object.
    pub(super) fn of(&self, message: Message, object: &ObjectId) -> Severity {
        if self.tolerated & bit(message) == 0 {
            let lets_off = message.nature() != Nature::Harmful && self.excused.contains(object);
            return match lets_off {
                true => Severity::Ignore,
                false => Severity::Error,
            };
        }
        match self.told & bit(message) != 0 && !self.excused.contains(object) {
            true => Severity::Warn,
            false => Severity::Ignore,
        }
    }
}

/// The place of a fault in a set.
pub(super) fn bit(message: Message) -> u64 {
    1 << message as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    const OBJECT: ObjectId = ObjectId::null(gix_hash::Kind::Sha1);

    #[track_caller]
    fn check(strictness: &Strictness, message: Message, expected: Severity) {
        assert_eq!(strictness.of(message, &OBJECT), expected, "{message}");
    }

    #[test]
    fn each_fault_has_a_bit_of_its_own() {
        assert!(Message::ALL.len() <= 64);
    }

    #[test]
    fn only_harmless_faults_can_be_tolerated() {
        let with = |name: &str, severity| Strictness::strict().with(name, severity);
        let some = with("zeropaddedfilemode", Severity::Ignore).unwrap();
        check(&some, Message::ZeroPaddedFilemode, Severity::Ignore);
        check(&some, Message::BadDate, Severity::Error);
        let told = with("BADDATE", Severity::Warn).unwrap();
        check(&told, Message::BadDate, Severity::Warn);
        let mended = told.with("badDate", Severity::Error).unwrap();
        check(&mended, Message::BadDate, Severity::Error);
        for name in ["hasDotgit", "treeNotSorted", "nulInHeader"] {
            assert!(with(name, Severity::Error).is_ok());
            for severity in [Severity::Ignore, Severity::Warn] {
                let refused = Err(StrictnessError::NotTolerable(name.to_owned()));
                assert_eq!(with(name, severity).map(drop), refused);
            }
        }
        let unknown = Err(StrictnessError::Unknown("noSuchThing".to_owned()));
        assert_eq!(with("noSuchThing", Severity::Error).map(drop), unknown);
    }

    #[test]
    fn what_git_calls_information_is_told_and_what_it_ignores_is_not() {
        let strict = Strictness::strict();
        check(&strict, Message::BadFilemode, Severity::Warn);
        check(&strict, Message::ExtraHeaderEntry, Severity::Ignore);
        let lenient = Strictness::lenient();
        check(&lenient, Message::BadFilemode, Severity::Ignore);
        check(&lenient, Message::BadDate, Severity::Ignore);
        check(&lenient, Message::HasDotgit, Severity::Error);
    }

    /// Somebody excuses an old object of theirs, which turns out to write into `.git`.
    #[test]
    fn an_object_that_is_excused_still_harms_nobody() {
        let excused = Strictness::strict().excusing(HashSet::from([OBJECT]));
        check(&excused, Message::BadDate, Severity::Ignore);
        check(&excused, Message::BadFilemode, Severity::Ignore);
        check(&excused, Message::HasDotgit, Severity::Error);
        let other = ObjectId::empty_tree(gix_hash::Kind::Sha1);
        assert_eq!(excused.of(Message::BadDate, &other), Severity::Error);
    }
}
