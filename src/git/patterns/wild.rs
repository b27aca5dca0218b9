//! Wildcards of path patterns: `*`, `?`, `[…]` and `**`.
//!
//! Source: gitignore(5), "PATTERN FORMAT"; glob(7) for what brackets hold.
//! Bounds: matching takes time proportional to the pattern times the path, whatever both say: all ways
//! through the pattern are followed at once, never one after the other.
//! Not here: lists of patterns and what a match means (the parent module).

/// A compiled pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Wild {
    tokens: Vec<Token>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    /// This byte.
    Byte(u8),
    /// `?`: any byte but a slash.
    Any,
    /// `[…]`: one of these, a slash never.
    Set(Box<[bool; 256]>),
    /// `*`: any bytes but slashes.
    Star,
    /// `**` at an end: any bytes.
    Stars,
    /// `**/`: nothing, or any bytes up to a slash; always followed by [`Token::ToSlash`].
    Folders,
    /// What follows [`Token::Folders`] once a byte was taken: all up to some slash.
    ToSlash,
}

impl Wild {
    /// Reads a pattern; `None` for one that matches nothing, such as one whose bracket is not closed.
    pub(super) fn compile(pattern: &[u8]) -> Option<Self> {
        Self::compile_with(pattern, false)
    }

    /// As [`Self::compile`]; each star matches slashes too.
    pub(super) fn compile_free(pattern: &[u8]) -> Option<Self> {
        Self::compile_with(pattern, true)
    }

    fn compile_with(pattern: &[u8], free: bool) -> Option<Self> {
        let mut tokens = Vec::with_capacity(pattern.len());
        let mut at = 0;
        while let Some(&byte) = pattern.get(at) {
            at += 1;
            match byte {
                b'\\' => {
                    tokens.push(Token::Byte(*pattern.get(at)?));
                    at += 1;
                }
                b'?' => tokens.push(Token::Any),
                b'[' => {
                    let (set, end) = bracket(pattern, at)?;
                    tokens.push(Token::Set(set));
                    at = end;
                }
                b'*' => {
                    let begins = at == 1 || pattern[at - 2] == b'/';
                    let stars = pattern[at..].iter().take_while(|byte| **byte == b'*');
                    let more = stars.count();
                    at += more;
                    let rest = &pattern[at..];
                    let ends = rest.is_empty() || rest[0] == b'/' || rest.starts_with(b"\\/");
                    if free {
                        tokens.push(Token::Stars);
                    } else if more == 0 || !begins || !ends {
                        tokens.push(Token::Star);
                    } else if rest.first() == Some(&b'/') {
                        tokens.extend([Token::Folders, Token::ToSlash]);
                        at += 1;
                    } else {
                        tokens.push(Token::Stars);
                    }
                }
                other => tokens.push(Token::Byte(other)),
            }
        }
        Some(Self { tokens })
    }

    /// Whether all of `text` matches.
    pub(super) fn matches(&self, text: &[u8]) -> bool {
        let mut here = vec![false; self.tokens.len() + 1];
        let mut next = here.clone();
        self.arrive(&mut here, 0);
        for byte in text {
            next.fill(false);
            let marked = here.iter().take(self.tokens.len()).enumerate();
            for (at, _) in marked.filter(|(_, marked)| **marked) {
                self.take(*byte, at, &mut next);
            }
            std::mem::swap(&mut here, &mut next);
        }
        here[self.tokens.len()]
    }

    /// Marks a place, and those that are reached from it without a byte.
    fn arrive(&self, places: &mut [bool], mut at: usize) {
        while !std::mem::replace(&mut places[at], true) {
            match self.tokens.get(at) {
                Some(Token::Star | Token::Stars) => at += 1,
                Some(Token::Folders) => {
                    places[at + 1] = true;
                    at += 2;
                }
                _ => return,
            }
        }
    }

    fn take(&self, byte: u8, at: usize, next: &mut [bool]) {
        let slash = byte == b'/';
        match &self.tokens[at] {
            Token::Byte(own) if *own == byte => self.arrive(next, at + 1),
            Token::Any if !slash => self.arrive(next, at + 1),
            Token::Set(set) if !slash && set[usize::from(byte)] => self.arrive(next, at + 1),
            Token::Star if !slash => self.arrive(next, at),
            Token::Stars => self.arrive(next, at),
            Token::ToSlash => {
                next[at] = true;
                if slash {
                    self.arrive(next, at + 1);
                }
            }
            _ => {}
        }
    }
}

/// The bytes that a bracket lists, which begins before `at`, and where the pattern goes on.
fn bracket(pattern: &[u8], mut at: usize) -> Option<(Box<[bool; 256]>, usize)> {
    let mut set = Box::new([false; 256]);
    let negated = matches!(pattern.get(at)?, b'!' | b'^');
    at += usize::from(negated);
    let first = at;
    let mut low = None;
    loop {
        let byte = *pattern.get(at)?;
        if byte == b']' && at > first {
            break;
        }
        let ranges = low.filter(|_| byte == b'-');
        if byte == b'\\' {
            at += 1;
            let escaped = *pattern.get(at)?;
            set[usize::from(escaped)] = true;
            low = Some(escaped);
        } else if let (Some(low_end), Some(&high)) =
            (ranges, pattern.get(at + 1).filter(|high| **high != b']'))
        {
            at += 1;
            let high = if high == b'\\' {
                at += 1;
                *pattern.get(at)?
            } else {
                high
            };
            for member in low_end..=high {
                set[usize::from(member)] = true;
            }
            low = None;
        } else if byte == b'[' && pattern.get(at + 1) == Some(&b':') {
            let name = at + 2;
            let close = name + pattern[name..].iter().position(|byte| *byte == b']')?;
            if let Some(name) = pattern[name..close].strip_suffix(b":") {
                let class = class(name)?;
                for member in 0..=u8::MAX {
                    set[usize::from(member)] |= class(&member);
                }
                at = close;
                low = None;
            } else {
                set[usize::from(b'[')] = true;
                low = Some(b'[');
            }
        } else {
            set[usize::from(byte)] = true;
            low = Some(byte);
        }
        at += 1;
    }
    if negated {
        set.iter_mut().for_each(|member| *member = !*member);
    }
    Some((set, at + 1))
}

/// The bytes of a named class, such as `digit`.
fn class(name: &[u8]) -> Option<fn(&u8) -> bool> {
    Some(match name {
        b"alnum" => u8::is_ascii_alphanumeric,
        b"alpha" => u8::is_ascii_alphabetic,
        b"blank" => |byte| matches!(byte, b' ' | b'\t'),
        b"cntrl" => u8::is_ascii_control,
        b"digit" => u8::is_ascii_digit,
        b"graph" => u8::is_ascii_graphic,
        b"lower" => u8::is_ascii_lowercase,
        b"print" => |byte| matches!(byte, b' '..=b'~'),
        b"punct" => u8::is_ascii_punctuation,
        b"space" => |byte| matches!(byte, b' ' | b'\t'..=b'\r'),
        b"upper" => u8::is_ascii_uppercase,
        b"xdigit" => u8::is_ascii_hexdigit,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, text: &str, expected: bool) {
        let wild = Wild::compile(pattern.as_bytes());
        let matches = wild.is_some_and(|wild| wild.matches(text.as_bytes()));
        assert_eq!(matches, expected, "{pattern:?} on {text:?}");
    }

    #[test]
    fn stars_stay_within_a_folder_and_double_ones_do_not() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("", "a", false),
            ("*", "", true),
            ("*", "foo", true),
            ("*", "a/b", false),
            ("f*", "foo", true),
            ("*f", "foo", false),
            ("*ob*a*r*", "foobar", true),
            ("???", "foo", true),
            ("??", "foo", false),
            ("a?b", "a/b", false),
            ("foo/*", "foo/bar/baz", false),
            ("foo/**", "foo/bar/baz", true),
            ("foo/**", "foo", false),
            ("**/foo", "foo", true),
            ("**/foo", "x/y/foo", true),
            ("**/foo", "x/yfoo", false),
            ("a/**/b", "a/b", true),
            ("a/**/b", "a/x/y/b", true),
            ("a/**/b", "a/xb", false),
            ("a/**/**/b", "a/b", true),
            ("a**/b", "ax/b", true),
            ("a**/b", "ax/y/b", false),
            ("**\\/b", "x/y/b", true),
            ("**\\/b", "b", false),
            ("a***", "abc", true),
        ] {
            check(pattern, text, expected);
        }
    }

    #[test]
    fn brackets_hold_what_git_finds_in_them() {
        for (pattern, text, expected) in [
            ("[ab]", "b", true),
            ("[!ab]", "b", false),
            ("[^ab]", "c", true),
            ("[]a]", "]", true),
            ("[!]a]", "]", false),
            ("[a-c]x", "bx", true),
            ("[a-c]x", "dx", false),
            ("[a-]", "-", true),
            ("[-a]", "-", true),
            ("[a-c-e]", "d", false),
            ("[a-c-e]", "-", true),
            ("[\\]]", "]", true),
            ("[a\\-c]", "b", false),
            ("[[:digit:]x]", "7", true),
            ("[[:digit:]x]", "x", true),
            ("[[:digit:]x]", "d", false),
            ("[[:nope:]]", "n", false),
            ("[[:di]", ":", true),
            ("[!a]", "/", false),
            ("[a", "a", false),
            ("a\\", "a", false),
            ("\\*", "*", true),
            ("\\*", "a", false),
        ] {
            check(pattern, text, expected);
        }
    }

    #[test]
    fn a_pattern_made_to_backtrack_costs_no_more_than_another() {
        let pattern = "*a".repeat(500) + "b";
        let text = "a".repeat(1000);
        check(&pattern, &text, false);
        check(&("**/a/".repeat(200) + "b"), &"a/".repeat(500), false);
    }
}
