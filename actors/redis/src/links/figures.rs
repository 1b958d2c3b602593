use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use parking_lot::Mutex;
use seawall::{downstream::PoolFigures, policy::latency::Histogram};

/// What the connections of a service are doing, over all its threads.
#[derive(Default)]
pub(crate) struct Figures {
    pub(super) created: AtomicU64,
    pub(super) closed: AtomicU64,
    pub(super) reused: AtomicU64,
    pub(super) timeouts: AtomicU64,
    pub(super) waiting: AtomicUsize,
    /// Commands that have a connection to themselves.
    pub(super) lent: AtomicUsize,
    /// What the threads have between them for sharing.
    pub(super) shared: AtomicUsize,
    /// How many there may be for sharing: each thread's few.
    pub(super) most_shared: AtomicUsize,
    /// The commands of each thread that were given a connection that others use too.
    threads: Mutex<Vec<Arc<AtomicU64>>>,
    create_time: OnceLock<Arc<Histogram>>,
    wait_time: OnceLock<Arc<Histogram>>,
}

impl Figures {
    pub(super) fn created_in(&self, took: Duration) {
        self.created.fetch_add(1, Relaxed);
        self.create_time.get_or_init(Arc::default).record(took);
    }

    /// A count for one more thread.
    pub(super) fn join(&self) -> Arc<AtomicU64> {
        let mut threads = self.threads.lock();
        // Those of threads that have ended are counted once and for all.
        threads.retain(|thread| {
            let lives = Arc::strong_count(thread) > 1;
            if !lives {
                self.reused.fetch_add(thread.load(Relaxed), Relaxed);
            }
            lives
        });
        let thread = Arc::<AtomicU64>::default();
        threads.push(Arc::clone(&thread));
        thread
    }

    pub(super) fn waited(&self, took: Duration) {
        self.wait_time.get_or_init(Arc::default).record(took);
    }

    /// All of it, where `dedicated` connections may be lent at most. Of those that are shared none is idle: each takes the
    /// next command whatever it is busy with.
    pub(crate) fn read(&self, dedicated: usize) -> PoolFigures {
        let (created, closed) = (self.created.load(Relaxed), self.closed.load(Relaxed));
        let open = usize::try_from(created.saturating_sub(closed)).unwrap_or(usize::MAX);
        let busy = self.lent.load(Relaxed) + self.shared.load(Relaxed);
        PoolFigures {
            max: dedicated + self.most_shared.load(Relaxed),
            open,
            idle: open.saturating_sub(busy),
            waiting: self.waiting.load(Relaxed),
            created,
            closed,
            reused: self.reused.load(Relaxed)
                + self.threads.lock().iter().map(|thread| thread.load(Relaxed)).sum::<u64>(),
            timeouts: self.timeouts.load(Relaxed),
            wait_time: self.wait_time.get().cloned(),
            create_time: self.create_time.get().cloned(),
        }
    }
}
