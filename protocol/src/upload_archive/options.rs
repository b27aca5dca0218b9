//! The command line of `git archive`, as far as it may come from outside.
//!
//! Source: git-archive(1); options that name files of this side are refused, as git refuses them.
//! Bounds: those of the request.
//! Invariant: what is not understood is refused, never passed over.
//! Not here: whether the tree exists, and may be seen.

use crate::{filter::decimal, text::Excerpt};

/// What is to be archived, and how.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ArchiveOptions {
    /// Only the formats are asked for.
    pub list: bool,
    /// How the archive is packed.
    pub format: Format,
    /// How hard to compress, from 0 to 9.
    pub level: Option<u8>,
    /// Put before each path.
    pub prefix: Vec<u8>,
    /// Each path is to be told.
    pub verbose: bool,
    /// Time of all entries, in seconds since 1970.
    pub time: Option<u64>,
    /// Of what; always there unless the formats are asked for.
    pub tree: Option<Vec<u8>>,
    /// Which paths; all if there are none.
    pub paths: Vec<Vec<u8>>,
}

/// How an archive is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[expect(missing_docs, reason = "the formats need no further words")]
pub enum Format {
    #[default]
    Tar,
    TarGz,
    Zip,
}

impl Format {
    /// Names that are taken, in the order in which git lists them.
    pub const NAMES: [&'static str; 4] = ["tar", "tgz", "tar.gz", "zip"];

    fn from_name(name: &[u8]) -> Option<Self> {
        match name {
            b"tar" => Some(Self::Tar),
            b"tgz" | b"tar.gz" => Some(Self::TarGz),
            b"zip" => Some(Self::Zip),
            _ => None,
        }
    }
}

/// Why a command line is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OptionsError {
    /// An option that is not known, or not taken from outside.
    #[error("unexpected option {0}")]
    Unexpected(Excerpt),
    /// An option without its value.
    #[error("option {0} requires a value")]
    NoValue(Excerpt),
    /// No such format.
    #[error("Unknown archive format '{0}'")]
    UnknownFormat(Excerpt),
    /// A level where there is nothing to compress, or none that there is.
    #[error("Argument not supported for format '{0}': -{1}")]
    BadLevel(Excerpt, Excerpt),
    /// A time that is not in seconds since 1970.
    #[error("time '{0}' is not understood, give seconds since 1970")]
    BadTime(Excerpt),
    /// Nothing to archive.
    #[error("must specify tree-ish")]
    NoTree,
    /// Something to archive where only the formats are asked for.
    #[error("extra command line parameter '{0}'")]
    Extra(Excerpt),
}

impl ArchiveOptions {
    /// Reads the words of a command line.
    ///
    /// # Errors
    /// When one of them is not understood, or they don't go together.
    pub fn parse(words: &[Vec<u8>]) -> Result<Self, OptionsError> {
        let mut options = Self::default();
        let (mut name, mut level) = (b"tar".as_slice(), None);
        let mut plain = Vec::new();
        let mut words = words.iter().map(Vec::as_slice);
        while let Some(word) = words.next() {
            let mut value = |option: &[u8]| -> Result<Option<&[u8]>, OptionsError> {
                match word.strip_prefix(option) {
                    Some(b"") => {
                        let value = words.next();
                        let value =
                            value.ok_or_else(|| OptionsError::NoValue(Excerpt::of(word)))?;
                        Ok(Some(value))
                    }
                    Some([b'=', value @ ..]) => Ok(Some(value)),
                    _ => Ok(None),
                }
            };
            if let Some(format) = value(b"--format")? {
                name = format;
            } else if let Some(prefix) = value(b"--prefix")? {
                options.prefix = prefix.to_vec();
            } else if let Some(time) = value(b"--mtime")? {
                let seconds = decimal(time.strip_prefix(b"@").unwrap_or(time));
                let seconds = seconds.ok_or_else(|| OptionsError::BadTime(Excerpt::of(time)))?;
                options.time = Some(seconds);
            } else {
                match word {
                    b"-v" | b"--verbose" => options.verbose = true,
                    b"-l" | b"--list" => options.list = true,
                    b"--" => plain.extend(words.by_ref()),
                    [b'-', digits @ ..] if decimal(digits).is_some() => level = Some(digits),
                    [b'-', _, ..] => return Err(OptionsError::Unexpected(Excerpt::of(word))),
                    _ => plain.push(word),
                }
            }
        }
        if options.list {
            return match plain.first() {
                Some(word) => Err(OptionsError::Extra(Excerpt::of(word))),
                None => Ok(options),
            };
        }
        options.format = Format::from_name(name)
            .ok_or_else(|| OptionsError::UnknownFormat(Excerpt::of(name)))?;
        if let Some(digits) = level {
            let taken = decimal(digits).and_then(|level| u8::try_from(level).ok());
            let taken = taken.filter(|level| *level <= 9 && options.format != Format::Tar);
            let bad = || OptionsError::BadLevel(Excerpt::of(name), Excerpt::of(digits));
            options.level = Some(taken.ok_or_else(bad)?);
        }
        let mut plain = plain.into_iter().map(<[u8]>::to_vec);
        options.tree = Some(plain.next().ok_or(OptionsError::NoTree)?);
        options.paths = plain.collect();
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<ArchiveOptions, OptionsError> {
        let words: Vec<_> = line
            .split(' ')
            .map(|word| word.as_bytes().to_vec())
            .collect();
        ArchiveOptions::parse(&words)
    }

    #[test]
    fn a_command_line_is_read_as_git_reads_it() {
        let options = parsed("--format tgz -9 --prefix=a/ -v v1 --mtime=@7 -- src -x").unwrap();
        let expected = ArchiveOptions {
            list: false,
            format: Format::TarGz,
            level: Some(9),
            prefix: b"a/".to_vec(),
            verbose: true,
            time: Some(7),
            tree: Some(b"v1".to_vec()),
            paths: vec![b"src".to_vec(), b"-x".to_vec()],
        };
        assert_eq!(options, expected);
        assert!(parsed("--list").unwrap().list);
        assert_eq!(parsed("--format=zip -0 HEAD").unwrap().level, Some(0));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for (line, message) in [
            ("--output=x HEAD", "unexpected option --output=x"),
            ("--exec=x HEAD", "unexpected option --exec=x"),
            ("--remote=x HEAD", "unexpected option --remote=x"),
            ("--add-file=x HEAD", "unexpected option --add-file=x"),
            (
                "--worktree-attributes HEAD",
                "unexpected option --worktree-attributes",
            ),
            ("-o HEAD", "unexpected option -o"),
            ("HEAD --prefix", "option --prefix requires a value"),
            ("--format=rar HEAD", "Unknown archive format 'rar'"),
            ("-9 HEAD", "Argument not supported for format 'tar': -9"),
            (
                "--format=zip -10 HEAD",
                "Argument not supported for format 'zip': -10",
            ),
            (
                "--mtime=yesterday HEAD",
                "time 'yesterday' is not understood, give seconds since 1970",
            ),
            ("--format=zip", "must specify tree-ish"),
            ("--list HEAD", "extra command line parameter 'HEAD'"),
        ] {
            assert_eq!(parsed(line).unwrap_err().to_string(), message, "{line}");
        }
    }
}
