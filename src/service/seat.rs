use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use actix::Addr;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::{
    Shard,
    exchange::{Exchange, Order},
};
use crate::{
    call::{Call, Reason},
    downstream::{Downstream, OpenError},
    telemetry::Cause,
    units::Tick,
};

/// The place of a service's shard on one thread. The shard may die and another take its place; the seat stays.
pub(crate) struct Seat<D: Downstream> {
    pub(crate) thread: Arc<str>,
    /// The lane it is on, if its thread is the runtime's own.
    pub(crate) lane: Option<usize>,
    occupancy: Mutex<Occupancy<D>>,
    shut: Shut,
    changed: Notify,
    request: Mutex<Option<Request>>,
    requested: Notify,
}

/// How many of a service's seats stand against a call, for who only wants to know that none does.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shut(Arc<AtomicUsize>);

impl Shut {
    pub(crate) fn is_none(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }

    fn changed(&self, was: bool, is: bool) {
        match (was, is) {
            (false, true) => drop(self.0.fetch_add(1, Ordering::Relaxed)),
            (true, false) => drop(self.0.fetch_sub(1, Ordering::Relaxed)),
            _ => {}
        }
    }
}

/// Who sits there.
pub(crate) enum Occupancy<D: Downstream> {
    /// Nobody, and nobody is about to: the next call brings a keeper.
    Vacant,
    /// Nobody yet: a keeper opens the pool.
    Opening,
    /// A shard.
    Open(Addr<Shard<D>>),
    /// Nobody for a while: the pool could not be opened.
    Closed(Closed),
    /// Nobody ever again.
    Retired,
}

/// Why there is no shard for a while.
#[derive(Clone, Debug)]
pub(crate) struct Closed {
    pub(crate) until: Tick,
    /// Whether the service failed for good, until a probe says otherwise.
    pub(crate) failed: bool,
    /// How often in a row it came to this.
    pub(crate) failures: u32,
    pub(crate) error: OpenError,
}

/// What is asked of a seat's keeper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Request {
    /// Close the pool and open another. Attempts under way keep the old one.
    Reopen(Cause),
    /// The settings changed: close the pool and open another by them.
    Renew,
    /// Close the pool, and leave.
    Retire,
}

/// What became of an attempt that was to be sent.
pub(crate) enum Dispatch {
    /// The shard has it.
    Sent(Served),
    /// A shard is coming.
    Wait,
    /// A keeper must be brought first.
    Vacant,
    /// There is none.
    Refused(Reason),
}

/// Where the shard is that serves a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Served {
    /// On the caller's own thread.
    Here,
    /// On one of the runtime's own.
    Elsewhere,
}

impl<D: Downstream> Seat<D> {
    pub(crate) fn new(thread: Arc<str>, lane: Option<usize>, shut: Shut) -> Self {
        Self {
            thread,
            lane,
            occupancy: Mutex::new(Occupancy::Vacant),
            shut,
            changed: Notify::new(),
            request: Mutex::new(None),
            requested: Notify::new(),
        }
    }

    /// Sends an attempt to the shard, if there is one.
    pub(crate) fn dispatch<C: Call<D>>(
        &self,
        exchange: &Arc<Exchange<C, C::Reply>>,
        now: impl FnOnce() -> Tick,
    ) -> Dispatch {
        match &*self.occupancy.lock() {
            Occupancy::Open(shard) => {
                shard.do_send(Order::new(exchange));
                Dispatch::Sent(if self.lane.is_none() { Served::Here } else { Served::Elsewhere })
            }
            Occupancy::Vacant => Dispatch::Vacant,
            Occupancy::Opening => Dispatch::Wait,
            Occupancy::Closed(closed) => Dispatch::Refused(closed.reason(now())),
            Occupancy::Retired => Dispatch::Refused(Reason::NotRunning),
        }
    }

    /// Why no attempt could be sent now, if so.
    pub(crate) fn refusal(&self, now: Tick) -> Option<Reason> {
        match &*self.occupancy.lock() {
            Occupancy::Closed(closed) => Some(closed.reason(now)),
            Occupancy::Retired => Some(Reason::NotRunning),
            _ => None,
        }
    }

    /// Claims a vacant seat for a new keeper.
    pub(crate) fn claim(&self) -> bool {
        let mut occupancy = self.occupancy.lock();
        let vacant = matches!(*occupancy, Occupancy::Vacant);
        if vacant {
            *occupancy = Occupancy::Opening;
            // What was asked of nobody is done: the new keeper opens by what is in force.
            *self.request.lock() = None;
        }
        vacant
    }

    pub(crate) fn set(&self, occupancy: Occupancy<D>) {
        // The old one is dropped after the lock: with the last address of a shard goes its mailbox, and what is in it.
        let _old = {
            let mut current = self.occupancy.lock();
            if matches!(*current, Occupancy::Retired) {
                return;
            }
            self.shut.changed(current.is_shut(), occupancy.is_shut());
            std::mem::replace(&mut *current, occupancy)
        };
        self.changed.notify_waiters();
    }

    /// Runs `look` on who sits there.
    pub(crate) fn with<T>(&self, look: impl FnOnce(&Occupancy<D>) -> T) -> T {
        look(&self.occupancy.lock())
    }

    /// Waits until its keeper has left.
    pub(crate) async fn vacated(&self) {
        loop {
            let changed = self.changed.notified();
            if matches!(*self.occupancy.lock(), Occupancy::Vacant | Occupancy::Retired) {
                return;
            }
            changed.await;
        }
    }

    /// Waits while the pool is being opened.
    pub(crate) async fn settled(&self) {
        loop {
            let changed = self.changed.notified();
            if !matches!(*self.occupancy.lock(), Occupancy::Opening) {
                return;
            }
            changed.await;
        }
    }

    /// Asks something of the keeper. What weighs more stays: retiring over all, renewing over reopening.
    pub(crate) fn ask(&self, request: Request) {
        {
            let mut occupancy = self.occupancy.lock();
            if request == Request::Retire && matches!(*occupancy, Occupancy::Vacant) {
                *occupancy = Occupancy::Retired;
                self.shut.changed(false, true);
                return;
            }
        }
        {
            let mut asked = self.request.lock();
            match (*asked, request) {
                (Some(Request::Retire), _) | (Some(Request::Renew), Request::Reopen(_)) => {}
                _ => *asked = Some(request),
            }
        }
        self.requested.notify_one();
    }

    /// Waits until something is asked.
    pub(crate) async fn asked(&self) -> Request {
        loop {
            if let Some(request) = self.request.lock().take() {
                return request;
            }
            self.requested.notified().await;
        }
    }
}

impl Closed {
    fn reason(&self, now: Tick) -> Reason {
        let (retry_after, error) = (self.until.since(now).max(SOON), self.error.clone());
        let failures = self.failures;
        if self.failed {
            Reason::ServiceFailed { failures, retry_after, error }
        } else {
            Reason::Unavailable { failures, retry_after, error }
        }
    }
}

/// What is said when the next try is due already.
const SOON: Duration = Duration::from_millis(1);

impl<D: Downstream> Drop for Seat<D> {
    fn drop(&mut self) {
        self.shut.changed(self.occupancy.get_mut().is_shut(), false);
    }
}

impl<D: Downstream> Occupancy<D> {
    /// Whether it stands against a call.
    fn is_shut(&self) -> bool {
        matches!(self, Self::Closed(_) | Self::Retired)
    }

    /// The word for it in snapshots.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Vacant => "vacant",
            Self::Opening => "opening",
            Self::Open(_) => "open",
            Self::Closed(Closed { failed: false, .. }) => "restarting",
            Self::Closed(Closed { failed: true, .. }) => "failed",
            Self::Retired => "retired",
        }
    }
}

impl<D: Downstream> fmt::Debug for Seat<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seat")
            .field("thread", &self.thread)
            .field("occupancy", &self.occupancy.lock().word())
            .finish_non_exhaustive()
    }
}
