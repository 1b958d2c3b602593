use std::{
    ops::Deref,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use deadpool::managed::{Object, Pool, PoolError, WeakPool};
use parking_lot::Mutex;
use seawall::{
    call::Attempt,
    downstream::{Failure, PoolSettings, Stage},
};
use tokio::{
    sync::{Notify, Semaphore, SemaphorePermit},
    time::{Instant, sleep, timeout},
};

use super::{Dialer, Link, LinkManager};
use crate::failure;

/// Connections for commands that block (`BLPOP`, `XREAD BLOCK`), each of which has one to itself: on a shared one all others
/// would wait for it. One value is a thread's part of them.
///
/// A command that does not end takes its connection with it: the server learns by its end that nobody waits any more, and
/// what it would still answer goes to nobody.
pub(crate) struct Dedicated {
    pool: Pool<LinkManager>,
    places: Arc<Places>,
    dialer: Arc<Dialer>,
    max_idle: usize,
    idle_timeout: Duration,
    /// How long one may have been idle and is still taken for alive.
    check: Duration,
}

/// How many there may be, over all threads.
pub(crate) struct Places {
    free: Semaphore,
    max: usize,
    acquire_timeout: Duration,
    /// Each thread's. A place is held while one is lent; idle ones are closed, wherever they are, where all would be too many.
    pools: Mutex<Vec<WeakPool<LinkManager>>>,
}

impl Places {
    pub(crate) fn new(settings: &PoolSettings) -> Self {
        let max = settings.max.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            free: Semaphore::new(max),
            max,
            acquire_timeout: settings.acquire_timeout,
            pools: Mutex::default(),
        }
    }

    pub(crate) fn max(&self) -> usize {
        self.max
    }

    /// Makes room for one more: who asks holds a place, so where there are too many, some are idle.
    fn make_room(&self) {
        let pools: Vec<_> = self.pools.lock().iter().filter_map(WeakPool::upgrade).collect();
        let open = pools.iter().map(|pool| pool.status().size).sum::<usize>();
        let mut excess = (open + 1).saturating_sub(self.max);
        for pool in pools {
            let closed = pool.retain(|_, _| {
                let keep = excess == 0;
                excess = excess.saturating_sub(1);
                keep
            });
            // Dropped under no lock.
            drop(closed);
        }
    }
}

impl Dedicated {
    pub(crate) fn new(
        dialer: &Arc<Dialer>,
        places: &Arc<Places>,
        settings: &PoolSettings,
        check: Duration,
    ) -> Self {
        let manager = LinkManager::new(Arc::clone(dialer), Arc::new(Notify::new()), settings.lifetime);
        let pool = Pool::builder(manager).max_size(places.max).build();
        let pool = pool.unwrap_or_else(|_| unreachable!("it fails only where it has limits on time"));
        let mut pools = places.pools.lock();
        pools.retain(|pool| pool.upgrade().is_some());
        pools.push(pool.weak());
        drop(pools);
        Self {
            pool,
            places: Arc::clone(places),
            dialer: Arc::clone(dialer),
            max_idle: settings.max_idle,
            idle_timeout: settings.idle_timeout,
            check,
        }
    }

    /// A connection for one command alone.
    ///
    /// # Errors
    /// If none came free in time, or none could be made.
    pub(crate) async fn lend(&self, attempt: &Attempt) -> Result<Lent<'_>, Failure> {
        let place = match self.places.free.try_acquire() {
            Ok(place) => place,
            Err(_) => {
                attempt.enter(Stage::Pool);
                self.place().await?
            }
        };
        attempt.enter(Stage::Connect);
        let link = self.link().await?;
        attempt.enter(Stage::Attempt);
        self.dialer.figures().lent.fetch_add(1, Relaxed);
        Ok(Lent { link: Some(link), of: self, _place: place })
    }

    async fn place(&self) -> Result<SemaphorePermit<'_>, Failure> {
        let (figures, began) = (self.dialer.figures(), Instant::now());
        figures.waiting.fetch_add(1, Relaxed);
        let _waits = Waits(&figures.waiting);
        match timeout(self.places.acquire_timeout, self.places.free.acquire()).await {
            Ok(Ok(place)) => {
                figures.waited(began.elapsed());
                Ok(place)
            }
            _ => {
                figures.timeouts.fetch_add(1, Relaxed);
                Err(failure::no_connection())
            }
        }
    }

    async fn link(&self) -> Result<Object<LinkManager>, Failure> {
        loop {
            if self.pool.status().available == 0 {
                self.places.make_room();
            }
            let link = self.pool.get().await.map_err(|error| match error {
                PoolError::Backend(failure) => failure,
                _ => failure::no_connection(),
            })?;
            let Some(idle) = link.idle() else { return Ok(link) };
            self.dialer.figures().reused.fetch_add(1, Relaxed);
            if idle < self.check {
                return Ok(link);
            }
            // A round trip before a command that waits by design costs nothing that counts.
            link.probe(self.check / 2).await;
            if link.is_alive() {
                return Ok(link);
            }
            // A host that has vanished leaves all of them looking alive: each would cost its own probe.
            drop(Object::take(link));
            drop(self.pool.retain(|_, _| false));
        }
    }

    fn take_back(&self, link: Object<LinkManager>) {
        if self.pool.status().available >= self.max_idle || !link.is_trusted() {
            return drop(Object::take(link));
        }
        link.rest();
        drop(link);
        let (pool, idle_timeout) = (self.pool.weak(), self.idle_timeout);
        tokio::spawn(async move {
            sleep(idle_timeout).await;
            if let Some(pool) = pool.upgrade() {
                drop(pool.retain(|link, _| link.idle().is_none_or(|idle| idle < idle_timeout)));
            }
        });
    }

    pub(crate) fn close(&self) {
        self.pool.close();
    }
}

/// One that waits.
struct Waits<'a>(&'a std::sync::atomic::AtomicUsize);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// A connection that one command has to itself. It goes back when [`done`](Self::done), and is closed when it is dropped.
pub(crate) struct Lent<'a> {
    link: Option<Object<LinkManager>>,
    of: &'a Dedicated,
    _place: SemaphorePermit<'a>,
}

impl Lent<'_> {
    /// The command has its answer.
    pub(crate) fn done(mut self) {
        if let Some(link) = self.link.take() {
            self.of.take_back(link);
        }
    }
}

impl Deref for Lent<'_> {
    type Target = Arc<Link>;

    fn deref(&self) -> &Arc<Link> {
        match &self.link {
            Some(link) => link,
            None => unreachable!("it is there until it is done"),
        }
    }
}

impl Drop for Lent<'_> {
    fn drop(&mut self) {
        self.of.dialer.figures().lent.fetch_sub(1, Relaxed);
        if let Some(link) = self.link.take() {
            drop(Object::take(link));
        }
    }
}
