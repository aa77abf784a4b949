//! Metadata of calls as plain pairs: names in lower case, values as bytes, `-bin` ones decoded.

use crate::{error::ConnectionError, secret::Secret};
use bytes::Bytes;
use tonic::metadata::{Ascii, Binary, KeyAndValueRef, MetadataKey, MetadataMap, MetadataValue};

/// Names and values, in order; a name may come more than once.
pub type Metadata = Vec<(Box<str>, Bytes)>;

/// The pairs of a map. Values of `-bin` names that are not base64 are left out.
pub(super) fn from_map(map: &MetadataMap) -> Metadata {
    let pair = |entry: KeyAndValueRef<'_>| match entry {
        KeyAndValueRef::Ascii(key, value) => {
            Some((key.as_str().into(), Bytes::copy_from_slice(value.as_bytes())))
        }
        KeyAndValueRef::Binary(key, value) => Some((key.as_str().into(), value.to_bytes().ok()?)),
    };
    map.iter().filter_map(pair).collect()
}

/// The pairs of a map that are a program's own, and not gRPC's or HTTP/2's.
pub(super) fn own(map: &MetadataMap) -> Metadata {
    let mut own = from_map(map);
    own.retain(|(name, _)| !is_reserved(name));
    own
}

pub(super) fn is_reserved(name: &str) -> bool {
    const RESERVED: [&str; 6] =
        ["te", "content-type", "user-agent", "host", "connection", "transfer-encoding"];
    RESERVED.contains(&name) || name.starts_with("grpc-") || name.starts_with(':')
}

/// Whether a name and its value may go with a call.
///
/// # Errors
///
/// [`ConnectionError::InvalidConfig`] for a name that is not lower case, is reserved by gRPC or HTTP/2, and for a value that
/// is not printable ASCII under a name without `-bin`.
pub fn check_metadata(name: &str, value: &[u8]) -> Result<(), ConnectionError> {
    let checked = insert(&mut MetadataMap::new(), name, value, false);
    checked.map_err(|why| ConnectionError::invalid_config(format!("metadata.{name}"), why))
}

/// The map of pairs.
///
/// # Errors
///
/// [`ConnectionError::InvalidConfig`] for a name that is not lower case, is reserved by gRPC or HTTP/2, and for a
/// value that is not printable ASCII under a name without `-bin`.
pub(super) fn to_map(metadata: &[(Box<str>, Bytes)]) -> Result<MetadataMap, ConnectionError> {
    let mut map = MetadataMap::with_capacity(metadata.len());
    add(&mut map, metadata)?;
    Ok(map)
}

/// Adds pairs to a map.
///
/// # Errors
///
/// As [`to_map`].
pub(super) fn add(
    map: &mut MetadataMap,
    metadata: &[(Box<str>, Bytes)],
) -> Result<(), ConnectionError> {
    for (name, value) in metadata {
        insert(map, name, value, false).map_err(|reason| {
            ConnectionError::invalid_config(format!("metadata.{name}"), reason)
        })?;
    }
    Ok(())
}

/// Adds pairs whose values are not to be shown, nor kept in the tables of HTTP/2's compression.
///
/// # Errors
///
/// As [`to_map`].
pub(super) fn add_secrets(
    map: &mut MetadataMap,
    secrets: &[(Box<str>, Secret)],
) -> Result<(), ConnectionError> {
    for (name, value) in secrets {
        insert(map, name, value.expose().as_bytes(), true).map_err(|reason| {
            ConnectionError::invalid_config(format!("credentials.{name}"), reason)
        })?;
    }
    Ok(())
}

fn insert(
    map: &mut MetadataMap,
    name: &str,
    value: &[u8],
    is_secret: bool,
) -> Result<(), &'static str> {
    if is_reserved(name) {
        return Err("is reserved");
    }
    if name.bytes().any(|byte| byte.is_ascii_uppercase()) {
        return Err("must be in lower case");
    }
    if name.ends_with("-bin") {
        let key = MetadataKey::<Binary>::from_bytes(name.as_bytes());
        let mut value = MetadataValue::from_bytes(value);
        value.set_sensitive(is_secret);
        map.append_bin(key.map_err(|_| "is no name of metadata")?, value);
        return Ok(());
    }
    let key = MetadataKey::<Ascii>::from_bytes(name.as_bytes());
    let key = key.map_err(|_| "is no name of metadata")?;
    if !value.iter().all(|byte| matches!(byte, 0x20..=0x7e)) {
        return Err("must be printable ASCII, for the name does not end in -bin");
    }
    let mut value = MetadataValue::try_from(value).map_err(|_| "is no value of metadata")?;
    value.set_sensitive(is_secret);
    map.append(key, value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn names_that_are_not_the_callers_are_refused() {
        for name in ["grpc-timeout", "te", ":path", "Upper", "content-type", "white space", ""] {
            let pairs = [(name.into(), Bytes::from_static(b"x"))];
            assert!(to_map(&pairs).is_err(), "{name}");
        }
        assert!(to_map(&[("name".into(), Bytes::from_static(b"\n"))]).is_err());
    }

    proptest! {
        #[test]
        fn pairs_survive(
            texts in prop::collection::vec("[ -~]{0,20}", 0..4),
            blobs in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..4),
        ) {
            let texts = texts.into_iter().map(|text| ("text".into(), Bytes::from(text)));
            let blobs = blobs.into_iter().map(|blob| ("blob-bin".into(), Bytes::from(blob)));
            let pairs: Metadata = texts.chain(blobs).collect();
            let mut back = from_map(&to_map(&pairs).unwrap());
            back.sort();
            let mut expected = pairs;
            expected.sort();
            prop_assert_eq!(back, expected);
        }
    }
}
