use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use tokio::{sync::oneshot, time::timeout_at};

use super::{CallState, guard::BreakerGuard, measure::Measure, plan::Plan};
use crate::{
    call::{Context, Priority, Reason},
    downstream::Failure,
    policy::{
        Mode,
        bulkhead::{Bulkhead, BulkheadSettings, BulkheadSnapshot, Entry, Handed, Sent, Ticket, Wait, Why},
    },
    telemetry::{What, spans},
    units::Tick,
};

/// A bulkhead in its place: the machine, its mode, and how callers wait at it.
pub(crate) struct Gate {
    bulkhead: Bulkhead<Waiter>,
    in_force: arc_swap::ArcSwap<InForce>,
    /// Whether the limit is measured: asked at the end of each attempt, where loading the settings would cost more.
    measures: AtomicBool,
    /// Whether it is not asked at all.
    off: AtomicBool,
    saturated: AtomicBool,
    /// Whose it is; `None` where nobody is told what becomes of it.
    scope: Option<Arc<str>>,
    /// When saturation was last told.
    told: AtomicU64,
}

struct InForce {
    settings: BulkheadSettings,
    measure: Option<Arc<Measure>>,
}

/// What an attempt holds of a gate that it passed.
#[derive(Debug, Default)]
pub(crate) enum Passed {
    /// Nothing.
    #[default]
    Not,
    /// A place.
    In,
    /// A place in a queue in which it does not wait, since the bulkhead only observes.
    Shadow(Box<Shadow>),
}

/// Somebody who would wait, and goes on all the same.
#[derive(Debug)]
pub(crate) struct Shadow {
    ticket: Ticket,
    ear: oneshot::Receiver<Signal>,
    /// When it would have been sent away at the latest.
    deadline: Tick,
    priority: Priority,
}

/// Somebody who waits.
struct Waiter {
    signal: oneshot::Sender<Signal>,
    /// Whose opening sends it away.
    breaker: Option<Arc<BreakerGuard>>,
    /// Whether that of all endpoints does.
    by_endpoint: bool,
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
    /// It was sent away for another's sake, or for its own.
    Sent(Why),
    /// Nobody is to wait any more.
    Flushed,
    /// The bulkhead decides nothing any more: it may go on without a place.
    LetGo,
}

impl Gate {
    /// One of so many that nobody wants to hear of each.
    pub(crate) fn unheard(settings: &BulkheadSettings) -> Self {
        Self::of(None, settings)
    }

    /// The one of `scope`: a service's, or a call's.
    pub(crate) fn new(scope: &str, settings: &BulkheadSettings) -> Self {
        Self::of(Some(scope.into()), settings)
    }

    fn of(scope: Option<Arc<str>>, settings: &BulkheadSettings) -> Self {
        let in_force = InForce::new(settings, None, &scope);
        Self {
            bulkhead: Bulkhead::new(in_force.max_in_flight(), settings.max_queue, settings.codel),
            measures: AtomicBool::new(in_force.measures()),
            in_force: arc_swap::ArcSwap::from_pointee(in_force),
            off: AtomicBool::new(settings.mode == Mode::Off),
            saturated: AtomicBool::new(false),
            scope,
            told: AtomicU64::new(0),
        }
    }

    pub(crate) fn reload(&self, settings: &BulkheadSettings, now: Tick) {
        let before = self.in_force.load_full();
        let in_force = InForce::new(settings, before.measure.as_ref(), &self.scope);
        self.measures.store(in_force.measures(), Ordering::Relaxed);
        self.off.store(settings.mode == Mode::Off, Ordering::Relaxed);
        self.in_force.store(Arc::new(in_force));
        let max_in_flight = || self.in_force.load().max_in_flight();
        self.bulkhead.set_limits(max_in_flight, settings.max_queue, settings.codel);
        self.offer(now);
        if before.settings.mode == Mode::Enforce && settings.mode != Mode::Enforce {
            for waiter in self.bulkhead.flush(|_| true) {
                waiter.tell(Signal::LetGo);
            }
        }
    }

    /// Turns it off for good: the settings have it no more, and calls under way still pass here.
    pub(crate) fn retire(&self, now: Tick) {
        let settings = self.in_force.load().settings.clone();
        self.reload(&BulkheadSettings { mode: Mode::Off, ..settings }, now);
    }

    pub(crate) fn snapshot(&self) -> BulkheadSnapshot {
        self.bulkhead.snapshot()
    }

    /// Passes where nobody need wait and nothing is to be told; what is held now. `None` where it takes more.
    pub(crate) fn pass_at_once(&self) -> Option<Passed> {
        if self.off.load(Ordering::Relaxed) {
            return Some(Passed::Not);
        }
        (!self.saturated.load(Ordering::Relaxed) && self.bulkhead.try_enter()).then_some(Passed::In)
    }

    /// Enters, waiting if need be; what is held now. `rank` is the call's place among its equals, which it keeps from one
    /// attempt to the next.
    pub(crate) async fn pass(
        &self,
        call: &CallState,
        plan: &Plan,
        rank: &mut Option<u64>,
    ) -> Result<Passed, Reason> {
        let (mode, per_tenant, queue_timeout) = {
            let BulkheadSettings { mode, per_tenant, queue_timeout, .. } = self.in_force.load().settings;
            (mode, per_tenant, queue_timeout)
        };
        if mode == Mode::Off {
            return Ok(Passed::Not);
        }
        let environment = &call.environment;
        let mut waits = None;
        let tenant = || {
            let tenant = plan.context.as_ref().filter(|_| per_tenant).and_then(Context::get_tenant);
            tenant.map_or(0, |tenant| environment.tenant(tenant))
        };
        let entry = self.bulkhead.enter(plan.priority as u8, *rank, tenant, || {
            let (signal, ear) = oneshot::channel();
            let came = environment.now();
            let deadline = environment.tick(plan.deadline).min(came.after(queue_timeout));
            waits = Some((ear, came, deadline));
            let waiter = Waiter { signal, breaker: call.breaker.clone(), by_endpoint: call.by_endpoint };
            Wait { waiter, came, deadline }
        });
        match entry {
            Entry::Admitted => {
                if self.saturated.load(Ordering::Relaxed) {
                    self.relieved(call);
                }
                Ok(Passed::In)
            }
            Entry::Full if mode == Mode::Shadow => {
                call.metrics_of_service().rejected("bulkhead", true, plan.priority);
                Ok(Passed::Not)
            }
            Entry::Full => {
                self.is_full(call);
                Err(call.refused(self.full(), plan.priority))
            }
            Entry::Queued { ticket, sent } => {
                if let Some(Sent { waiter, why }) = sent {
                    waiter.tell(Signal::Sent(why));
                }
                *rank = Some(ticket.rank());
                let Some((ear, came, deadline)) = waits else { return Ok(Passed::Not) };
                if mode == Mode::Shadow {
                    let priority = plan.priority;
                    return Ok(Passed::Shadow(Box::new(Shadow { ticket, ear, deadline, priority })));
                }
                let place = Place { gate: self, call, ticket, ear: Some(ear) };
                place.wait(came, deadline).await.map_err(|reason| call.refused(reason, plan.priority))
            }
        }
    }

    /// Gives up what an attempt held that has ended, after it had taken so long, by its outcome.
    pub(crate) fn settle(
        &self,
        call: &CallState,
        passed: Passed,
        outcome: &Result<(), Option<Failure>>,
        started: Option<Tick>,
        now: Tick,
    ) {
        if self.measures.load(Ordering::Relaxed)
            && let Some(started) = started
            && let Some(measure) = &self.in_force.load().measure
            && measure.record(call, outcome, self.bulkhead.in_flight(), started, now)
        {
            self.bulkhead.set_max_in_flight(|| self.in_force.load().max_in_flight());
            self.offer(now);
        }
        match passed {
            Passed::Not => {}
            Passed::In => self.leave(now),
            Passed::Shadow(shadow) => {
                let Shadow { ticket, ear, deadline, priority } = *shadow;
                let refused = match self.give_up(ticket, ear, || now) {
                    Some(signal) => matches!(signal, Signal::Sent(_)),
                    None => deadline <= now,
                };
                if refused {
                    call.metrics_of_service().rejected("bulkhead", true, priority);
                }
            }
        }
    }

    /// Whether an attempt would enter without waiting.
    pub(crate) fn has_room(&self) -> bool {
        let BulkheadSnapshot { in_flight, max_in_flight, waiting, .. } = self.bulkhead.snapshot();
        self.in_force.load().settings.mode != Mode::Enforce || (waiting == 0 && in_flight < max_in_flight)
    }

    /// Gives a place up.
    pub(crate) fn leave(&self, now: Tick) {
        // Of one who is not there any more, the next one has it.
        while tell(self.bulkhead.leave(now)) == Told::Gone {}
    }

    /// Offers what places are free to who waits.
    fn offer(&self, now: Tick) {
        loop {
            match tell(self.bulkhead.offer(now)) {
                Told::Nobody => return,
                Told::Admitted => {}
                Told::Gone => self.leave(now),
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

    /// Sends away all whom the breakers of the endpoints would refuse, which are all open.
    pub(crate) fn flush_of_endpoints(&self) {
        self.send_away(|waiter| waiter.by_endpoint);
    }

    fn send_away(&self, meant: impl Fn(&Waiter) -> bool) {
        for waiter in self.bulkhead.flush(meant) {
            waiter.tell(Signal::Flushed);
        }
    }

    /// Somebody who waits goes away. Once its ear is closed, who has just handed it a place finds nobody, and takes the
    /// place back: only one that was heard of must be given up here.
    /// Gives back what it had been told by then.
    fn give_up(
        &self,
        ticket: Ticket,
        mut ear: oneshot::Receiver<Signal>,
        now: impl FnOnce() -> Tick,
    ) -> Option<Signal> {
        ear.close();
        let told = ear.try_recv().ok();
        match told {
            Some(Signal::Admitted) => self.leave(now()),
            Some(Signal::Sent(_) | Signal::Flushed | Signal::LetGo) => {}
            None => {
                self.bulkhead.cancel(ticket);
            }
        }
        told
    }

    pub(crate) fn mode(&self) -> Mode {
        self.in_force.load().settings.mode
    }

    /// The refusal of who comes when all places are taken, here and in the queue.
    pub(crate) fn full(&self) -> Reason {
        let BulkheadSnapshot { max_in_flight, max_queue, .. } = self.bulkhead.snapshot();
        Reason::BulkheadFull { max_in_flight: max_in_flight as usize, max_queue: max_queue as usize }
    }

    #[cold]
    fn is_full(&self, call: &CallState) {
        if self.scope.is_some() && !self.saturated.swap(true, Ordering::Relaxed) {
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

impl InForce {
    /// What `settings` make of what was measured `before`.
    fn new(settings: &BulkheadSettings, before: Option<&Arc<Measure>>, scope: &Option<Arc<str>>) -> Self {
        let measure = settings.adaptive.clone().map(|adaptive| match before {
            Some(before) if *before.settings() == adaptive => Arc::clone(before),
            Some(before) => Arc::new(before.by(adaptive)),
            None => Arc::new(Measure::new(adaptive, scope.clone())),
        });
        Self { settings: settings.clone(), measure }
    }

    fn measures(&self) -> bool {
        self.measure.is_some() && self.settings.mode != Mode::Off
    }

    fn max_in_flight(&self) -> u32 {
        self.measure.as_ref().map_or(self.settings.max_in_flight, |measure| measure.limit())
    }
}

/// Whether a place that was given up found somebody.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Told {
    /// Nobody waited.
    Nobody,
    Admitted,
    /// Whoever got it had gone away.
    Gone,
}

/// Tells all what became of them.
fn tell(handed: Handed<Waiter>) -> Told {
    for Sent { waiter, why } in handed.sent {
        waiter.tell(Signal::Sent(why));
    }
    match handed.admitted {
        None => Told::Nobody,
        Some(waiter) => {
            if waiter.tell(Signal::Admitted) {
                Told::Admitted
            } else {
                Told::Gone
            }
        }
    }
}

/// A place in the queue. Whoever goes away gives it back, or the one in flight that it had come to by then.
struct Place<'a> {
    gate: &'a Gate,
    call: &'a CallState,
    ticket: Ticket,
    ear: Option<oneshot::Receiver<Signal>>,
}

impl Place<'_> {
    /// Waits to be admitted; what is held then.
    async fn wait(mut self, came: Tick, deadline: Tick) -> Result<Passed, Reason> {
        let environment = &self.call.environment;
        let Some(ear) = &mut self.ear else { return Ok(Passed::Not) };
        let told = timeout_at(environment.instant(deadline), ear).await;
        let waited = environment.now().since(came);
        self.call.metrics_of_service().queue_wait.record(waited);
        spans::note("seawall.queue_ms", waited.as_millis() as u64);
        match told {
            Ok(Ok(told)) => {
                self.ear = None;
                match told {
                    Signal::Admitted => Ok(Passed::In),
                    Signal::LetGo => Ok(Passed::Not),
                    Signal::Sent(Why::Shed) => Err(Reason::Shed),
                    Signal::Sent(Why::Delayed) => Err(Reason::Delayed(waited)),
                    // His time was up, and a place came before his timer did.
                    Signal::Sent(Why::Expired) => Err(Reason::QueueTimeout(waited)),
                    Signal::Flushed => Err(self.flushed()),
                }
            }
            // Dropping the place cancels.
            Ok(Err(_)) => Err(Reason::NotRunning),
            Err(_) => Err(Reason::QueueTimeout(waited)),
        }
    }

    /// Why nobody is to wait any more: the breaker opened, or those of all endpoints, or the runtime ends.
    fn flushed(&self) -> Reason {
        let now = self.call.environment.now();
        let breaker = self.call.breaker.as_ref().and_then(|breaker| breaker.breaker.look(now).err());
        let endpoints = self.call.endpoints.as_ref().filter(|_| self.call.by_endpoint);
        let open = breaker.or_else(|| endpoints?.refusal(now));
        open.map_or(Reason::Draining, Reason::Breaker)
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Some(ear) = self.ear.take() {
            self.gate.give_up(self.ticket, ear, || self.call.environment.now());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A gate with one in flight, and one who waits.
    fn gate() -> (Gate, Ticket, oneshot::Receiver<Signal>) {
        let gate =
            Gate::new("service", &BulkheadSettings { max_in_flight: 1, ..BulkheadSettings::default() });
        let mut ear = None;
        let mut enter = || {
            let came = Tick::ZERO;
            let wait = || {
                let (signal, told) = oneshot::channel();
                ear = Some(told);
                let waiter = Waiter { signal, breaker: None, by_endpoint: false };
                Wait { waiter, came, deadline: Tick::from_nanos(u64::MAX) }
            };
            gate.bulkhead.enter(1, None, || 0, wait)
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
