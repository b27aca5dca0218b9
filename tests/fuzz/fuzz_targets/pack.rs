//! A whole pack: entries of every type, right and wrong, with bases before, after, missing and in rings.
//!
//! Source: gitformat-pack(5).
//! Bounds: those of `push`; 64 entries.
//! Invariant: that of `push`; a pack that is taken has as many objects as were sent.
//! Not here: one delta (`delta`) and the syntax of one object (`object`), which have targets of their own.
#![no_main]

use std::cell::LazyCell;

use gix_hash::{Kind as Hash, ObjectId};
use libfuzzer_sys::fuzz_target;
use packhorse::{git::ObjectKind, model::ObjectFormat};

#[path = "../push.rs"]
mod push;

use push::{Pack, Target, distance, id};

thread_local! {
    static SHA1: LazyCell<Target> = LazyCell::new(|| Target::new(ObjectFormat::Sha1));
    static SHA256: LazyCell<Target> = LazyCell::new(|| Target::new(ObjectFormat::Sha256));
}

fuzz_target!(|data: &[u8]| {
    let Some((&how, mut rest)) = data.split_first() else {
        return;
    };
    let format = if how & 1 == 0 {
        Hash::Sha1
    } else {
        Hash::Sha256
    };
    let mut pack = Pack::new(format);
    let (mut offsets, mut ids, mut count) = (Vec::new(), Vec::new(), 0);
    while count < 64
        && let Some((entry, tail)) = Entry::read(rest)
    {
        rest = tail;
        offsets.push(pack.offset());
        ids.push(entry.add(&mut pack, format, &offsets, &ids));
        count += 1;
    }
    let mut bytes = pack.finish();
    if how & 2 != 0 {
        // Cut anywhere: what is there must not be waited for, nor taken for a whole pack.
        bytes.truncate(bytes.len() - 1 - usize::from(how >> 2) % bytes.len());
    }
    let target = if how & 1 == 0 { &SHA1 } else { &SHA256 };
    target.with(|target| {
        if let Ok(quarantine) = target.push(&bytes) {
            assert_eq!((quarantine.new_objects().len(), how & 2), (count, 0));
        }
    });
});

/// Four bytes (type, base, lie about the size, length) and so many bytes of content.
struct Entry<'a> {
    code: u8,
    base: u8,
    lie: i8,
    content: &'a [u8],
}

impl<'a> Entry<'a> {
    fn read(data: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (&[code, base, lie, length], rest) = data.split_first_chunk()?;
        let (content, rest) = rest.split_at(usize::from(length).min(rest.len()));
        let lie = if code & 0x80 == 0 {
            0
        } else {
            lie.cast_signed()
        };
        Some((
            Self {
                code,
                base,
                lie,
                content,
            },
            rest,
        ))
    }

    /// Adds it; answers its name where that is known without building it.
    fn add(&self, pack: &mut Pack, format: Hash, offsets: &[usize], ids: &[ObjectId]) -> ObjectId {
        let base = usize::from(self.base);
        let size = self.content.len().saturating_add_signed(self.lie.into());
        let null = ObjectId::null(format);
        let kind = match self.code & 7 {
            0 | 5 => {
                pack.raw(self.content);
                return null;
            }
            6 => {
                let here = pack.offset();
                let back = offsets.get(base).map_or(base, |offset| here - offset);
                pack.entry(6, size, &distance(back), self.content);
                return null;
            }
            7 => {
                // A base may be known only later: any object may be named by its content, too.
                let text = [self.base];
                let named = id(format, ObjectKind::Blob, &text);
                let base = ids.get(base).copied().unwrap_or(named);
                pack.entry(7, size, base.as_slice(), self.content);
                return null;
            }
            1 => ObjectKind::Commit,
            2 => ObjectKind::Tree,
            3 => ObjectKind::Blob,
            _ => ObjectKind::Tag,
        };
        pack.entry(push::code(kind), size, b"", self.content);
        id(format, kind, self.content)
    }
}
