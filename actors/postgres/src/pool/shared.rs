use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use parking_lot::Mutex;
use seawall::{
    downstream::{OpenContext, PoolFigures},
    policy::latency::Histogram,
};
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::Instant,
};

use crate::wire::{DialError, Dialler};

/// What the shards of one service share: how many connections there may be at one server, and what became of them.
pub(crate) struct Shared {
    max: usize,
    /// One for each server.
    permits: Vec<Permits>,
    /// Who is connecting.
    pub(crate) turns: Semaphore,
    /// Who is having a statement cancelled.
    pub(crate) cancels: Semaphore,
    pub(crate) dialler: Dialler,
    holding: Mutex<Holding>,
    pub(crate) counts: Counts,
    random: AtomicU64,
}

/// The right to a connection at one server.
struct Permits {
    free: Arc<Semaphore>,
    /// Who waits for one, on whatever thread.
    waiting: AtomicUsize,
    wanted: Notify,
}

/// After a refusal for want of connections, nobody tries for a while: each try costs the server a process.
#[derive(Default)]
struct Holding {
    until: Option<Instant>,
    for_: Duration,
}

const HOLD: Duration = Duration::from_millis(250);
/// Callers wait for no longer than this once the server has places again.
const LONGEST_HOLD: Duration = Duration::from_secs(1);

impl Holding {
    fn lengthen(&mut self, now: Instant) {
        self.for_ = if self.for_.is_zero() { HOLD } else { (self.for_ * 2).min(LONGEST_HOLD) };
        self.until = Some(now + self.for_);
    }
}

/// Statements that may be in the course of being cancelled at once.
const CANCELS: usize = 8;

#[derive(Default)]
pub(crate) struct Counts {
    pub(crate) created: Counter,
    pub(crate) closed: Counter,
    pub(crate) reused: Counter,
    pub(crate) timeouts: Counter,
    /// Those that a call has, or that are being healed after one.
    pub(crate) in_use: AtomicUsize,
    pub(crate) waiting: AtomicUsize,
    pub(crate) wait_time: Times,
    pub(crate) create_time: Times,
}

#[derive(Default)]
pub(crate) struct Counter(AtomicU64);

impl Counter {
    pub(crate) fn increment(&self) {
        self.0.fetch_add(1, Relaxed);
    }

    fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// How long something took, each time: some kilobytes, once there is something to count.
#[derive(Default)]
pub(crate) struct Times(OnceLock<Arc<Histogram>>);

impl Times {
    pub(crate) fn record(&self, took: Duration) {
        self.0.get_or_init(Arc::default).record(took);
    }
}

impl Shared {
    pub(crate) fn new(context: &OpenContext, dialler: Dialler, servers: usize) -> Self {
        let pool = context.pool();
        let permits = || Permits {
            free: Arc::new(Semaphore::new(pool.max.max(1))),
            waiting: AtomicUsize::new(0),
            wanted: Notify::new(),
        };
        Self {
            max: pool.max.max(1),
            permits: (0..servers).map(|_| permits()).collect(),
            turns: Semaphore::new(pool.connect_concurrency.max(1)),
            cancels: Semaphore::new(CANCELS),
            dialler,
            holding: Mutex::default(),
            counts: Counts::default(),
            random: AtomicU64::new(0),
        }
    }

    /// The right to one more connection at a server; waits for it, and has other threads give up an idle one.
    pub(crate) async fn permit(&self, server: usize) -> Option<OwnedSemaphorePermit> {
        let permits = &self.permits[server];
        if let Ok(permit) = Arc::clone(&permits.free).try_acquire_owned() {
            return Some(permit);
        }
        let _waiting = Guard::enter(&permits.waiting);
        permits.wanted.notify_waiters();
        Arc::clone(&permits.free).acquire_owned().await.ok()
    }

    /// Waits until somebody wants a connection of this server that there may not be.
    pub(crate) async fn wanted(&self, server: usize) {
        self.permits[server].wanted.notified().await;
    }

    /// Whether somebody does.
    pub(crate) fn is_wanted(&self, server: usize) -> bool {
        self.permits[server].waiting.load(Relaxed) > 0
    }

    /// Asked before each dial.
    pub(crate) fn held(&self) -> Result<(), DialError> {
        let until = self.holding.lock().until;
        let left = until.map(|until| until.saturating_duration_since(Instant::now()));
        match left {
            Some(left) if !left.is_zero() => Err(DialError::Holding(left)),
            _ => Ok(()),
        }
    }

    /// A dial ended: `full` if the server has no place for more, doubling the pause each time.
    pub(crate) fn dialled(&self, full: bool) {
        let mut holding = self.holding.lock();
        if full {
            holding.lengthen(Instant::now());
        } else {
            *holding = Holding::default();
        }
    }

    /// A time with up to a tenth more or less: connections that were made together must not end together.
    pub(crate) fn spread(&self, time: Duration) -> Duration {
        let mut z = self.random.fetch_add(0x9e37_79b9_7f4a_7c15, Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let part = u32::try_from((z ^ (z >> 27)) % 200).unwrap_or_default();
        time / 1000 * (900 + part)
    }

    pub(crate) fn figures(&self) -> PoolFigures {
        let counts = &self.counts;
        let (created, closed) = (counts.created.get(), counts.closed.get());
        let open = usize::try_from(created.saturating_sub(closed)).unwrap_or(usize::MAX);
        PoolFigures {
            max: self.max * self.permits.len(),
            open,
            idle: open.saturating_sub(counts.in_use.load(Relaxed)),
            waiting: counts.waiting.load(Relaxed),
            created,
            closed,
            reused: counts.reused.get(),
            timeouts: counts.timeouts.get(),
            wait_time: counts.wait_time.0.get().cloned(),
            create_time: counts.create_time.0.get().cloned(),
        }
    }
}

/// Counts one less when it is dropped.
pub(crate) struct Guard<'a>(&'a AtomicUsize);

impl<'a> Guard<'a> {
    pub(crate) fn enter(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Relaxed);
        Self(count)
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_server_is_tried_seldom_and_a_free_one_found_within_a_second() {
        let start = Instant::now();
        let (mut holding, mut tries) = (Holding::default(), vec![start]);
        while tries.len() < 20 {
            let now = tries[tries.len() - 1];
            holding.lengthen(now);
            tries.extend(holding.until);
        }
        let longest = tries.windows(2).map(|pair| pair[1] - pair[0]).max();
        assert_eq!(longest, Some(Duration::from_secs(1)));
        for from in &tries {
            let within = |at: &&Instant| (*from..*from + Duration::from_secs(1)).contains(at);
            assert!(tries.iter().filter(within).count() <= 5);
        }
    }
}
