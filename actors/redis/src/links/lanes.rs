use std::{
    cell::{Cell, RefCell},
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use deadpool::managed::{Object, Pool, PoolError};
use seawall::{
    call::Attempt,
    downstream::{Failure, Reached, Stage},
};
use tokio::{
    sync::{Notify, oneshot},
    task::AbortHandle,
    time::{Instant, sleep_until},
};

use super::{Dialer, Link, LinkManager, Place};
use crate::failure;

/// The few connections that all calls of one thread share.
///
/// A task of theirs keeps them in order. It makes what is missing; asks a connection that let a command run out of time
/// whether it is there at all, and each that was silent for half of `check`; and replaces those that do not answer. What
/// the library offers for this waits for an answer without end where a server hangs, and where it is gone has each
/// command wait for its backoff, nine seconds of it.
///
/// A call takes the next connection that is trusted. If there is none it waits for what comes first: a connection made,
/// one that answers after all, or the failure to make one. Nobody waits for a pause between two tries: those are the
/// task's own, while nobody calls. A call that comes has it try at once; since one try serves all who wait, there is no
/// storm of them.
pub(crate) struct Lanes {
    links: RefCell<Vec<Object<LinkManager>>>,
    next: Cell<usize>,
    /// Who has no connection, in the order they came.
    waiting: RefCell<Vec<Waiter>>,
    pool: Pool<LinkManager>,
    count: usize,
    wake: Arc<Notify>,
    dialer: Arc<Dialer>,
    keeper: Cell<Option<AbortHandle>>,
    /// Given up for good: there is no connection to wait for.
    closed: Cell<bool>,
    /// Commands that were given a connection.
    commands: Arc<AtomicU64>,
}

type Waiter = oneshot::Sender<Result<Arc<Link>, Failure>>;

/// The first pause after a failed try while nobody calls; it doubles, up to the check's.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
/// After so many waiters more, those that went away meanwhile are left out.
const PRUNED_AT: usize = 64;

impl Lanes {
    /// Begins to make them. To be called on the shard's thread.
    pub(crate) fn start(
        dialer: &Arc<Dialer>,
        place: Place,
        count: usize,
        check: Duration,
        lifetime: Duration,
    ) -> Rc<Self> {
        let wake = Arc::new(Notify::new());
        let manager = LinkManager::new(Arc::clone(dialer), place, Arc::clone(&wake), lifetime);
        let pool = Pool::builder(manager).max_size(count).build();
        let lanes = Rc::new(Self {
            links: RefCell::default(),
            next: Cell::new(0),
            waiting: RefCell::default(),
            pool: pool.unwrap_or_else(|_| unreachable!("it fails only where it has limits on time")),
            count,
            wake: Arc::clone(&wake),
            dialer: Arc::clone(dialer),
            keeper: Cell::new(None),
            closed: Cell::new(false),
            commands: dialer.figures().join(),
        });
        dialer.figures().most_shared.fetch_add(count, Relaxed);
        let keeping = Rc::downgrade(&lanes);
        let keeper = actix_rt::spawn(async move {
            let mut keeper = Keeper::new(check);
            while let Some(lanes) = keeping.upgrade() {
                let next = keeper.keep(&lanes).await;
                drop(lanes);
                tokio::select! {
                    biased;
                    () = wake.notified() => {}
                    () = sleep_until(next) => {}
                }
            }
        });
        lanes.keeper.set(Some(keeper.abort_handle()));
        lanes
    }

    /// A connection for one command.
    ///
    /// # Errors
    /// Why none could be made.
    pub(crate) async fn link(&self, attempt: &Attempt) -> Result<Arc<Link>, Failure> {
        if let Some(link) = self.trusted() {
            return Ok(link);
        }
        attempt.enter(Stage::Connect);
        let link = self.wait().await?;
        attempt.enter(Stage::Attempt);
        Ok(link)
    }

    /// How many there are, where none is broken.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    fn trusted(&self) -> Option<Arc<Link>> {
        let links = self.links.borrow();
        let first = self.next.get();
        self.next.set(first.wrapping_add(1));
        let mut lanes = (0..links.len()).map(|step| &links[first.wrapping_add(step) % links.len()]);
        let link = lanes.find(|link| link.is_trusted())?;
        // Its own thread's, so that threads do not take a line of memory from each other for each command.
        self.commands.fetch_add(1, Relaxed);
        Some(Arc::clone(link))
    }

    /// A connection for the library's own questions.
    ///
    /// # Errors
    /// Why none could be made.
    pub(crate) async fn any(&self) -> Result<Arc<Link>, Failure> {
        match self.trusted() {
            Some(link) => Ok(link),
            None => self.wait().await,
        }
    }

    async fn wait(&self) -> Result<Arc<Link>, Failure> {
        // Nothing was sent, whichever way it ends here.
        let closed = || failure::reset().reached(Reached::No);
        if self.closed.get() {
            return Err(closed());
        }
        let (tell, told) = oneshot::channel();
        {
            let mut waiting = self.waiting.borrow_mut();
            if waiting.len() % PRUNED_AT == PRUNED_AT - 1 {
                waiting.retain(|waiter| !waiter.is_closed());
            }
            waiting.push(tell);
        }
        self.wake.notify_one();
        told.await.unwrap_or_else(|_| Err(closed()))
    }

    /// Gives up one connection: what it carries may end, and nothing more is put on it.
    pub(crate) fn retire(&self, link: &Arc<Link>) {
        self.remove(|known| Arc::ptr_eq(known, link));
        self.wake.notify_one();
    }

    /// Gives up those that go to one that is the primary no more. A primary that was replaced while it was cut off does not
    /// say so by itself, and goes on taking writes that nobody will ever see.
    async fn follow(&self, check: Duration) {
        if let Some(primary) = self.dialer.followed(check).await {
            self.remove(|link| *link.target() != primary);
            self.wake.notify_one();
        }
    }

    /// Gives up all, in the same way.
    pub(crate) fn retire_all(&self) {
        self.remove(|_| true);
        self.wake.notify_one();
    }

    /// Gives up all of them, for good.
    pub(crate) fn close(&self) {
        self.closed.set(true);
        if let Some(keeper) = self.keeper.take() {
            keeper.abort();
        }
        self.remove(|_| true);
        // Who waits learns of it by the end of the channel.
        self.waiting.take();
    }

    fn remove(&self, which: impl Fn(&Arc<Link>) -> bool) {
        let removed: Vec<_> = self.links.borrow_mut().extract_if(.., |link| which(link)).collect();
        self.dialer.figures().shared.fetch_sub(removed.len(), Relaxed);
        // Their pool forgets them; it would keep them otherwise.
        removed.into_iter().for_each(|link| drop(Object::take(link)));
    }

    fn serve(&self, result: &Result<Arc<Link>, Failure>) {
        for waiter in self.waiting.take() {
            let _ = waiter.send(result.clone());
        }
    }
}

impl Drop for Lanes {
    fn drop(&mut self) {
        self.close();
        self.dialer.figures().most_shared.fetch_sub(self.count, Relaxed);
    }
}

/// What the task that keeps them remembers.
struct Keeper {
    check: Duration,
    next_check: Instant,
    next_try: Instant,
    pause: Duration,
    /// Each connection's answers at the last check.
    seen: Vec<(Arc<Link>, u64)>,
}

impl Keeper {
    fn new(check: Duration) -> Self {
        let now = Instant::now();
        Self { check, next_check: now + check / 2, next_try: now, pause: FIRST_PAUSE, seen: Vec::new() }
    }

    /// Does what is to be done, and says when to look again.
    async fn keep(&mut self, lanes: &Rc<Lanes>) -> Instant {
        let manager = lanes.pool.manager();
        lanes.remove(|link| !link.is_alive());
        self.check(lanes);
        // One past its lifetime is replaced as if it had broken, but what it carries may end.
        lanes.remove(|link| !link.is_suspect() && !manager.keeps(link));
        if let Some(link) = lanes.trusted() {
            lanes.serve(&Ok(link));
        }
        let missing = lanes.links.borrow().len() < lanes.count;
        let wanted = !lanes.waiting.borrow().is_empty();
        if missing && (wanted || Instant::now() >= self.next_try) {
            let made = lanes.pool.get().await.map_err(|error| match error {
                PoolError::Backend(failure) => failure,
                _ => failure::reset(),
            });
            match made {
                Ok(link) => {
                    self.pause = FIRST_PAUSE;
                    lanes.dialer.figures().shared.fetch_add(1, Relaxed);
                    lanes.serve(&Ok(Arc::clone(&link)));
                    lanes.links.borrow_mut().push(link);
                    // There may be one more to make.
                    return Instant::now();
                }
                Err(failure) => {
                    lanes.serve(&Err(failure));
                    self.next_try = Instant::now() + self.pause;
                    self.pause = (self.pause * 2).min(self.check.max(FIRST_PAUSE));
                }
            }
        }
        let missing = lanes.links.borrow().len() < lanes.count;
        if missing { self.next_check.min(self.next_try) } else { self.next_check }
    }

    /// Probes those in doubt, and at each check those that were silent since the last.
    fn check(&mut self, lanes: &Rc<Lanes>) {
        let now = Instant::now();
        let due = now >= self.next_check;
        let half = self.check / 2;
        for link in lanes.links.borrow().iter() {
            let silent = || {
                self.seen.iter().any(|(seen, answers)| Arc::ptr_eq(seen, link) && *answers == link.answers())
            };
            if (link.is_suspect() || due && silent()) && link.begin_probe() {
                let link = Arc::clone(link);
                tokio::spawn(async move { link.probe(half).await });
            }
        }
        if due {
            self.next_check = now + half;
            if lanes.dialer.has_sentinels() {
                let (lanes, check) = (Rc::downgrade(lanes), self.check);
                actix_rt::spawn(async move {
                    if let Some(lanes) = lanes.upgrade() {
                        lanes.follow(check).await;
                    }
                });
            }
            self.seen = lanes.links.borrow().iter().map(|link| (Arc::clone(link), link.answers())).collect();
        }
    }
}
