use std::{
    collections::VecDeque,
    fmt,
    hash::{Hash, Hasher},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::Instant;

/// Everything that happens in a run, in order: what two runs of one seed must agree on, to the byte.
///
/// The hash is of all of it; kept are the last entries alone, for a run may be an hour long.
pub(super) struct Log {
    start: Instant,
    inner: Mutex<Inner>,
}

struct Inner {
    hash: Mix,
    steps: u64,
    kept: VecDeque<Entry>,
    keeps: usize,
}

/// One thing that happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Entry {
    at: Duration,
    service: usize,
    step: Step,
}

/// What happened. Numbers name calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Step {
    /// A caller sends a call.
    Call(&'static str, u64),
    /// It has its end.
    End(u64, Ending),
    /// A shard begins an attempt at it.
    Attempt(u64, u32),
    /// The downstream has the request, and will be done after so many microseconds.
    Arrival(u64, u64),
    /// The attempt ends.
    Left(u64, Left),
    /// A pool is opened.
    Opened,
    /// One cannot be.
    NotOpened,
    /// One is closed.
    Closed,
    /// A shard's actor is made to panic.
    Killed,
    /// Settings are reloaded, well or not.
    Reloaded(bool),
    /// Code sets how many calls may be in flight.
    Overridden(u64),
    /// The runtime told of a change; its text's hash.
    Told(u64),
    /// What the runtime showed of itself in the end; its text's hash.
    Shown(u64),
}

/// How a call ends for its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Ending {
    Fresh,
    Cached,
    Stale,
    Fallback,
    Error,
    Timeout,
    Rejected,
    Cancelled,
}

impl Ending {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Fresh => "call: fresh",
            Self::Cached => "call: cached",
            Self::Stale => "call: stale",
            Self::Fallback => "call: fallback",
            Self::Error => "call: error",
            Self::Timeout => "call: timeout",
            Self::Rejected => "call: rejected",
            Self::Cancelled => "call: cancelled",
        }
    }

    /// Whether the caller has an answer.
    pub(super) fn is_answered(self) -> bool {
        matches!(self, Self::Fresh | Self::Cached | Self::Stale | Self::Fallback)
    }
}

/// How an attempt ends for the downstream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Left {
    /// It replied.
    Replied,
    /// It said that it failed.
    Failed,
    /// It asked for less.
    Overloaded,
    /// It could not be reached.
    Refused,
    /// The attempt's code panicked.
    Panicked,
    /// It was given up: its time ran out, or its caller or its shard went away.
    Dropped,
}

/// Of a run that goes wrong, so many entries are shown at most.
const KEPT: usize = 400;

impl Log {
    /// A log that keeps `all` entries, or the last few.
    pub(super) fn new(all: bool) -> Self {
        let inner = Inner {
            hash: Mix::default(),
            steps: 0,
            kept: VecDeque::new(),
            keeps: if all { usize::MAX } else { KEPT },
        };
        Self { start: Instant::now(), inner: Mutex::new(inner) }
    }

    /// Since the run began.
    pub(super) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    pub(super) fn add(&self, service: usize, step: Step) {
        let entry = Entry { at: self.elapsed(), service, step };
        let mut inner = self.inner.lock();
        entry.hash(&mut inner.hash);
        inner.steps += 1;
        if inner.kept.len() >= inner.keeps {
            inner.kept.pop_front();
        }
        inner.kept.push_back(entry);
    }

    pub(super) fn hash(&self) -> u64 {
        self.inner.lock().hash.finish()
    }

    pub(super) fn steps(&self) -> u64 {
        self.inner.lock().steps
    }

    pub(super) fn take(&self) -> Vec<Entry> {
        std::mem::take(&mut self.inner.lock().kept).into()
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:>13.6} s  service {}  {:?}", self.at.as_secs_f64(), self.service, self.step)
    }
}

/// The hash of a text, the same in every run and process.
pub(super) fn hash_of(text: &str) -> u64 {
    let mut mix = Mix::default();
    text.hash(&mut mix);
    mix.finish()
}

/// A hash that no process seeds: FNV-1a.
struct Mix(u64);

impl Default for Mix {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Hasher for Mix {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3);
        }
    }

    fn finish(&self) -> u64 {
        self.0
    }
}
