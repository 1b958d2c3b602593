use std::{
    num::NonZeroUsize,
    sync::{
        Arc, Weak,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore, SemaphorePermit},
    time::timeout,
};

/// How many connections a process may have to one service, and how many it may be making at once.
///
/// Made once a service and shared by its threads. A connection holds its [`Permit`] from before it is made until it is
/// closed, idle or not, so the count is one that the server can rely on. Who finds none free waits, in order of
/// arrival and at most the acquire timeout; and asks the thread with the most idle connections to close one. A thread
/// whose request ends while others wait passes the connection on to one of its own that waits, and closes it for
/// another thread's only if it has more than its fair share, or nobody waiting itself.
///
/// A connection cannot change its thread, and a closed one is a handshake that somebody pays for. Passing on keeps
/// overload from turning every request into a handshake; the fair share keeps it from starving a thread that has no
/// connection yet. Still, let the bulkhead admit no more calls than there are permits, and it is the only queue.
pub(crate) struct ConnectionPermits {
    max: usize,
    acquire_timeout: Duration,
    open: Arc<Semaphore>,
    connect_concurrency: usize,
    connecting: Semaphore,
    /// How many wait for `open`; written under the lock of `unserved`.
    waiting: AtomicUsize,
    /// For how many of these nothing has been done yet: a connection passed on or closed for one that waits on another
    /// thread reaches it a moment later, in which no second one must follow.
    unserved: Mutex<usize>,
    shards: Mutex<Vec<Weak<ShardSignal>>>,
}

/// How threads that wait reach the thread that has idle connections.
pub(super) struct ShardSignal {
    /// How many idle connections the thread has.
    idle: AtomicUsize,
    /// How many of them it has been asked for and has not closed yet.
    asked: AtomicUsize,
    /// Wakes the thread's reaper.
    pub(super) wake: Notify,
}

/// The right to one open connection; it goes back when dropped.
#[derive(Debug)]
pub(super) struct Permit {
    _held: OwnedSemaphorePermit,
}

/// No permit came free in time.
#[derive(Debug)]
pub(super) struct Exhausted {
    pub(super) waited: Duration,
    pub(super) max: usize,
}

impl ConnectionPermits {
    /// Permits for at most `max` connections, at most `connect_concurrency` of which are being made at once; who finds
    /// none free waits for at most `acquire_timeout`.
    pub(crate) fn new(
        max: NonZeroUsize,
        connect_concurrency: NonZeroUsize,
        acquire_timeout: Duration,
    ) -> Arc<Self> {
        let max = max.get().min(Semaphore::MAX_PERMITS);
        let connect_concurrency = connect_concurrency.get().min(Semaphore::MAX_PERMITS);
        Arc::new(Self {
            max,
            acquire_timeout,
            open: Arc::new(Semaphore::new(max)),
            connect_concurrency,
            connecting: Semaphore::new(connect_concurrency),
            waiting: AtomicUsize::new(0),
            unserved: Mutex::new(0),
            shards: Mutex::new(Vec::new()),
        })
    }

    /// How many connections there may be.
    pub(crate) fn max(&self) -> usize {
        self.max
    }

    /// How many connections are open or being made.
    pub(crate) fn in_use(&self) -> usize {
        self.max - self.open.available_permits()
    }

    /// How many connections are being made.
    pub(crate) fn connecting(&self) -> usize {
        self.connect_concurrency - self.connecting.available_permits()
    }

    /// How many requests wait for a connection to come free.
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(SeqCst)
    }

    /// How many open connections are idle, over all threads.
    pub(crate) fn idle(&self) -> usize {
        self.shards.lock().iter().filter_map(Weak::upgrade).map(|shard| shard.idle()).sum()
    }

    /// Whether more are idle, over all threads, than these. Nearly always it costs nothing to know: there cannot be more
    /// idle ones than there are connections.
    pub(super) fn idle_above(&self, most: usize) -> bool {
        most < self.max && self.idle() > most
    }

    /// Whether this thread is the one to close an idle connection, since no other has more of them; if not, the one that
    /// has is woken to do so.
    pub(super) fn is_to_close(&self, own: &Arc<ShardSignal>) -> bool {
        let richest = self.shards.lock().iter().filter_map(Weak::upgrade).max_by_key(|shard| shard.idle());
        match richest.filter(|richest| richest.idle() > own.idle()) {
            Some(richest) => {
                richest.wake.notify_one();
                false
            }
            None => own.idle() > 0,
        }
    }

    /// How long a request may wait at most.
    pub(crate) fn acquire_timeout(&self) -> Duration {
        self.acquire_timeout
    }

    pub(super) fn join(&self) -> Arc<ShardSignal> {
        let signal = Arc::new(ShardSignal {
            idle: AtomicUsize::new(0),
            asked: AtomicUsize::new(0),
            wake: Notify::new(),
        });
        let mut shards = self.shards.lock();
        shards.retain(|shard| shard.strong_count() > 0);
        shards.push(Arc::downgrade(&signal));
        signal
    }

    /// How many connections a thread may keep to itself while others wait: its part of them, rounded up; none where
    /// there are more threads than connections.
    pub(super) fn fair_share(&self) -> usize {
        let shards = self.threads();
        if shards > self.max { 0 } else { self.max.div_ceil(shards) }
    }

    /// How many threads have a part in the connections.
    pub(super) fn threads(&self) -> usize {
        self.shards.lock().iter().filter(|shard| shard.strong_count() > 0).count().max(1)
    }

    /// Takes a permit if one is free and nobody waits for it.
    pub(super) fn try_acquire(&self) -> Option<Permit> {
        self.open.clone().try_acquire_owned().ok().map(|held| Permit { _held: held })
    }

    /// Waits for a permit. Dropped, it leaves the queue.
    pub(super) async fn wait(&self) -> Result<Permit, Exhausted> {
        // Counted before idle connections are looked for, as a thread counts one idle before it looks for who waits:
        // one of the two sees the other.
        let _waiting = Waiting::enter(self);
        self.ask();
        match timeout(self.acquire_timeout, self.open.clone().acquire_owned()).await {
            Ok(Ok(held)) => Ok(Permit { _held: held }),
            // The semaphore is never closed, so this is the timeout.
            _ => Err(Exhausted { waited: self.acquire_timeout, max: self.max }),
        }
    }

    /// How many wait for whom nothing has been done yet.
    pub(super) fn unserved(&self) -> usize {
        // Nearly always nobody waits, and then this takes no lock.
        if self.waiting() == 0 { 0 } else { *self.unserved.lock() }
    }

    /// Undertakes to do something for one that waits: false if there is none for whom nothing has been done.
    pub(super) fn claim(&self) -> bool {
        if self.waiting() == 0 {
            return false;
        }
        let mut unserved = self.unserved.lock();
        let claimed = *unserved > 0;
        *unserved = unserved.saturating_sub(1);
        claimed
    }

    /// Waits for a turn to make a connection.
    pub(super) async fn turn(&self) -> Option<SemaphorePermit<'_>> {
        self.connecting.acquire().await.ok()
    }

    /// Asks the thread with the most idle connections to close one. If there is none, the next request that ends will
    /// see that somebody waits.
    pub(super) fn ask(&self) {
        let spare = |shard: &ShardSignal| shard.idle().saturating_sub(shard.asked.load(SeqCst));
        let richest = self.shards.lock().iter().filter_map(Weak::upgrade).max_by_key(|shard| spare(shard));
        if let Some(shard) = richest.filter(|shard| spare(shard) > 0) {
            shard.asked.fetch_add(1, SeqCst);
            shard.wake.notify_one();
        }
    }
}

impl ShardSignal {
    fn idle(&self) -> usize {
        self.idle.load(SeqCst)
    }

    pub(super) fn set_idle(&self, idle: usize) {
        self.idle.store(idle, SeqCst);
    }

    /// How many idle connections others want of this thread; each is asked for once.
    pub(super) fn take_asked(&self) -> usize {
        self.asked.swap(0, SeqCst)
    }
}

struct Waiting<'a>(&'a ConnectionPermits);

impl<'a> Waiting<'a> {
    fn enter(permits: &'a ConnectionPermits) -> Self {
        let mut unserved = permits.unserved.lock();
        *unserved += 1;
        permits.waiting.fetch_add(1, SeqCst);
        Self(permits)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut unserved = self.0.unserved.lock();
        let waiting = self.0.waiting.fetch_sub(1, SeqCst) - 1;
        // Whether it was the one served is not known, and need not be: of those left, no more can be unserved.
        *unserved = (*unserved).min(waiting);
    }
}
