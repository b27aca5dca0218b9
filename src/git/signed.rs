//! What is signed of a commit, and by which signature.
//!
//! Source: gitformat-signature(5), "Commit signatures": the signature is a header of its own, whose
//! further lines begin with a space, and what is signed is the commit without it.
//! Not here: whether the signature is good.

/// A commit in two parts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Signed {
    /// The armored signature.
    pub signature: Vec<u8>,
    /// What it signs.
    pub payload: Vec<u8>,
}

/// The parts of this commit; `None` if it is not signed.
pub fn signed(commit: &[u8]) -> Option<Signed> {
    let mut signature = Vec::new();
    let mut payload = Vec::with_capacity(commit.len());
    let mut rest = commit;
    let mut in_signature = false;
    while !rest.is_empty() {
        let end = memchr::memchr(b'\n', rest).map_or(rest.len(), |at| at + 1);
        let (line, after) = rest.split_at(end);
        if line == b"\n" {
            break;
        }
        let first = line
            .strip_prefix(b"gpgsig ")
            .or_else(|| line.strip_prefix(b"gpgsig-sha256 "));
        match (first, line.strip_prefix(b" ")) {
            (Some(first), _) => {
                in_signature = true;
                signature.extend_from_slice(first);
            }
            (None, Some(more)) if in_signature => signature.extend_from_slice(more),
            _ => {
                in_signature = false;
                payload.extend_from_slice(line);
            }
        }
        rest = after;
    }
    payload.extend_from_slice(rest);
    (!signature.is_empty()).then_some(Signed { signature, payload })
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNSIGNED: &str = "tree 1\nauthor A\ncommitter C\nencoding x\n\nm\n\ngpgsig no\n more\n";

    #[test]
    fn the_signature_is_taken_out_of_the_header_and_nothing_else_is() {
        let armored = "-----BEGIN\n\nabc\n-----END\n";
        for header in ["gpgsig", "gpgsig-sha256"] {
            let folded = armored.trim_end().replace('\n', "\n ");
            let line = format!("committer C\n{header} {folded}\n");
            let text = UNSIGNED.replace("committer C\n", &line);
            let signed = signed(text.as_bytes()).unwrap();
            assert_eq!(signed.signature, armored.as_bytes());
            assert_eq!(signed.payload, UNSIGNED.as_bytes());
        }
        assert_eq!(signed(UNSIGNED.as_bytes()), None);
    }
}
