//! How a reply lies in a shared tier: in an envelope that says what it is, so that nothing else is ever taken for it.
//!
//! ```text
//! stamp 16   "swc" 3   version 1   flags 1   epochs 1   zero 2   schema 8   stored 8   fresh 8   lifetime 8   took 8   length 8
//! the epochs, 16 each   the reply   digest 8
//! ```
//!
//! Numbers are little-endian, times in milliseconds; `stored` is the writer's wall clock, the others are durations. What is
//! of another version or schema, damaged, cut short or longer than it says is a miss like any other: it is counted, and
//! never an error to a caller.

use std::time::Duration;

use super::digest;
use crate::downstream::Stamp;

/// What an envelope says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Envelope {
    /// The lease it was put by.
    pub(crate) stamp: Stamp,
    /// Which call, format, version and type its reply is of.
    pub(crate) schema: u64,
    /// Whether the reply says "there is none".
    pub(crate) negative: bool,
    /// When it was written, since 1970, by the writer's clock.
    pub(crate) stored: Duration,
    /// How long it is fresh from then on.
    pub(crate) fresh: Duration,
    /// How long the tier was asked to keep it.
    pub(crate) lifetime: Duration,
    /// How long it took to load.
    pub(crate) took: Duration,
    /// The epochs that it was loaded in.
    pub(crate) epochs: Vec<Stamp>,
}

const MAGIC: &[u8; 4] = b"swc\x01";
const NEGATIVE: u8 = 1;
const STAMP: usize = size_of::<Stamp>();
const HEAD: usize = STAMP + 8 + 6 * 8;
const DIGEST: usize = 8;

/// What an envelope of as many epochs as there may be adds to its reply.
pub(crate) const MOST_ADDED: usize = HEAD + u8::MAX as usize * STAMP + DIGEST;

impl Envelope {
    /// The envelope around a reply that `write` writes; `None` if it cannot.
    pub(crate) fn seal<E>(&self, write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Result<Vec<u8>, E> {
        let epochs = &self.epochs[..self.epochs.len().min(u8::MAX.into())];
        let mut bytes = Vec::with_capacity(HEAD + epochs.len() * STAMP + 256);
        bytes.extend_from_slice(&self.stamp);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&[if self.negative { NEGATIVE } else { 0 }, epochs.len() as u8, 0, 0]);
        bytes.extend_from_slice(&self.schema.to_le_bytes());
        for time in [self.stored, self.fresh, self.lifetime, self.took] {
            bytes.extend_from_slice(&millis(time).to_le_bytes());
        }
        bytes.extend_from_slice(&[0; 8]);
        epochs.iter().for_each(|epoch| bytes.extend_from_slice(epoch));
        let reply = bytes.len();
        write(&mut bytes)?;
        let length = (bytes.len() - reply) as u64;
        bytes[HEAD - 8..HEAD].copy_from_slice(&length.to_le_bytes());
        let digest = digest(&bytes);
        bytes.extend_from_slice(&digest.to_le_bytes());
        Ok(bytes)
    }

    /// What the envelope says, and the reply in it; `None` if it is none, or not whole.
    pub(crate) fn open(bytes: &[u8]) -> Option<(Self, &[u8])> {
        let (whole, written) = bytes.split_last_chunk::<DIGEST>()?;
        let (stamp, rest) = whole.split_first_chunk::<STAMP>()?;
        let (magic, rest) = rest.split_first_chunk::<4>()?;
        if magic != MAGIC {
            return None;
        }
        let ([flags, count, ..], rest) = rest.split_first_chunk::<4>()?;
        let (numbers, rest) = rest.split_first_chunk::<48>()?;
        let number = |at: usize| {
            let mut word = [0; 8];
            word.copy_from_slice(&numbers[at * 8..at * 8 + 8]);
            u64::from_le_bytes(word)
        };
        let (epochs, reply) = rest.split_at_checked(usize::from(*count) * STAMP)?;
        if number(5) != reply.len() as u64 || digest(whole) != u64::from_le_bytes(*written) {
            return None;
        }
        let time = |at| Duration::from_millis(number(at));
        let envelope = Self {
            stamp: *stamp,
            schema: number(0),
            negative: flags & NEGATIVE != 0,
            stored: time(1),
            fresh: time(2),
            lifetime: time(3),
            took: time(4),
            epochs: epochs.as_chunks::<STAMP>().0.to_vec(),
        };
        Some((envelope, reply))
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use proptest::prelude::*;

    use super::*;

    fn envelope(epochs: usize, negative: bool) -> Envelope {
        Envelope {
            stamp: [7; 16],
            schema: 42,
            negative,
            stored: Duration::from_millis(1_700_000_000_123),
            fresh: Duration::from_secs(300),
            lifetime: Duration::from_secs(600),
            took: Duration::from_millis(30),
            epochs: (0..epochs).map(|i| [i as u8; 16]).collect(),
        }
    }

    fn sealed(envelope: &Envelope, reply: &[u8]) -> Vec<u8> {
        let Ok(bytes) = envelope.seal(|bytes| {
            bytes.extend_from_slice(reply);
            Ok::<_, Infallible>(())
        });
        bytes
    }

    proptest! {
        #[test]
        fn what_was_sealed_is_opened(
            reply in proptest::collection::vec(any::<u8>(), 0..300),
            epochs in 0..40_usize,
            negative in any::<bool>(),
        ) {
            let envelope = envelope(epochs, negative);
            let bytes = sealed(&envelope, &reply);
            prop_assert!(bytes.len() <= reply.len() + MOST_ADDED);
            prop_assert_eq!(&bytes[..16], &envelope.stamp);
            prop_assert_eq!(Envelope::open(&bytes), Some((envelope, &reply[..])));
        }

        #[test]
        fn what_is_damaged_or_cut_short_or_rubbish_is_none(
            reply in proptest::collection::vec(any::<u8>(), 0..60),
            at in any::<prop::sample::Index>(),
            bit in 0..8_u32,
            rubbish in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            let bytes = sealed(&envelope(2, false), &reply);
            let mut damaged = bytes.clone();
            damaged[at.index(bytes.len())] ^= 1 << bit;
            prop_assert_eq!(Envelope::open(&damaged), None);
            prop_assert_eq!(Envelope::open(&bytes[..at.index(bytes.len())]), None);
            prop_assert_eq!(Envelope::open(&rubbish), None);
            let longer = [&bytes[..], &[0]].concat();
            prop_assert_eq!(Envelope::open(&longer), None);
        }
    }
}
