use std::ops::{BitAnd, Sub};

/// The most endpoints that a service may have: their choice is made with one word for all of them.
pub const MOST_ENDPOINTS: usize = 64;

/// Some of a service's endpoints, by their places in its list: one word, so that it fits into an atomic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EndpointSet(u64);

impl EndpointSet {
    /// None of them.
    pub const EMPTY: Self = Self(0);

    /// The first `count`, at most [`MOST_ENDPOINTS`].
    pub const fn first(count: usize) -> Self {
        Self(if count >= MOST_ENDPOINTS { u64::MAX } else { (1 << count) - 1 })
    }

    /// The one at this place; none beyond [`MOST_ENDPOINTS`].
    pub const fn only(place: usize) -> Self {
        Self(if place < MOST_ENDPOINTS { 1 << place } else { 0 })
    }

    /// As [`bits`](Self::bits) gave it.
    pub const fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// As one word.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// Whether none is in it.
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// How many are in it.
    pub const fn len(self) -> usize {
        self.0.count_ones() as usize
    }

    /// Whether the one at this place is in it.
    pub const fn has(self, place: usize) -> bool {
        self.0 & Self::only(place).0 != 0
    }

    /// Takes the one at this place in.
    pub const fn add(&mut self, place: usize) {
        self.0 |= Self::only(place).0;
    }

    /// Itself, unless it is empty: then `other`.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        if self.is_empty() { other } else { self }
    }

    /// Those that are `meant`.
    #[must_use]
    pub fn only_if(self, mut meant: impl FnMut(usize) -> bool) -> Self {
        let mut some = Self::EMPTY;
        self.places().filter(|place| meant(*place)).for_each(|place| some.add(place));
        some
    }

    /// The places of those in it, in order.
    pub fn places(self) -> impl Iterator<Item = usize> {
        let mut rest = self.0;
        std::iter::from_fn(move || {
            let place = (rest != 0).then(|| rest.trailing_zeros() as usize)?;
            rest &= rest - 1;
            Some(place)
        })
    }
}

impl Sub for EndpointSet {
    type Output = Self;

    /// Those that are not in `other`.
    fn sub(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }
}

impl BitAnd for EndpointSet {
    type Output = Self;

    /// Those in both.
    fn bitand(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_is_a_set(one in prop::collection::btree_set(0_usize..64, 0..64), other in prop::collection::btree_set(0_usize..64, 0..64)) {
            let set = |places: &BTreeSet<usize>| {
                let mut set = EndpointSet::EMPTY;
                places.iter().for_each(|place| set.add(*place));
                set
            };
            let (a, b) = (set(&one), set(&other));
            prop_assert_eq!(a.places().collect::<BTreeSet<_>>(), one.clone());
            prop_assert_eq!((a.len(), a.is_empty()), (one.len(), one.is_empty()));
            prop_assert_eq!((a - b).places().collect::<BTreeSet<_>>(), &one - &other);
            prop_assert_eq!((a & b).places().collect::<BTreeSet<_>>(), &one & &other);
            prop_assert_eq!(a.only_if(|place| place % 2 == 0).places().all(|place| place % 2 == 0), true);
        }
    }

    #[test]
    fn as_many_as_a_word_has_bits() {
        assert_eq!(EndpointSet::first(64).len(), 64);
        assert_eq!(EndpointSet::first(3).places().collect::<Vec<_>>(), [0, 1, 2]);
        assert!(EndpointSet::only(64).is_empty() && EndpointSet::first(0).is_empty());
    }
}
