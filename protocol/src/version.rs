//! Which protocol version a client asks for.
//!
//! Source: gitprotocol-v2(5) "Initial Client Request", git(1) `GIT_PROTOCOL`.
//! Bounds: reads the value once, keeps nothing of it.
//! Invariant: an unknown or malformed value means version 0, never an error.
//! Not here: how the value travels (SSH environment, `Git-Protocol` header).

/// A version of the wire protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub enum Version {
    /// The original protocol: the server speaks first and advertises every ref.
    #[default]
    V0,
    /// Version 0 after one line that says `version 1`.
    V1,
    /// Commands with arguments; refs are sent when asked for.
    V2,
}

impl Version {
    /// The highest known version in a `GIT_PROTOCOL` or `Git-Protocol` value such as `version=2:key`.
    pub fn from_git_protocol(value: &[u8]) -> Self {
        value
            .split(|&byte| byte == b':')
            .filter_map(|key| match key.strip_prefix(b"version=")? {
                b"0" => Some(Self::V0),
                b"1" => Some(Self::V1),
                b"2" => Some(Self::V2),
                _ => None,
            })
            .max()
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::Version;

    #[track_caller]
    fn check(value: &[u8], expected: Version) {
        assert_eq!(Version::from_git_protocol(value), expected, "{value:?}");
    }

    #[test]
    fn the_highest_known_version_wins() {
        check(b"version=2", Version::V2);
        check(b"version=1", Version::V1);
        check(b"version=0", Version::V0);
        check(b"version=1:version=2", Version::V2);
        check(b"version=2:version=1:key=value", Version::V2);
        check(b"frotz:version=1", Version::V1);
    }

    #[test]
    fn anything_else_is_version_0() {
        check(b"", Version::V0);
        check(b"version=3", Version::V0);
        check(b"version=02", Version::V0);
        check(b"version=2 ", Version::V0);
        check(b"VERSION=2", Version::V0);
        check(b"\xff\0version=2", Version::V0);
    }
}
