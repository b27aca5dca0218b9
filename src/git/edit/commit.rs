//! The text of a commit.
//!
//! Source: git-commit-tree(1); git-fsck(1) for what a name and an email may hold.
//! Invariant: what [`Person::new`] takes passes the checks of a push.

use crate::model::ObjectId;

/// Somebody who wrote or committed something, and when.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Person {
    name: String,
    email: String,
    seconds: i64,
    offset_minutes: i32,
}

/// Why somebody can't be named in a commit; the text says what is wrong with which part.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{part} {reason}")]
pub struct PersonError {
    /// `name`, `email` or `date`.
    pub part: &'static str,
    /// To be read after it.
    pub reason: &'static str,
}

/// Longest name or email, in bytes.
const PART_BYTES_MAX: usize = 1024;
/// Time zones lie within a day.
const OFFSET_MINUTES_MAX: i32 = 24 * 60 - 1;

impl Person {
    /// Somebody at a time: `seconds` since 1970, shown at an offset from UTC in minutes.
    ///
    /// # Errors
    /// When a part is empty, too long, or holds what would end it early.
    pub fn new(
        name: &str,
        email: &str,
        seconds: i64,
        offset_minutes: i32,
    ) -> Result<Self, PersonError> {
        let wrong_date = |reason| PersonError {
            part: "date",
            reason,
        };
        if seconds < 0 {
            return Err(wrong_date("is before 1970"));
        }
        if offset_minutes.abs() > OFFSET_MINUTES_MAX {
            return Err(wrong_date("has an offset of more than a day"));
        }
        Ok(Self {
            name: part("name", name)?,
            email: part("email", email)?,
            seconds,
            offset_minutes,
        })
    }

    fn write(&self, key: &str, out: &mut Vec<u8>) {
        let sign = if self.offset_minutes < 0 { '-' } else { '+' };
        let minutes = self.offset_minutes.abs();
        let line = format!(
            "{key} {} <{}> {} {sign}{:02}{:02}\n",
            self.name,
            self.email,
            self.seconds,
            minutes / 60,
            minutes % 60
        );
        out.extend_from_slice(line.as_bytes());
    }
}

fn part(part: &'static str, text: &str) -> Result<String, PersonError> {
    let text = text.trim();
    let reason = if text.is_empty() {
        "is empty"
    } else if text.len() > PART_BYTES_MAX {
        "is too long"
    } else if text.contains(['<', '>']) {
        "holds an angle bracket"
    } else if text.chars().any(char::is_control) {
        "holds a control character"
    } else {
        return Ok(text.to_owned());
    };
    Err(PersonError { part, reason })
}

/// What a commit says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommitText {
    /// Who wrote it.
    pub author: Person,
    /// Who committed it.
    pub committer: Person,
    /// Why; ends in a line feed in the end.
    pub message: String,
}

impl CommitText {
    /// The content of the commit object.
    pub fn content(&self, tree: &ObjectId, parents: &[ObjectId]) -> Vec<u8> {
        let mut content = format!("tree {tree}\n").into_bytes();
        for parent in parents {
            content.extend_from_slice(format!("parent {parent}\n").as_bytes());
        }
        self.author.write("author", &mut content);
        self.committer.write("committer", &mut content);
        content.push(b'\n');
        content.extend_from_slice(self.message.as_bytes());
        if !self.message.ends_with('\n') {
            content.push(b'\n');
        }
        content
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::git::fixture::Stock;

    #[test]
    fn the_text_is_that_of_git_commit_tree() {
        for stock in Stock::each() {
            let stock = stock.with_history(4);
            let (tree, parent) = (stock.id("main^{tree}"), stock.id("main"));
            let text = CommitText {
                author: Person::new("Ann", "ann@example.org", 1_700_000_000, 60).unwrap(),
                committer: Person::new(" Carl ", "carl@example.org", 1_700_000_000, 60).unwrap(),
                message: "Why\n\nBecause".to_owned(),
            };
            let parents = [parent, stock.id("main~1")];
            let parents = &parents[..1];
            let content = text.content(&tree, parents);
            let id = stock.git([
                "commit-tree",
                &tree.to_string(),
                "-p",
                &parent.to_string(),
                "-m",
                "Why",
                "-m",
                "Because",
            ]);
            let expected = stock.git_with_input(["cat-file", "commit", &id], b"");
            assert_eq!(content, expected);
        }
    }

    #[test]
    fn parts_that_would_break_the_line_are_refused() {
        for (name, email, seconds, offset, wrong) in [
            ("", "e", 0, 0, Some("name is empty")),
            (" \n", "e", 0, 0, Some("name is empty")),
            ("a<b", "e", 0, 0, Some("name holds an angle bracket")),
            ("a\nb", "e", 0, 0, Some("name holds a control character")),
            ("a", "e>", 0, 0, Some("email holds an angle bracket")),
            ("a", " ", 0, 0, Some("email is empty")),
            ("a", "e", -1, 0, Some("date is before 1970")),
            (
                "a",
                "e",
                0,
                1440,
                Some("date has an offset of more than a day"),
            ),
            ("a", "e", 0, -1439, None),
        ] {
            let made = Person::new(name, email, seconds, offset);
            let error = made.err().map(|error| error.to_string());
            assert_eq!(error.as_deref(), wrong, "{name:?} {email:?}");
        }
        let longest = "a".repeat(PART_BYTES_MAX);
        assert!(Person::new(&longest, "e", 0, 0).is_ok());
        assert!(Person::new(&format!("{longest}a"), "e", 0, 0).is_err());
    }
}
