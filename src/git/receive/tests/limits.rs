//! Each limit, met and passed by one.

use gix_object::Kind;

use super::{
    Target,
    build::{Builder, id, number, replace, tree},
};
use crate::{
    git::receive::{Limited, Limits, ReceiveError},
    model::ObjectFormat,
};

/// `exact` lets the pack pass, `less` does not.
#[track_caller]
fn check(pack: &[u8], exact: Limits, less: Limits, expected: Limited) {
    let target = Target::new(ObjectFormat::Sha1);
    target.ingest_within(pack, &exact).unwrap();
    match target.ingest_within(pack, &less) {
        Err(ReceiveError::Limit { what, .. }) => assert_eq!(what, expected),
        other => panic!("{other:?}"),
    }
    assert!(target.is_clean());
}

fn blobs() -> Vec<u8> {
    Builder::new()
        .whole(Kind::Blob, b"one")
        .whole(Kind::Blob, b"three")
        .finish()
}

#[test]
fn pack_bytes() {
    let pack = blobs();
    let with = |pack_bytes| Limits {
        pack_bytes,
        ..Limits::default()
    };
    let length = pack.len() as u64;
    check(&pack, with(length), with(length - 1), Limited::PackBytes);
}

#[test]
fn objects() {
    let with = |objects| Limits {
        objects,
        ..Limits::default()
    };
    check(&blobs(), with(2), with(1), Limited::Objects);
}

#[test]
fn inflated_bytes() {
    let with = |inflated_bytes| Limits {
        inflated_bytes,
        ..Limits::default()
    };
    check(&blobs(), with(8), with(7), Limited::InflatedBytes);
    let large = vec![0; 3 << 20];
    let pack = Builder::new().whole(Kind::Blob, &large).finish();
    check(
        &pack,
        with(3 << 20),
        with((3 << 20) - 1),
        Limited::InflatedBytes,
    );
}

#[test]
fn object_bytes() {
    let with = |object_bytes| Limits {
        object_bytes,
        ..Limits::default()
    };
    check(&blobs(), with(5), with(4), Limited::ObjectBytes);
    let delta = replace(3, &[b'x'; 100]);
    let pack = Builder::new()
        .whole(Kind::Blob, b"abc")
        .on_offset(12, &delta)
        .finish();
    let most = delta.len() as u64;
    check(&pack, with(most), with(99), Limited::ObjectBytes);
}

#[test]
fn delta_bytes() {
    let with = |delta_bytes| Limits {
        delta_bytes,
        ..Limits::default()
    };
    // A short delta with a long result: 200 bytes, copied from a base of 100.
    let mut delta = number(100);
    delta.extend(number(200));
    delta.extend([0x90, 100, 0x90, 100]);
    let pack = Builder::new()
        .whole(Kind::Blob, &[b'x'; 100])
        .on_offset(12, &delta)
        .finish();
    check(&pack, with(200), with(199), Limited::DeltaBytes);
}

#[test]
fn parsed_bytes() {
    let with = |parsed_bytes| Limits {
        parsed_bytes,
        ..Limits::default()
    };
    let blob = id(Kind::Blob, b"abc");
    let one = tree(&[("100644", "a", blob)]);
    let two = tree(&[("100644", "a", blob), ("100644", "b", blob)]);
    let pack = Builder::new()
        .whole(Kind::Blob, b"abc")
        .whole(Kind::Tree, &two)
        .finish();
    check(&pack, with(58), with(57), Limited::ParsedBytes);
    let as_delta = Builder::new()
        .whole(Kind::Blob, b"abc")
        .whole(Kind::Tree, &one)
        .on_id(&id(Kind::Tree, &one), &replace(one.len(), &two))
        .finish();
    check(&as_delta, with(58), with(57), Limited::ParsedBytes);
}

#[test]
fn delta_depth() {
    let with = |delta_depth| Limits {
        delta_depth,
        ..Limits::default()
    };
    let mut pack = Builder::new().whole(Kind::Blob, b"0");
    let mut base = 12;
    for text in [b"1", b"2", b"3"] {
        let next = pack.offset();
        pack = pack.on_offset(base, &replace(1, text));
        base = next;
    }
    check(&pack.finish(), with(3), with(2), Limited::DeltaDepth);
}

#[test]
fn tree_entries() {
    let with = |tree_entries| Limits {
        tree_entries,
        ..Limits::default()
    };
    let blob = id(Kind::Blob, b"abc");
    let pack = Builder::new()
        .whole(Kind::Blob, b"abc")
        .whole(
            Kind::Tree,
            &tree(&[("100644", "a", blob), ("100644", "b", blob)]),
        )
        .finish();
    check(&pack, with(2), with(1), Limited::TreeEntries);
}

/// A few bytes that say "the base, a hundred times" upon each other are a bomb.
#[test]
fn expansion() {
    let size = 1 << 20;
    let mut pack = Builder::new().whole(Kind::Blob, &vec![0; size]);
    let mut bombs = 0;
    // Each makes 64 MiB, so seventeen of them pass the free gigabyte.
    while bombs < 17 {
        let mut delta = number(size);
        delta.extend(number(64 * size + bombs));
        for _ in 0..64 {
            for part in 0..16_u8 {
                delta.extend([0xc4, part, 1]); // 64 KiB from 64 KiB · part
            }
        }
        if bombs > 0 {
            delta.extend([0x90, bombs.to_le_bytes()[0]]);
        }
        pack = pack.on_offset(12, &delta);
        bombs += 1;
    }
    let pack = pack.finish();
    let with = |expansion| Limits {
        expansion,
        ..Limits::default()
    };
    let inflated = 17 * 64 * size as u64;
    let enough = inflated / pack.len() as u64 + 1;
    check(&pack, with(enough), with(1), Limited::Expansion);
}

/// A tree that holds the one before it, and so on, `levels` in all.
fn stacked(levels: usize) -> Builder {
    let mut builder = Builder::new().whole(Kind::Blob, b"leaf");
    let mut below = ("100644", id(Kind::Blob, b"leaf"));
    for _ in 0..levels {
        let content = tree(&[(below.0, "a", below.1)]);
        builder = builder.whole(Kind::Tree, &content);
        below = ("40000", id(Kind::Tree, &content));
    }
    builder
}

fn with_tree_depth(tree_depth: usize) -> Limits {
    Limits {
        tree_depth,
        ..Limits::default()
    }
}

#[test]
fn tree_depth() {
    for levels in [2, 3, 9, 300] {
        let pack = stacked(levels).finish();
        let (exact, less) = (with_tree_depth(levels), with_tree_depth(levels - 1));
        check(&pack, exact, less, Limited::TreeDepth);
    }
}

#[test]
fn folders_that_a_tree_has_from_its_base_count_too() {
    // A tree of two levels; one that adds a file to it, as a delta; and one that holds this one: three
    // levels, of which the delta names none.
    let blob = id(Kind::Blob, b"leaf");
    let low = tree(&[("100644", "a", blob)]);
    let base = tree(&[("40000", "a", id(Kind::Tree, &low))]);
    let built = tree(&[("40000", "a", id(Kind::Tree, &low)), ("100644", "b", blob)]);
    let top = tree(&[("40000", "a", id(Kind::Tree, &built))]);
    let added = &built[base.len()..];
    let mut delta = [number(base.len()), number(built.len())].concat();
    delta.extend([0x90, u8::try_from(base.len()).unwrap()]);
    delta.push(u8::try_from(added.len()).unwrap());
    delta.extend_from_slice(added);
    let pack = Builder::new()
        .whole(Kind::Blob, b"leaf")
        .whole(Kind::Tree, &low)
        .whole(Kind::Tree, &base)
        .on_id(&id(Kind::Tree, &base), &delta)
        .whole(Kind::Tree, &top)
        .finish();
    check(
        &pack,
        with_tree_depth(3),
        with_tree_depth(2),
        Limited::TreeDepth,
    );
}

#[test]
fn a_tree_built_on_one_that_holds_it_is_measured_as_it_is() {
    let blob = id(Kind::Blob, b"leaf");
    let low = tree(&[("100644", "a", blob)]);
    let high = tree(&[("40000", "a", id(Kind::Tree, &low))]);
    let pack = Builder::new()
        .whole(Kind::Blob, b"leaf")
        .whole(Kind::Tree, &high)
        .on_id(&id(Kind::Tree, &high), &replace(high.len(), &low))
        .finish();
    check(
        &pack,
        with_tree_depth(2),
        with_tree_depth(1),
        Limited::TreeDepth,
    );
}
