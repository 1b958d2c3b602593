use std::{fmt, hash::Hasher};

/// Collects the tags of a cache entry, or those that a write invalidates.
///
/// A tag is text such as `user:42`, known to one service. Only a 64-bit hash is kept: should two tags ever share one,
/// an invalidation forgets more than it had to, never less.
#[derive(Debug, Default)]
pub struct TagWriter {
    tags: Vec<u64>,
}

/// Tags an entry may have, and a write may invalidate, at most: more make it uncacheable, or invalidate the whole service.
const MOST: usize = 32;

impl TagWriter {
    /// Adds one tag: `tags.tag(format_args!("user:{}", self.id))`.
    pub fn tag(&mut self, tag: impl fmt::Display) {
        if self.tags.len() > MOST {
            return;
        }
        let mut hash = Fnv(0xcbf2_9ce4_8422_2325);
        // Hashing cannot fail; a `Display` that does is hashed as far as it came, the same each time.
        let _ = fmt::Write::write_fmt(&mut hash, format_args!("{tag}"));
        self.tags.push(hash.finish());
    }

    /// The tags' hashes; `None` where there were too many to keep.
    pub(crate) fn hashes(&self) -> Option<&[u64]> {
        (self.tags.len() <= MOST).then_some(&self.tags[..])
    }
}

/// FNV-1a: needs no buffer, so that a tag is hashed while it is formatted.
struct Fnv(u64);

impl fmt::Write for Fnv {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        self.write(text.as_bytes());
        Ok(())
    }
}

impl Hasher for Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        // FNV's low bits are weak for short texts, and the low bits choose the bucket.
        let mixed = (self.0 ^ (self.0 >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        mixed ^ (mixed >> 29)
    }
}
