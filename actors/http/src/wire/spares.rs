//! Connections that are kept warm: made before a request asks for one.
//!
//! A thread whose idle connections are fewer than its part of `pool.min_idle` makes more, in the background and one after
//! the other: only while the process may have another, and another idle one, and nobody waits for it, in turn with all others that are being
//! made, and ever more rarely while the server takes none. awc takes nothing into its pool that it has not used, so they
//! lie beside it, and a request for which awc has none gets one of these. One that grows too old or ends is replaced.
//!
//! They are open connections like any: each has its permit, and is given up to a thread that waits.

use std::{
    cell::RefCell,
    collections::VecDeque,
    future::poll_fn,
    rc::{Rc, Weak},
    task::{Context, Poll},
    time::Duration,
};

use tokio::{
    task::JoinHandle,
    time::{Instant, sleep, sleep_until, timeout},
};

use super::{shard::Shard, stream::Open};

/// How long is waited after a connection could not be made, at first and at most.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(30));
/// How long a thread that may have no more connections waits before it looks again.
const AGAIN: Duration = Duration::from_secs(1);

/// One thread's warm connections.
pub(super) struct Spares {
    shard: Rc<Shard>,
    /// The oldest first; each with the service's epoch when it was made.
    open: RefCell<VecDeque<(Open, u64)>>,
    warmer: Option<JoinHandle<()>>,
}

impl Spares {
    /// None yet, and a task that makes them if the settings ask for any.
    pub(super) fn new(shard: &Rc<Shard>) -> Rc<Self> {
        let spares = Rc::new_cyclic(|spares: &Weak<Self>| {
            let warm = || tokio::task::spawn_local(warm(spares.clone(), shard.clone()));
            Self {
                shard: shard.clone(),
                open: RefCell::default(),
                warmer: (shard.wires().settings().min_idle > 0).then(warm),
            }
        });
        shard.set_spares(&spares);
        spares
    }

    /// The oldest that can still serve.
    pub(super) fn take(&self) -> Option<Open> {
        while let Some((mut open, epoch)) = self.pop() {
            let stats = self.shard.stats();
            if open.is_spent() {
                stats.closed_by_server.increment();
            } else if epoch != self.shard.wires().epoch() {
                stats.closed_distrusted.increment();
            } else {
                return Some(open);
            }
        }
        None
    }

    /// Gives one up; false if there is none.
    pub(super) fn close_one(&self) -> bool {
        self.pop().is_some()
    }

    fn pop(&self) -> Option<(Open, u64)> {
        let popped = self.open.borrow_mut().pop_front();
        self.count();
        popped
    }

    fn push(&self, open: Open) {
        self.open.borrow_mut().push_back((open, self.shard.wires().epoch()));
        self.count();
        // As one that became idle: see `ConnectionPermits::wait`.
        if self.shard.wires().permits().claim() && self.close_one() {
            self.shard.stats().closed_given_up.increment();
        }
        self.shard.close_surplus();
    }

    fn count(&self) {
        self.shard.set_spare(self.open.borrow().len());
    }

    /// When the oldest is too old.
    fn ends(&self) -> Option<Instant> {
        let lifetime = self.shard.wires().settings().lifetime;
        self.open.borrow().front().map(|(open, _)| open.opened() + lifetime)
    }

    /// Closes what has ended or is too old: ready if there was any. Watches the others.
    fn poll_ended(&self, cx: &mut Context<'_>) -> Poll<()> {
        let (before, now) = (self.open.borrow().len(), Instant::now());
        let (lifetime, stats) = (self.shard.wires().settings().lifetime, self.shard.stats());
        let mut closed = Vec::new();
        self.open.borrow_mut().retain_mut(|(open, _)| {
            let (old, ended) = (open.opened() + lifetime <= now, open.poll_ended(cx).is_ready());
            if old || ended {
                closed.push(if old { &stats.closed_lifetime } else { &stats.closed_by_server });
            }
            !old && !ended
        });
        closed.into_iter().for_each(|reason| reason.increment());
        if self.open.borrow().len() == before {
            return Poll::Pending;
        }
        self.count();
        Poll::Ready(())
    }
}

impl Drop for Spares {
    fn drop(&mut self) {
        if let Some(warmer) = &self.warmer {
            warmer.abort();
        }
    }
}

async fn warm(spares: Weak<Spares>, shard: Rc<Shard>) {
    let mut backoff = BACKOFF.0;
    loop {
        if shard.lacks_idle()
            && shard.may_have_idle()
            && let Some(permit) = shard.wires().permits().try_acquire()
        {
            match shard.wires().connect().await {
                Ok(socket) => {
                    backoff = BACKOFF.0;
                    let Some(spares) = spares.upgrade() else { return };
                    spares.push(Open::new(socket, permit, &shard));
                }
                Err(cause) => {
                    shard.stats().failed(&cause);
                    drop(permit);
                    sleep(backoff).await;
                    backoff = (2 * backoff).min(BACKOFF.1);
                }
            }
            continue;
        }
        let ended = poll_fn(|cx| spares.upgrade().map_or(Poll::Ready(()), |spares| spares.poll_ended(cx)));
        let ends = spares.upgrade().and_then(|spares| spares.ends());
        let old = async {
            match ends {
                Some(ends) => sleep_until(ends).await,
                None => std::future::pending().await,
            }
        };
        let changed = async {
            tokio::select! {
                biased;
                () = ended => {}
                () = old => {}
                () = shard.lacking() => {}
            }
        };
        if shard.lacks_idle() {
            // Nothing says when another thread gives a permit back, or has fewer idle connections.
            let _ = timeout(AGAIN, changed).await;
        } else {
            changed.await;
        }
    }
}
