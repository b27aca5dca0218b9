//! SSH public keys as people paste them.
//!
//! Source: sshd(8), "AUTHORIZED_KEYS FILE FORMAT", of which only `algorithm base64 [comment]` is
//! taken: options in front (`command=` …) would look as if they were obeyed.
//! Bounds: [`TEXT_BYTES_MAX`], [`RSA_BITS_MIN`].
//! Invariant: one key has one text and one fingerprint, whatever the spacing and comment were.

use russh::keys::ssh_key::{HashAlg, PublicKey, public::KeyData};

/// Longest text of a key, in bytes; an RSA key of 16,384 bits takes about 2,900.
pub const TEXT_BYTES_MAX: usize = 8 * 1024;

/// Weakest RSA key, in bits; 3072 or an ed25519 key is recommended.
pub const RSA_BITS_MIN: u32 = 2048;

/// A public key fit to be stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedKey {
    /// Algorithm and key, without comment.
    pub text: String,
    /// `SHA256:` and the digest in base64, as OpenSSH prints it.
    pub fingerprint: String,
    /// What stood behind the key; may be empty.
    pub comment: String,
}

/// Why a key is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PublicKeyError {
    /// Longer than [`TEXT_BYTES_MAX`].
    #[error("public key of {0} bytes, at most {TEXT_BYTES_MAX} allowed")]
    TooLong(usize),
    /// It is not one OpenSSH public key on one line.
    #[error("not an OpenSSH public key: {0}")]
    Unreadable(String),
    /// It is the half that must stay secret.
    #[error("this is a private key: keep it secret and give the public one")]
    Private,
    /// Nobody should use this algorithm any more, or we can't verify it.
    #[error("keys of the algorithm {0} are not accepted")]
    Algorithm(String),
    /// Shorter than [`RSA_BITS_MIN`].
    #[error("RSA key of {0} bits, at least {RSA_BITS_MIN} needed")]
    TooWeak(u32),
}

/// Reads a key from one line of text.
///
/// # Errors
/// When it is not a key or not a good one.
pub fn parse(text: &str) -> Result<AcceptedKey, PublicKeyError> {
    let text = text.trim();
    if text.len() > TEXT_BYTES_MAX {
        return Err(PublicKeyError::TooLong(text.len()));
    }
    if text.contains("PRIVATE KEY") {
        return Err(PublicKeyError::Private);
    }
    let unreadable = |reason: &str| PublicKeyError::Unreadable(reason.to_owned());
    if text.contains(['\n', '\r', '\0']) {
        return Err(unreadable("more than one line"));
    }
    let mut key = PublicKey::from_openssh(text).map_err(|cause| unreadable(&cause.to_string()))?;
    check_strength(&key)?;
    let comment = key.comment().to_string();
    let fingerprint = fingerprint(&key);
    key.set_comment("");
    let text = key
        .to_openssh()
        .map_err(|cause| unreadable(&cause.to_string()))?;
    Ok(AcceptedKey {
        text,
        fingerprint,
        comment: comment.chars().filter(|c| !c.is_control()).collect(),
    })
}

fn check_strength(key: &PublicKey) -> Result<(), PublicKeyError> {
    match key.key_data() {
        KeyData::Ed25519(_)
        | KeyData::Ecdsa(_)
        | KeyData::SkEd25519(_)
        | KeyData::SkEcdsaSha2NistP256(_) => Ok(()),
        KeyData::Rsa(rsa) if rsa.key_size() >= RSA_BITS_MIN => Ok(()),
        KeyData::Rsa(rsa) => Err(PublicKeyError::TooWeak(rsa.key_size())),
        _ => Err(PublicKeyError::Algorithm(key.algorithm().to_string())),
    }
}

/// `SHA256:` and the digest in base64, as OpenSSH prints it.
pub fn fingerprint(key: &PublicKey) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    // Made for these tests with ssh-keygen and thrown away.
    const ED25519: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIHWWB9euUODWN0aSRpWCH1662IqVOmNrWAiPGB+J21tT";
    const RSA_1024: &str = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQCunW3DcqqXuTZ4YpX0wKXOryUJ/R/N2cdRp1CY93+kbPNmv98RNrTVdSm/eygJYbHWXP8QU6a5hy+VghQUeWb98RU8QHnovmzZsKoVdAy1MEd1qm/C9O7cTnrEL1B+y3qfGTUG2FsbTdqiSc2DI1dDxJgy0uwkhjd0n73J5IQlnQ==";
    const RSA_2048: &str = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQCsYZUVNDujv+P+kpOnp+P3NlvVSldPQbqT8TaMpmjgDVtZZmsLFaNTPsCRHkyRg3G7XZyoD9Rq7POtOb8DKWT36JHfriwbcMnp0/quwU3S4NDp89DnTVFOHPYoM6vJCBGhkAcjy1Vxc4Ukkvl/jtoX/R90hQhIMR4u7NR+AXV7FGDMZURvcb4ZNpO5wEeoIE+DJEimwcN+DUgyGg0JIQybZF05KKKh60rbzGtdtJ4f2DCyYFxfwenTkOwTxGkWVLBXf7rtEfI0G8sJBZS1wIzLoYPY2Va5Behg5NVR4DLusGAfKMHvxvBkciVzq1ICgrx6QzZAkzdaNFc9hY7KHwsR";

    #[test]
    fn spacing_and_comment_do_not_make_another_key() {
        let plain = parse(ED25519).unwrap();
        let dressed = parse(&format!("  {ED25519} alice@laptop \n")).unwrap();
        assert_eq!(plain.text, dressed.text);
        assert_eq!(plain.fingerprint, dressed.fingerprint);
        assert_eq!(
            plain.fingerprint,
            "SHA256:G1EFp5WdpmfljjYsmmFdFajFCI5L1v5Ij1ZD60JUiCU"
        );
        assert_eq!(dressed.comment, "alice@laptop");
        assert_eq!(plain.text, ED25519);
    }

    #[test]
    fn the_bound_of_rsa_holds_on_both_sides() {
        assert!(parse(RSA_2048).is_ok());
        assert_eq!(parse(RSA_1024), Err(PublicKeyError::TooWeak(1024)));
    }

    #[test]
    fn what_is_not_one_plain_public_key_is_refused() {
        for text in [
            "",
            "ssh-ed25519",
            "ssh-ed25519 AAAA",
            &format!("command=\"rm -rf /\" {ED25519}"),
            &format!("no-pty,restrict {ED25519}"),
            &format!("{ED25519}\n{ED25519}"),
            &ED25519.replace("ssh-ed25519", "ssh-rsa"),
            "ssh-dss AAAAB3NzaC1kc3MAAACBAP",
        ] {
            assert!(parse(text).is_err(), "{text:?}");
        }
        let private = "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n";
        assert_eq!(parse(private), Err(PublicKeyError::Private));
        let long = "a".repeat(TEXT_BYTES_MAX + 1);
        assert_eq!(parse(&long), Err(PublicKeyError::TooLong(long.len())));
    }
}
