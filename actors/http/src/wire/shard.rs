use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    future::poll_fn,
    pin::pin,
    rc::{Rc, Weak},
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    sync::{Notify, oneshot},
    task::JoinHandle,
    time::{Instant, sleep_until},
};

use super::{
    permits::{Exhausted, Permit, ShardSignal},
    service::Wires,
    spares::Spares,
    stats::{Counter, WireStats},
    stream::{Open, Slot},
};

/// How long a connection has been idle before it is watched. A server's close is then seen at once; sooner watching
/// would wake the reaper with every request of a busy thread, to watch what is in use again.
const UNWATCHED: Duration = Duration::from_secs(1);

/// One thread's connections: which are idle, and the task that closes them.
///
/// awc keeps idle connections for ever, also those that the server has closed, which then stay half-closed in the
/// kernel until the next request happens upon them. The reaper is one local task a thread, alive while the thread has
/// connections. It sleeps until one is due: to be watched for its end, for being idle too long, for its age. A
/// thread whose connections are all in use has no timer, and one in steady use is woken about once a second.
pub(super) struct Shard {
    wires: Arc<Wires>,
    signal: Arc<ShardSignal>,
    open: Cell<usize>,
    retired: Cell<bool>,
    /// Requests of this thread that wait for a connection, in order. Those that gave up are closed.
    waiters: RefCell<VecDeque<oneshot::Sender<Open>>>,
    /// The longest idle one first.
    idle: RefCell<VecDeque<Rc<Slot>>>,
    /// Those that are kept warm, and how many they are.
    spares: RefCell<Weak<Spares>>,
    spare: Cell<usize>,
    lacking: Notify,
    /// When the reaper wakes next, unless it is woken; `None` for not at all.
    wakes: Cell<Option<Instant>>,
    reaper: RefCell<Option<JoinHandle<()>>>,
}

/// What a request waited for.
pub(super) enum Waited {
    /// The right to a new connection.
    Permit(Permit),
    /// A connection that has served before.
    Connection(Open),
}

impl Shard {
    pub(super) fn new(wires: Arc<Wires>) -> Rc<Self> {
        Rc::new(Self {
            signal: wires.permits().join(),
            wires,
            open: Cell::new(0),
            retired: Cell::new(false),
            waiters: RefCell::default(),
            idle: RefCell::default(),
            spares: RefCell::default(),
            spare: Cell::new(0),
            lacking: Notify::new(),
            wakes: Cell::new(None),
            reaper: RefCell::new(None),
        })
    }

    pub(super) fn wires(&self) -> &Arc<Wires> {
        &self.wires
    }

    pub(super) fn stats(&self) -> &WireStats {
        self.wires.stats()
    }

    pub(super) fn opened(self: &Rc<Self>) {
        self.stats().created.increment();
        if self.open.replace(self.open.get() + 1) == 0 {
            let reaper = tokio::task::spawn_local(reap(Rc::downgrade(self), self.signal.clone()));
            self.reaper.replace(Some(reaper));
        }
    }

    pub(super) fn closed(&self) {
        self.stats().closed.increment();
        self.open.set(self.open.get() - 1);
        if self.open.get() == 0 {
            self.stop();
        }
    }

    /// Waits for a permit, or for a connection of this thread whose request has ended.
    ///
    /// # Errors
    /// When neither came in time.
    pub(super) async fn wait(&self) -> Result<Waited, Exhausted> {
        let mut permit = pin!(self.wires.permits().wait());
        loop {
            let (pass, passed) = oneshot::channel();
            {
                let mut waiters = self.waiters.borrow_mut();
                waiters.retain(|waiter| !waiter.is_closed());
                waiters.push_back(pass);
            }
            tokio::select! {
                biased;
                Ok(mut open) = passed => {
                    if !open.is_spent() {
                        return Ok(Waited::Connection(open));
                    }
                    self.stats().closed_by_server.increment();
                }
                permit = &mut permit => return permit.map(Waited::Permit),
            }
        }
    }

    pub(super) fn set_spares(&self, spares: &Rc<Spares>) {
        self.spares.replace(Rc::downgrade(spares));
    }

    pub(super) fn set_spare(&self, spare: usize) {
        self.spare.set(spare);
        self.count();
    }

    /// Whether the thread has fewer idle connections than its part of what there should be at least, rounded up.
    pub(super) fn lacks_idle(&self) -> bool {
        let least = self.wires.settings().min_idle;
        least > 0 && !self.retired.get() && self.count_idle() < least.div_ceil(self.wires.permits().threads())
    }

    /// Waits until the thread may have too few idle connections.
    pub(super) async fn lacking(&self) {
        self.lacking.notified().await;
    }

    fn count_idle(&self) -> usize {
        self.idle.borrow().len() + self.spare.get()
    }

    /// No connection is kept any more: the idle ones are closed, the others once they are.
    pub(super) fn retire(&self) {
        self.retired.set(true);
        while self.close_first(&self.stats().closed_retired) {}
    }

    /// A connection became idle: it is kept, or passed on to a request that waits, or closed if it is too old, one
    /// too many, or wanted elsewhere.
    pub(super) fn keep(&self, slot: Rc<Slot>) {
        let settings = self.wires.settings();
        if self.retired.get() {
            return self.close(&slot, &self.stats().closed_retired);
        }
        let idle_since = slot.idle_since().unwrap_or_else(Instant::now);
        if idle_since.saturating_duration_since(slot.opened()) >= settings.lifetime {
            return self.close(&slot, &self.stats().closed_lifetime);
        }
        if self.pass_on(&slot) {
            return;
        }
        let due = self.due(&slot);
        self.idle.borrow_mut().push_back(slot);
        // Counted before it is asked who waits: see `ConnectionPermits::wait`.
        self.count();
        if self.wires.permits().claim() {
            self.close_first(&self.stats().closed_given_up);
        } else {
            self.close_surplus();
        }
        if !self.idle.borrow().is_empty() && self.wakes.get().is_none_or(|wakes| due < wakes) {
            self.wakes.set(Some(due));
            self.signal.wake.notify_one();
        }
    }

    /// Closes idle connections while the process has too many and no thread more than this one. For a moment there may be
    /// one too many, or, where two threads close at once, one too few.
    pub(super) fn close_surplus(&self) {
        let permits = self.wires.permits();
        while permits.idle_above(self.wires.settings().max_idle) && permits.is_to_close(&self.signal) {
            if !self.close_first(&self.stats().closed_surplus) {
                return;
            }
        }
    }

    /// Whether the process may have one more idle connection.
    pub(super) fn may_have_idle(&self) -> bool {
        let most = self.wires.settings().max_idle;
        most > 0 && !self.wires.permits().idle_above(most - 1)
    }

    /// Gives a connection to a request of this thread that waits, unless the thread has more than its share of them
    /// while others wait too.
    fn pass_on(&self, slot: &Slot) -> bool {
        let permits = self.wires.permits();
        let mut waiters = self.waiters.borrow_mut();
        waiters.retain(|waiter| !waiter.is_closed());
        if permits.unserved() > waiters.len() && self.open.get() > permits.fair_share() {
            return false;
        }
        let Some(waiter) = waiters.pop_front() else { return false };
        permits.claim();
        if let Some(open) = slot.take() {
            self.stats().passed_on.increment();
            // Should it give up before it takes it, the connection is closed with it.
            drop(waiter.send(open));
        }
        true
    }

    /// A connection is no longer idle.
    pub(super) fn forget(&self, slot: &Rc<Slot>) {
        let mut idle = self.idle.borrow_mut();
        // awc takes the longest idle one, so this ends at the first.
        if let Some(at) = idle.iter().position(|other| Rc::ptr_eq(other, slot)) {
            idle.remove(at);
        }
        drop(idle);
        self.count();
    }

    /// Whether an idle connection is from before the last time that idle ones were declared dead.
    pub(super) fn distrusts(&self, slot: &Slot) -> bool {
        slot.epoch() != self.wires.epoch()
    }

    fn count(&self) {
        self.signal.set_idle(self.count_idle());
        if self.lacks_idle() {
            self.lacking.notify_one();
        }
    }

    /// When a connection is to be closed, for being idle or for its age.
    fn ends(&self, slot: &Slot) -> Instant {
        let settings = self.wires.settings();
        let idle_since = slot.idle_since().unwrap_or_else(Instant::now);
        (idle_since + settings.idle_timeout).min(slot.opened() + settings.lifetime)
    }

    /// When a connection is to be looked at.
    fn due(&self, slot: &Slot) -> Instant {
        let ends = self.ends(slot);
        match slot.idle_since() {
            Some(since) if !slot.is_watched() => ends.min(since + UNWATCHED),
            _ => ends,
        }
    }

    /// Closes the longest idle connection; false if there is none.
    fn close_first(&self, reason: &Counter) -> bool {
        let first = self.idle.borrow_mut().pop_front();
        self.count();
        match &first {
            Some(slot) => self.close(slot, reason),
            None => {
                let spares = self.spares.borrow().upgrade();
                if !spares.is_some_and(|spares| spares.close_one()) {
                    return false;
                }
                reason.increment();
            }
        }
        true
    }

    fn close(&self, slot: &Slot, reason: &Counter) {
        reason.increment();
        slot.close();
    }

    /// Closes idle connections that have ended: ready if there were any. Watches the others.
    fn poll_ended(&self, cx: &mut Context<'_>) -> Poll<()> {
        let ended: Vec<_> =
            self.idle.borrow().iter().filter(|slot| slot.poll_ended(cx).is_ready()).cloned().collect();
        for slot in &ended {
            self.forget(slot);
            self.close(slot, &self.stats().closed_by_server);
        }
        if ended.is_empty() { Poll::Pending } else { Poll::Ready(()) }
    }

    /// Closes what others ask for and what is due, and decides when to look again.
    fn reap(&self) {
        let permits = self.wires.permits();
        for _ in 0..self.signal.take_asked() {
            if self.count_idle() == 0 {
                // What this thread was asked for is in use again: perhaps another has some.
                if permits.unserved() > 0 {
                    permits.ask();
                }
            } else if permits.claim() {
                self.close_first(&self.stats().closed_given_up);
            }
        }
        self.close_surplus();
        let now = Instant::now();
        let settings = self.wires.settings();
        let due: Vec<_> = self.idle.borrow().iter().filter(|slot| self.ends(slot) <= now).cloned().collect();
        for slot in due {
            self.forget(&slot);
            let old = slot.opened() + settings.lifetime <= now;
            self.close(&slot, if old { &self.stats().closed_lifetime } else { &self.stats().closed_idle });
        }
        let next = self.idle.borrow().iter().map(|slot| self.due(slot)).min();
        // A timer that stands is left: with everything in use, the next idle connection need not wake this again.
        self.wakes.set(next.or(self.wakes.get().filter(|wakes| *wakes > now)));
    }

    fn stop(&self) {
        self.wakes.set(None);
        if let Some(reaper) = self.reaper.take() {
            reaper.abort();
        }
    }
}

async fn reap(shard: Weak<Shard>, signal: Arc<ShardSignal>) {
    while let Some(wakes) = shard.upgrade().map(|shard| shard.wakes.get()) {
        let ended = poll_fn(|cx| shard.upgrade().map_or(Poll::Ready(()), |shard| shard.poll_ended(cx)));
        let due = async {
            match wakes {
                Some(wakes) => sleep_until(wakes).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = ended => {}
            () = signal.wake.notified() => {}
            () = due => {}
        }
        if let Some(shard) = shard.upgrade() {
            shard.reap();
        }
    }
}

impl Drop for Shard {
    fn drop(&mut self) {
        self.stop();
    }
}
