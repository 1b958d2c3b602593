//! Names threads that something blocks.
//!
//! Every thread that has a shard runs one task that answers pings, and costs nothing in between. A ping that is not
//! answered within the watchdog's interval means that some code on the thread does not yield: every call of the thread
//! waits for it, and no timer of theirs fires.

use std::{
    cell::RefCell,
    collections::HashSet,
    sync::{
        Arc, Weak,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::{sync::Notify, time::sleep};

use crate::{
    service::{Environment, Pulse, thread_name},
    telemetry::What,
    units::Tick,
};

thread_local! {
    static ATTENDED: RefCell<HashSet<u64>> = RefCell::default();
}

/// Lets this thread's health be watched, unless it is already.
pub(crate) fn attend(environment: &Arc<Environment>) {
    let id = environment.id;
    if !environment.watched || !ATTENDED.with_borrow_mut(|attended| attended.insert(id)) {
        return;
    }
    let now = environment.now().as_nanos();
    let pulse = Arc::new(Pulse {
        thread: thread_name(),
        ping: Notify::new(),
        pinged: AtomicU64::new(now),
        answered: AtomicU64::new(now),
        stalled: AtomicU64::new(0),
    });
    environment.pulses.lock().push(Arc::downgrade(&pulse));
    let environment = Arc::downgrade(environment);
    drop(actix_rt::spawn(async move {
        let _left = Left(id);
        loop {
            pulse.ping.notified().await;
            let Some(environment) = environment.upgrade() else { return };
            pulse.answered.store(environment.now().as_nanos(), Ordering::Release);
        }
    }));
}

/// The thread's tasks have ended: another runtime may run on it.
struct Left(u64);

impl Drop for Left {
    fn drop(&mut self) {
        let _ = ATTENDED.try_with(|attended| attended.borrow_mut().remove(&self.0));
    }
}

/// Pings all threads, again and again.
#[derive(Debug)]
pub(crate) struct Watchdog {
    environment: Weak<Environment>,
    interval: Duration,
}

impl Watchdog {
    /// A watchdog that finds a thread blocked after `interval`.
    pub(crate) fn new(environment: &Arc<Environment>, interval: Duration) -> Self {
        Self { environment: Arc::downgrade(environment), interval }
    }

    /// Watches until the runtime ends.
    pub(crate) async fn watch(self) {
        loop {
            sleep(self.interval).await;
            let Some(environment) = self.environment.upgrade() else { return };
            let pulses: Vec<_> = {
                let mut pulses = environment.pulses.lock();
                pulses.retain(|pulse| pulse.strong_count() > 0);
                pulses.iter().filter_map(Weak::upgrade).collect()
            };
            for pulse in pulses {
                self.check(&environment, &pulse);
            }
        }
    }

    fn check(&self, environment: &Environment, pulse: &Pulse) {
        let now = environment.now();
        let at = |moment: &AtomicU64| Tick::from_nanos(moment.load(Ordering::Acquire));
        let (pinged, answered, stalled) = (at(&pulse.pinged), at(&pulse.answered), at(&pulse.stalled));
        if answered >= pinged {
            if stalled > Tick::ZERO {
                pulse.stalled.store(0, Ordering::Release);
                environment.lanes.set_stalled(&pulse.thread, false);
                environment.events.emit(
                    None,
                    What::ThreadRecovered {
                        thread: Arc::clone(&pulse.thread),
                        blocked: answered.since(stalled),
                    },
                );
            }
            pulse.pinged.store(now.as_nanos(), Ordering::Release);
            pulse.ping.notify_one();
        } else if stalled == Tick::ZERO && now.since(pinged) >= self.interval {
            pulse.stalled.store(pinged.as_nanos().max(1), Ordering::Release);
            environment.lanes.set_stalled(&pulse.thread, true);
            environment.stalls.add_one();
            environment.events.emit(
                None,
                What::ThreadStalled { thread: Arc::clone(&pulse.thread), blocked: now.since(pinged) },
            );
        }
    }
}
