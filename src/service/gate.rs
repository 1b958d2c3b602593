use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use tokio::{sync::oneshot, time::timeout_at};

use super::{CallState, guard::BreakerGuard, pipeline::Plan};
use crate::{
    call::Reason,
    policy::{
        Mode,
        bulkhead::{Bulkhead, BulkheadSettings, BulkheadSnapshot, Entry, Handed, Ticket},
    },
    telemetry::{What, spans},
    units::Tick,
};

/// A bulkhead in its place: the machine, its mode, and how callers wait at it.
pub(crate) struct Gate {
    bulkhead: Bulkhead<Waiter>,
    settings: arc_swap::ArcSwap<BulkheadSettings>,
    /// Whether it is not asked at all.
    off: AtomicBool,
    saturated: AtomicBool,
    /// When saturation was last told.
    told: AtomicU64,
}

/// Somebody who waits.
struct Waiter {
    signal: oneshot::Sender<Signal>,
    /// Whose opening sends it away.
    breaker: Option<Arc<BreakerGuard>>,
}

impl Waiter {
    /// Tells it; whether it was still there to hear.
    fn tell(self, signal: Signal) -> bool {
        self.signal.send(signal).is_ok()
    }
}

/// What somebody who waits is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Signal {
    Admitted,
    /// Too late for its deadline.
    Expired,
    /// Somebody more important has its place.
    Shed,
    /// Nobody is to wait any more.
    Flushed,
}

impl Gate {
    pub(crate) fn new(settings: &BulkheadSettings) -> Self {
        Self {
            bulkhead: Bulkhead::new(settings.max_in_flight, settings.max_queue),
            settings: arc_swap::ArcSwap::from_pointee(settings.clone()),
            off: AtomicBool::new(settings.mode == Mode::Off),
            saturated: AtomicBool::new(false),
            told: AtomicU64::new(0),
        }
    }

    pub(crate) fn reload(&self, settings: &BulkheadSettings) {
        self.settings.store(Arc::new(settings.clone()));
        self.off.store(settings.mode == Mode::Off, Ordering::Relaxed);
        for waiter in self.bulkhead.set_limits(settings.max_in_flight, settings.max_queue) {
            if !waiter.tell(Signal::Admitted) {
                self.leave(Tick::ZERO);
            }
        }
    }

    pub(crate) fn snapshot(&self) -> BulkheadSnapshot {
        self.bulkhead.snapshot()
    }

    /// Passes where nobody need wait and nothing is to be told; whether a place is held now. `None` where it takes more.
    pub(crate) fn pass_at_once(&self) -> Option<bool> {
        if self.off.load(Ordering::Relaxed) {
            return Some(false);
        }
        (!self.saturated.load(Ordering::Relaxed) && self.bulkhead.try_enter()).then_some(true)
    }

    /// Enters, waiting if need be; whether a place is held now. `rank` is the call's place among its equals, which it
    /// keeps from one attempt to the next.
    pub(crate) async fn pass(
        &self,
        call: &CallState,
        plan: &Plan,
        rank: &mut Option<u64>,
    ) -> Result<bool, Reason> {
        let mode = self.settings.load().mode;
        if mode == Mode::Off {
            return Ok(false);
        }
        let environment = &call.environment;
        let mut receiver = None;
        let entry = self.bulkhead.enter(plan.priority as u8, environment.tick(plan.deadline), *rank, || {
            let (signal, told) = oneshot::channel();
            receiver = Some(told);
            Waiter { signal, breaker: call.breaker.clone() }
        });
        match entry {
            Entry::Admitted => {
                if self.saturated.load(Ordering::Relaxed) {
                    self.relieved(call);
                }
                Ok(true)
            }
            Entry::Full if mode == Mode::Shadow => {
                call.metrics_of_service().rejected("bulkhead", true, plan.priority);
                Ok(false)
            }
            Entry::Full => {
                self.is_full(call);
                Err(call.refused(self.full(), plan.priority))
            }
            Entry::Queued { ticket, shed } => {
                if let Some(waiter) = shed {
                    waiter.tell(Signal::Shed);
                }
                *rank = Some(ticket.rank());
                let Some(signal) = receiver else { return Ok(false) };
                let place = Place { gate: self, call, ticket, signal: Some(signal) };
                if mode == Mode::Shadow {
                    // It would have waited: it does not, and holds no place.
                    return Ok(false);
                }
                place.wait(plan).await.map(|()| true).map_err(|reason| call.refused(reason, plan.priority))
            }
        }
    }

    /// Whether an attempt would enter without waiting.
    pub(crate) fn has_room(&self) -> bool {
        let BulkheadSnapshot { in_flight, max_in_flight, waiting, .. } = self.bulkhead.snapshot();
        self.settings.load().mode != Mode::Enforce || (waiting == 0 && in_flight < max_in_flight)
    }

    /// Gives a place up.
    pub(crate) fn leave(&self, now: Tick) {
        loop {
            let Handed { admitted, expired } = self.bulkhead.leave(now);
            for waiter in expired {
                waiter.tell(Signal::Expired);
            }
            // Of one who is not there any more, the next one has it.
            if admitted.is_none_or(|waiter| waiter.tell(Signal::Admitted)) {
                return;
            }
        }
    }

    /// Sends all who wait away.
    pub(crate) fn flush(&self) {
        self.send_away(|_| true);
    }

    /// Sends away all whom this breaker, which has opened, would refuse.
    pub(crate) fn flush_of(&self, breaker: &Arc<BreakerGuard>) {
        self.send_away(|waiter| waiter.breaker.as_ref().is_some_and(|its| Arc::ptr_eq(its, breaker)));
    }

    fn send_away(&self, meant: impl Fn(&Waiter) -> bool) {
        for waiter in self.bulkhead.flush(meant) {
            waiter.tell(Signal::Flushed);
        }
    }

    /// Somebody who waits goes away. Once its ear is closed, who has just handed it a place finds nobody, and takes the
    /// place back: only one that was heard of must be given up here.
    fn give_up(&self, ticket: Ticket, mut ear: oneshot::Receiver<Signal>, now: impl FnOnce() -> Tick) {
        ear.close();
        match ear.try_recv() {
            Ok(Signal::Admitted) => self.leave(now()),
            Ok(Signal::Expired | Signal::Shed | Signal::Flushed) => {}
            Err(_) => {
                self.bulkhead.cancel(ticket);
            }
        }
    }

    fn full(&self) -> Reason {
        let BulkheadSnapshot { max_in_flight, max_queue, .. } = self.bulkhead.snapshot();
        Reason::BulkheadFull { max_in_flight: max_in_flight as usize, max_queue: max_queue as usize }
    }

    #[cold]
    fn is_full(&self, call: &CallState) {
        if !self.saturated.swap(true, Ordering::Relaxed) {
            let now = call.environment.now().as_nanos();
            // At most one a second, however often it goes to and fro.
            let told = self.told.load(Ordering::Relaxed);
            if told == 0 || now - told.min(now) > 1_000_000_000 {
                self.told.store(now.max(1), Ordering::Relaxed);
                call.environment.events.emit(Some(&call.service), What::Saturated);
            }
        }
    }

    #[cold]
    fn relieved(&self, call: &CallState) {
        let snapshot = self.bulkhead.snapshot();
        if snapshot.waiting == 0 && self.saturated.swap(false, Ordering::Relaxed) {
            call.environment.events.emit(Some(&call.service), What::Relieved);
        }
    }
}

/// A place in the queue. Whoever goes away gives it back, or the one in flight that it had come to by then.
struct Place<'a> {
    gate: &'a Gate,
    call: &'a CallState,
    ticket: Ticket,
    signal: Option<oneshot::Receiver<Signal>>,
}

impl Place<'_> {
    /// Waits to be admitted.
    async fn wait(mut self, plan: &Plan) -> Result<(), Reason> {
        let environment = &self.call.environment;
        let entered = environment.now();
        let queue_timeout = self.gate.settings.load().queue_timeout;
        let limit = plan.deadline.min(environment.instant(entered.after(queue_timeout)));
        let Some(signal) = &mut self.signal else { return Ok(()) };
        let told = timeout_at(limit, signal).await;
        let waited = environment.now().since(entered);
        self.call.metrics_of_service().queue_wait.record(waited);
        spans::note("seawall.queue_ms", waited.as_millis() as u64);
        match told {
            Ok(Ok(Signal::Admitted)) => {
                self.signal = None;
                Ok(())
            }
            Ok(Ok(told)) => {
                self.signal = None;
                Err(match told {
                    Signal::Shed => Reason::Shed,
                    Signal::Flushed => self.flushed(),
                    Signal::Expired | Signal::Admitted => Reason::DeadlinePassed,
                })
            }
            // Dropping the place cancels.
            Ok(Err(_)) => Err(Reason::NotRunning),
            Err(_) if limit == plan.deadline => Err(Reason::QueueTimeout(environment.now().since(entered))),
            Err(_) => Err(Reason::QueueTimeout(queue_timeout)),
        }
    }

    /// Why nobody is to wait any more: the breaker opened, or the runtime ends.
    fn flushed(&self) -> Reason {
        let now = self.call.environment.now();
        match self.call.breaker.as_ref().map(|breaker| breaker.breaker.look(now)) {
            Some(Err(open)) => Reason::Breaker(open),
            _ => Reason::Draining,
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Some(ear) = self.signal.take() {
            self.gate.give_up(self.ticket, ear, || self.call.environment.now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A gate with one in flight, and one who waits.
    fn gate() -> (Gate, Ticket, oneshot::Receiver<Signal>) {
        let gate = Gate::new(&BulkheadSettings { max_in_flight: 1, ..BulkheadSettings::default() });
        let mut ear = None;
        let mut enter = || {
            gate.bulkhead.enter(1, Tick::from_nanos(u64::MAX), None, || {
                let (signal, told) = oneshot::channel();
                ear = Some(told);
                Waiter { signal, breaker: None }
            })
        };
        assert!(matches!(enter(), Entry::Admitted));
        let Entry::Queued { ticket, .. } = enter() else { panic!("it waits") };
        (gate, ticket, ear.expect("it was made"))
    }

    #[test]
    fn who_goes_away_while_being_sent_away_gives_no_place_up() {
        let (gate, ticket, ear) = gate();
        let flushed = gate.bulkhead.flush(|_| true);
        gate.give_up(ticket, ear, || Tick::ZERO);
        for waiter in flushed {
            assert!(!waiter.tell(Signal::Flushed));
        }
        assert_eq!(gate.snapshot().in_flight, 1);
        gate.leave(Tick::ZERO);
        assert_eq!((gate.snapshot().in_flight, gate.snapshot().waiting), (0, 0));
    }

    #[test]
    fn who_goes_away_while_being_admitted_takes_no_place() {
        let (gate, ticket, ear) = gate();
        let handed = gate.bulkhead.leave(Tick::ZERO).admitted.expect("it is its turn");
        gate.give_up(ticket, ear, || Tick::ZERO);
        assert!(!handed.tell(Signal::Admitted), "who hands it a place finds nobody");
        gate.leave(Tick::ZERO);
        assert_eq!((gate.snapshot().in_flight, gate.snapshot().waiting), (0, 0));
    }

    #[test]
    fn a_place_that_was_heard_of_is_given_up() {
        let (gate, ticket, ear) = gate();
        gate.leave(Tick::ZERO);
        assert_eq!(gate.snapshot().in_flight, 1);
        gate.give_up(ticket, ear, || Tick::ZERO);
        assert_eq!((gate.snapshot().in_flight, gate.snapshot().waiting), (0, 0));
    }
}
