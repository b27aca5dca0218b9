//! How a row becomes bytes: one version byte, then postcard.
//!
//! Source: postcard's wire format, stable since its 1.0.
//! Invariant: a row is never read as another version than it was written as; unknown versions are
//! errors, not guesses.

use serde::{Serialize, de::DeserializeOwned};

use super::StoreError;

/// A row of the store.
pub(super) trait Record: Serialize + DeserializeOwned {
    /// Written in front of every row. Raise it with every change of the fields, and teach
    /// [`Record::from_older`] the shape that went before.
    const VERSION: u8 = 1;

    /// Reads a row of an older version; `None` when there never was one.
    fn from_older(_version: u8, _body: &[u8]) -> Option<Result<Self, postcard::Error>> {
        None
    }
}

pub(super) fn encode<R: Record>(table: &'static str, row: &R) -> Result<Vec<u8>, StoreError> {
    postcard::to_extend(row, vec![R::VERSION]).map_err(|cause| StoreError::Unreadable {
        table,
        reason: format!("it can't be encoded: {cause}"),
    })
}

pub(super) fn decode<R: Record>(table: &'static str, bytes: &[u8]) -> Result<R, StoreError> {
    let unreadable = |reason: String| StoreError::Unreadable { table, reason };
    let (version, body) = bytes
        .split_first()
        .ok_or_else(|| unreadable("it is empty".to_owned()))?;
    let decoded = if *version == R::VERSION {
        postcard::from_bytes(body)
    } else {
        R::from_older(*version, body)
            .ok_or_else(|| unreadable(format!("it has the unknown version {version}")))?
    };
    decoded.map_err(|cause| unreadable(cause.to_string()))
}

/// Object ids as their raw bytes, for `#[serde(with = …)]`.
pub(super) mod object_id {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    use crate::model::ObjectId;

    pub(in crate::store) fn serialize<S: Serializer>(
        id: &ObjectId,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(id.as_bytes())
    }

    pub(in crate::store) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<ObjectId, D::Error> {
        let bytes = <&[u8]>::deserialize(deserializer)?;
        ObjectId::try_from(bytes).map_err(D::Error::custom)
    }
}

/// Object ids that may be absent, for `#[serde(with = …)]`: no bytes stand for none.
pub(super) mod optional_object_id {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};

    use crate::model::ObjectId;

    #[expect(clippy::ref_option, reason = "serde's `with` fixes the signature")]
    pub(in crate::store) fn serialize<S: Serializer>(
        id: &Option<ObjectId>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(id.as_ref().map_or(&[], |id| id.as_bytes()))
    }

    pub(in crate::store) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<ObjectId>, D::Error> {
        match <&[u8]>::deserialize(deserializer)? {
            [] => Ok(None),
            bytes => ObjectId::try_from(bytes)
                .map(Some)
                .map_err(D::Error::custom),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct First {
        name: String,
    }

    impl Record for First {}

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Second {
        name: String,
        stars: u32,
    }

    impl Record for Second {
        const VERSION: u8 = 2;

        fn from_older(version: u8, body: &[u8]) -> Option<Result<Self, postcard::Error>> {
            (version == 1)
                .then(|| postcard::from_bytes(body).map(|First { name }| Self { name, stars: 0 }))
        }
    }

    #[test]
    fn a_row_of_an_older_version_is_read_as_the_newer_one() {
        let name = "novel".to_owned();
        let old = encode("rows", &First { name: name.clone() }).unwrap();
        let read: Second = decode("rows", &old).unwrap();
        assert_eq!(read, Second { name, stars: 0 });
    }

    #[test]
    fn a_row_of_a_newer_version_or_none_is_refused() {
        let row = Second {
            name: "novel".to_owned(),
            stars: 7,
        };
        let new = encode("rows", &row).unwrap();
        assert_eq!(decode::<Second>("rows", &new).unwrap(), row);
        let refused = decode::<First>("rows", &new).unwrap_err().to_string();
        assert!(refused.contains("unknown version 2"), "{refused}");
        assert!(decode::<First>("rows", b"").is_err());
    }
}
