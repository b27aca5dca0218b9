//! The faults an object can have, under the names that git gives them.
//!
//! Source: git-fsck(1), "FSCK MESSAGES". `receive.fsckObjects` refuses errors and warnings alike, and
//! lets pass, with a word to the pusher, what is listed there as information.
//! Not here: what becomes of a fault (`strictness`).

use std::fmt;

use gix_hash::ObjectId;

/// What a fault means for those who read the object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nature {
    /// It harms others, or hides what the object names: it can't be tolerated.
    Harmful,
    /// It is refused unless somebody says otherwise.
    Refused,
    /// It passes with a word, unless somebody says otherwise.
    Remarked,
    /// It passes unless somebody says otherwise.
    Silent,
}

/// Declares the faults once: the variant, git's name, what it means.
macro_rules! messages {
    ($($variant:ident $name:literal $nature:ident,)*) => {
        /// A fault of an object.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[repr(u8)]
        pub enum Message {
            $(#[doc = concat!("`", $name, "`")] $variant,)*
        }

        impl Message {
            pub(super) const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The name git gives it, as in `receive.fsck.<name>`.
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            pub(super) fn nature(self) -> Nature {
                match self {
                    $(Self::$variant => Nature::$nature,)*
                }
            }
        }
    };
}

messages! {
    BadDate "badDate" Refused,
    BadDateOverflow "badDateOverflow" Refused,
    BadEmail "badEmail" Refused,
    BadFilemode "badFilemode" Remarked,
    BadName "badName" Refused,
    BadObjectSha1 "badObjectSha1" Harmful,
    BadParentSha1 "badParentSha1" Harmful,
    BadTagName "badTagName" Remarked,
    BadTimezone "badTimezone" Refused,
    BadTree "badTree" Harmful,
    BadTreeSha1 "badTreeSha1" Harmful,
    BadType "badType" Harmful,
    DuplicateEntries "duplicateEntries" Harmful,
    ExtraHeaderEntry "extraHeaderEntry" Silent,
    FullPathname "fullPathname" Harmful,
    GitattributesBlob "gitattributesBlob" Harmful,
    GitattributesLarge "gitattributesLarge" Refused,
    GitattributesLineLength "gitattributesLineLength" Refused,
    GitattributesSymlink "gitattributesSymlink" Remarked,
    GitignoreSymlink "gitignoreSymlink" Remarked,
    GitmodulesBlob "gitmodulesBlob" Harmful,
    GitmodulesLarge "gitmodulesLarge" Harmful,
    GitmodulesName "gitmodulesName" Harmful,
    GitmodulesParse "gitmodulesParse" Remarked,
    GitmodulesPath "gitmodulesPath" Harmful,
    GitmodulesSymlink "gitmodulesSymlink" Harmful,
    GitmodulesUpdate "gitmodulesUpdate" Harmful,
    GitmodulesUrl "gitmodulesUrl" Harmful,
    HasDot "hasDot" Harmful,
    HasDotdot "hasDotdot" Harmful,
    HasDotgit "hasDotgit" Harmful,
    LargePathname "largePathname" Refused,
    MailmapSymlink "mailmapSymlink" Remarked,
    MissingAuthor "missingAuthor" Harmful,
    MissingCommitter "missingCommitter" Harmful,
    MissingEmail "missingEmail" Refused,
    MissingNameBeforeEmail "missingNameBeforeEmail" Refused,
    MissingObject "missingObject" Harmful,
    MissingSpaceBeforeDate "missingSpaceBeforeDate" Refused,
    MissingSpaceBeforeEmail "missingSpaceBeforeEmail" Refused,
    MissingTag "missingTag" Harmful,
    MissingTagEntry "missingTagEntry" Harmful,
    MissingTaggerEntry "missingTaggerEntry" Remarked,
    MissingTree "missingTree" Harmful,
    MissingType "missingType" Harmful,
    MissingTypeEntry "missingTypeEntry" Harmful,
    MultipleAuthors "multipleAuthors" Refused,
    NulInCommit "nulInCommit" Refused,
    NulInHeader "nulInHeader" Harmful,
    NullSha1 "nullSha1" Harmful,
    TreeNotSorted "treeNotSorted" Harmful,
    UnterminatedHeader "unterminatedHeader" Harmful,
    ZeroPaddedDate "zeroPaddedDate" Refused,
    ZeroPaddedFilemode "zeroPaddedFilemode" Refused,
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
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

/// Text of a stranger for people: short, and without anything that a terminal would obey.
pub(super) fn shown(text: &[u8]) -> String {
    const BYTES: usize = 100;
    let start = &text[..text.len().min(BYTES)];
    let dots = if start.len() < text.len() { "…" } else { "" };
    format!("{}{dots}", start.escape_ascii())
}
