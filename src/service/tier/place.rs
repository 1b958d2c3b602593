use std::{fmt, sync::Arc};

use super::{Tier, TierFigures, outbox::SERVICE};
use crate::{
    cache::digest,
    call::{Codec, KeyWriter},
    downstream::TierPlace,
    policy::tier::TierSettings,
    service::State,
};

/// The tier of one call.
pub(crate) struct CallTier {
    pub(crate) tier: Arc<Tier>,
    pub(crate) settings: TierSettings,
    pub(crate) figures: Arc<TierFigures>,
}

/// The longest key in a tier: a call with a longer one is kept in memory alone.
const LONGEST: usize = 4 * 1024;

/// The bytes of a key in memory that are the runtime's own: they say nothing to another process.
const OWN: usize = 8;

/// What can be invalidated in a tier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark<'a> {
    /// All of a service.
    Service,
    /// All of a call.
    Call(&'a str),
    /// All that carries a tag, by its hash.
    Tag(u64),
    /// One key, by its digest.
    Key(u64),
}

impl<'a> Mark<'a> {
    /// A key, as memory knows it.
    pub(crate) fn of_key(key: &[u8]) -> Self {
        Self::Key(key_digest(key))
    }

    /// What an epoch's name means.
    pub(super) fn of(epoch: &'a str) -> Option<Self> {
        let hash = |hex| u64::from_str_radix(hex, 16).ok();
        match epoch.split_at_checked(1)? {
            (SERVICE, "") => Some(Self::Service),
            ("c", call) => Some(Self::Call(call)),
            ("t", hex) => hash(hex).map(Self::Tag),
            ("k", hex) => hash(hex).map(Self::Key),
            _ => None,
        }
    }
}

/// The name of its epoch.
impl fmt::Display for Mark<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service => f.write_str(SERVICE),
            Self::Call(call) => write!(f, "c{call}"),
            Self::Tag(hash) => write!(f, "t{hash:016x}"),
            Self::Key(digest) => write!(f, "k{digest:016x}"),
        }
    }
}

/// The tag that what lies under a key carries, beside the call's own.
pub(crate) fn key_tag(state: &State, key: &[u8]) -> u64 {
    tag_of_key(state, key_digest(key))
}

/// A key's digest, the same in all processes of a fleet, whatever their builds.
fn key_digest(key: &[u8]) -> u64 {
    digest(key.get(OWN..).unwrap_or_default())
}

/// The tag that is told of a key's digest.
pub(super) fn tag_of_key(state: &State, digest: u64) -> u64 {
    state.tag(digest ^ KEYS)
}

/// Keeps the tags of keys from those of calls.
const KEYS: u64 = 0x6b65_7973_2d6b_6579;

impl CallTier {
    /// Where the reply under `key` lies, which carries `tags`, as memory knows both; `None` where the key is too long.
    pub(super) fn place<R>(
        &self,
        state: &State,
        call: &str,
        key: &[u8],
        tags: &[u64],
        codec: &Codec<R>,
    ) -> Option<Arc<TierPlace>> {
        let mut bytes = Vec::with_capacity(key.len() + 96);
        KeyWriter::new(&mut bytes).value(&codec.schema());
        bytes.extend_from_slice(key.get(OWN..)?);
        if bytes.len() > LONGEST {
            return None;
        }
        let of_key = key_tag(state, key);
        // A tag is hidden by the service's number, and hidden once more is as it was.
        let tags = tags.iter().filter(|tag| **tag != of_key).map(|tag| Mark::Tag(state.tag(*tag)));
        let marks = [Mark::Service, Mark::Call(call), Mark::of_key(key)].into_iter().chain(tags);
        Some(Arc::new(TierPlace {
            namespace: Arc::clone(self.tier.namespace()),
            group: Arc::clone(&state.name),
            key: bytes.into(),
            epochs: marks.map(|mark| mark.to_string().into()).collect(),
        }))
    }

    /// What tells replies of one call, format, version and type from all others.
    pub(super) fn schema<R>(call: &str, codec: &Codec<R>) -> u64 {
        let mut bytes = Vec::new();
        KeyWriter::new(&mut bytes).value(&(call, codec.schema()));
        digest(&bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_is_read_as_it_was_written() {
        for mark in
            [Mark::Service, Mark::Call("s"), Mark::Call(""), Mark::Tag(0), Mark::Tag(u64::MAX), Mark::Key(7)]
        {
            assert_eq!(Mark::of(&mark.to_string()), Some(mark));
        }
        for rubbish in ["", "x", "s1", "tzz", "é", "t1ffffffffffffffff"] {
            assert_eq!(Mark::of(rubbish), None, "{rubbish}");
        }
    }
}
