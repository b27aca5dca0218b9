//! One delta upon one blob, held against a second reading of the format.
//!
//! Source: gitformat-pack(5), "Deltified representation".
//! Bounds: results of at most `push::OBJECT_BYTES_MAX`.
//! Invariant: what is taken is what the plainest reading gives, and what is refused that reading refuses.
//! Not here: chains of deltas (`pack`).
#![no_main]

use std::cell::LazyCell;

use gix_hash::Kind as Hash;
use libfuzzer_sys::fuzz_target;
use packhorse::{git::ObjectKind, model::ObjectFormat};

#[path = "../push.rs"]
mod push;

use push::{OBJECT_BYTES_MAX, Pack, Target, distance, id};

thread_local! {
    static TARGET: LazyCell<Target> = LazyCell::new(|| Target::new(ObjectFormat::Sha1));
}

fuzz_target!(|data: &[u8]| {
    let Some((&length, rest)) = data.split_first() else {
        return;
    };
    let (base, delta) = rest.split_at(usize::from(length).min(rest.len()));
    let expected = read_plainly(base, delta);
    if expected.as_deref() == Some(base) {
        // The same object twice is refused for that.
        return;
    }
    let mut pack = Pack::new(Hash::Sha1);
    let start = pack.offset();
    pack.entry(3, base.len(), b"", base);
    let back = pack.offset() - start;
    pack.entry(6, delta.len(), &distance(back), delta);
    TARGET.with(|target| match (target.push(&pack.finish()), expected) {
        (Ok(quarantine), Some(result)) => {
            assert!(quarantine.contains(&id(Hash::Sha1, ObjectKind::Blob, &result)));
        }
        (Err(_), None) => {}
        (Ok(_), None) => panic!("a delta was taken that the format does not allow"),
        (Err(error), Some(_)) => panic!("a good delta was refused: {error}"),
    });
});

fn read_plainly(base: &[u8], delta: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = delta.iter().copied();
    let base_size = number(&mut bytes)?;
    let size = number(&mut bytes)?;
    if base_size != base.len() as u128 || size > u128::from(OBJECT_BYTES_MAX) {
        return None;
    }
    let size = usize::try_from(size).ok()?;
    let mut result = Vec::new();
    while let Some(command) = bytes.next() {
        if command == 0 {
            return None;
        }
        if command < 0x80 {
            for _ in 0..command {
                result.push(bytes.next()?);
            }
        } else {
            let mut field = |bits: &[u8]| {
                let mut value = 0;
                for (place, bit) in bits.iter().enumerate() {
                    if command & bit != 0 {
                        value |= usize::from(bytes.next()?) << (8 * place);
                    }
                }
                Some(value)
            };
            let offset = field(&[1, 2, 4, 8])?;
            let length = match field(&[0x10, 0x20, 0x40])? {
                0 => 0x10000,
                length => length,
            };
            result.extend_from_slice(base.get(offset..offset + length)?);
        }
        if result.len() > size {
            return None;
        }
    }
    (result.len() == size).then_some(result)
}

/// Seven bits a byte, at most 64 in all.
fn number(bytes: &mut impl Iterator<Item = u8>) -> Option<u128> {
    let mut value = 0u128;
    for place in 0..10 {
        let byte = bytes.next()?;
        value |= u128::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return (value <= u128::from(u64::MAX)).then_some(value);
        }
    }
    None
}
