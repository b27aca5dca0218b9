//! The faults an object can have, under the names that git gives them.
//!
//! Source: git-fsck(1), "FSCK MESSAGES". `receive.fsckObjects` refuses errors and warnings alike and
//! lets pass what is listed there as information; only what it refuses is in here.

use std::fmt;

use gix_hash::ObjectId;

/// Declares the faults once: the variant, git's name, whether it may be tolerated.
macro_rules! messages {
    ($($variant:ident $name:literal $tolerable:literal,)*) => {
        /// A fault of an object.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Message {
            $(#[doc = concat!("`", $name, "`")] $variant,)*
        }

        impl Message {
            const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name git gives it, as in `receive.fsck.<name>`.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// Whether objects with this fault can be stored without harm to others: they keep
            /// their meaning, and all that they name is known.
            pub fn is_tolerable(self) -> bool {
                match self {
                    $(Self::$variant => $tolerable,)*
                }
            }
        }
    };
}

messages! {
    BadDate "badDate" true,
    BadDateOverflow "badDateOverflow" true,
    BadEmail "badEmail" true,
    BadFilemode "badFilemode" false,
    BadName "badName" true,
    BadObjectSha1 "badObjectSha1" false,
    BadParentSha1 "badParentSha1" false,
    BadTimezone "badTimezone" true,
    BadTree "badTree" false,
    BadTreeSha1 "badTreeSha1" false,
    BadType "badType" false,
    DuplicateEntries "duplicateEntries" false,
    FullPathname "fullPathname" false,
    GitattributesBlob "gitattributesBlob" false,
    GitattributesLarge "gitattributesLarge" true,
    GitattributesLineLength "gitattributesLineLength" true,
    GitmodulesBlob "gitmodulesBlob" false,
    GitmodulesLarge "gitmodulesLarge" false,
    GitmodulesName "gitmodulesName" false,
    GitmodulesPath "gitmodulesPath" false,
    GitmodulesSymlink "gitmodulesSymlink" false,
    GitmodulesUpdate "gitmodulesUpdate" false,
    GitmodulesUrl "gitmodulesUrl" false,
    HasDot "hasDot" false,
    HasDotdot "hasDotdot" false,
    HasDotgit "hasDotgit" false,
    LargePathname "largePathname" true,
    MissingAuthor "missingAuthor" false,
    MissingCommitter "missingCommitter" false,
    MissingEmail "missingEmail" true,
    MissingNameBeforeEmail "missingNameBeforeEmail" true,
    MissingObject "missingObject" false,
    MissingSpaceBeforeDate "missingSpaceBeforeDate" true,
    MissingSpaceBeforeEmail "missingSpaceBeforeEmail" true,
    MissingTag "missingTag" false,
    MissingTagEntry "missingTagEntry" false,
    MissingTree "missingTree" false,
    MissingType "missingType" false,
    MissingTypeEntry "missingTypeEntry" false,
    MultipleAuthors "multipleAuthors" true,
    NulInCommit "nulInCommit" true,
    NulInHeader "nulInHeader" false,
    NullSha1 "nullSha1" false,
    TreeNotSorted "treeNotSorted" false,
    UnterminatedHeader "unterminatedHeader" false,
    ZeroPaddedDate "zeroPaddedDate" true,
    ZeroPaddedFilemode "zeroPaddedFilemode" true,
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Nothing that may be tolerated has this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no fault that may be tolerated")]
pub struct NotTolerable(pub String);

/// Faults that do not refuse a push.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tolerated(u64);

impl Tolerated {
    /// None at all, as git's defaults have it.
    pub const fn none() -> Self {
        Self(0)
    }

    /// All that can be tolerated.
    pub fn everything() -> Self {
        let tolerable = Message::ALL.iter().filter(|message| message.is_tolerable());
        Self(tolerable.fold(0, |all, message| all | 1 << *message as u8))
    }

    /// These without the one that git calls `name`.
    pub fn without(self, name: &str) -> Self {
        let same = |message: &&Message| message.name().eq_ignore_ascii_case(name);
        let bit = Message::ALL
            .iter()
            .find(same)
            .map_or(0, |message| 1 << *message as u8);
        Self(self.0 & !bit)
    }

    /// These and the one that git calls `name`.
    ///
    /// # Errors
    /// When there is no such fault, or none that can be tolerated.
    pub fn with(self, name: &str) -> Result<Self, NotTolerable> {
        Message::ALL
            .iter()
            .find(|message| message.is_tolerable() && message.name().eq_ignore_ascii_case(name))
            .map(|message| Self(self.0 | 1 << *message as u8))
            .ok_or_else(|| NotTolerable(name.to_owned()))
    }

    /// Whether this fault is among them.
    pub fn contains(self, message: Message) -> bool {
        self.0 & (1 << message as u8) != 0
    }
}

/// An object with a fault.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("object {id}: {message}: {text}")]
pub struct Problem {
    /// The object.
    pub id: ObjectId,
    /// What is wrong with it.
    pub message: Message,
    /// The same in words.
    pub text: String,
}

/// A fault found while it is not said yet in which object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::git::receive) struct Fault {
    pub(in crate::git::receive) message: Message,
    pub(in crate::git::receive) text: String,
}

impl Fault {
    pub(super) fn new(message: Message, text: impl Into<String>) -> Self {
        Self {
            message,
            text: text.into(),
        }
    }

    pub(in crate::git::receive) fn of(self, id: ObjectId) -> Problem {
        let Self { message, text } = self;
        Problem { id, message, text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_harmless_faults_can_be_tolerated() {
        assert!(Message::ALL.len() <= 64, "one bit each");
        let some = Tolerated::none().with("zeropaddedfilemode").unwrap();
        assert!(some.contains(Message::ZeroPaddedFilemode));
        assert!(!some.contains(Message::BadDate));
        let strict = Tolerated::everything().without("BADDATE");
        assert!(!strict.contains(Message::BadDate) && strict.contains(Message::BadEmail));
        assert!(!strict.contains(Message::HasDotgit));
        for name in ["hasDotgit", "treeNotSorted", "nulInHeader", "noSuchThing"] {
            assert_eq!(
                Tolerated::none().with(name),
                Err(NotTolerable(name.to_owned()))
            );
        }
    }
}
