//! The lines of a commit that is sent as a stream: metadata first, then chunks of base64.
//!
//! Source: Code Storage API, "Create commit", "Create commit from diff".
//! Bounds: [`CHUNK_BYTES_MAX`] in a chunk.
//! Not here: where lines end (`upload`), what is in the metadata.

use std::borrow::Cow;

use base64::{
    Engine as _,
    alphabet::STANDARD,
    engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig},
};
use serde::{Deserialize, de::DeserializeOwned};

use super::{commit::CommitBody, error::Error};
use crate::api::{
    off_runtime,
    upload::{Line, Lines},
};

/// Most bytes of a chunk, decoded.
const CHUNK_BYTES_MAX: usize = 4 << 20;

/// Base64 with or without padding.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

#[derive(Debug, Deserialize)]
struct FirstLine<T> {
    metadata: Option<T>,
}

/// A text that is copied only if it has escapes.
#[derive(Debug, Deserialize)]
pub(super) struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

/// The metadata in the first line: what all commits have in common, and what this kind has besides.
///
/// It is read twice, so that nothing of it is held that neither asks for.
pub(super) async fn first_line<T>(lines: &mut Lines) -> Result<(CommitBody, T), Error>
where
    T: DeserializeOwned + Send + 'static,
{
    let missing = || Error::Parameter("the first line must hold metadata".to_owned());
    let line = lines.next().await?.ok_or_else(missing)?;
    off_runtime(move || {
        let common: FirstLine<CommitBody> = understood(&line)?;
        let special: FirstLine<T> = understood(&line)?;
        Ok((
            common.metadata.ok_or_else(missing)?,
            special.metadata.ok_or_else(missing)?,
        ))
    })
    .await
}

/// What a line says.
pub(super) fn understood<'a, T: Deserialize<'a>>(line: &'a Line) -> Result<T, Error> {
    serde_json::from_slice(&line.bytes).map_err(|error| {
        Error::Parameter(format!("line {} is not understood: {error}", line.number))
    })
}

/// The bytes of a chunk in the line of this number; its text may be broken into lines.
pub(super) fn decoded(text: &Text<'_>, number: u64) -> Result<Vec<u8>, Error> {
    let wrong = |what: String| Error::Parameter(format!("line {number}: data {what}"));
    let too_long = || wrong(format!("has more than {CHUNK_BYTES_MAX} bytes"));
    let text = text.0.as_bytes();
    if text.len() > 2 * CHUNK_BYTES_MAX {
        return Err(too_long());
    }
    let bytes = match text.iter().any(u8::is_ascii_whitespace) {
        false => BASE64.decode(text),
        true => {
            let dense = text.iter().filter(|byte| !byte.is_ascii_whitespace());
            BASE64.decode(dense.copied().collect::<Vec<_>>())
        }
    };
    let bytes = bytes.map_err(|error| wrong(format!("is no base64: {error}")))?;
    match bytes.len() > CHUNK_BYTES_MAX {
        true => Err(too_long()),
        false => Ok(bytes),
    }
}
