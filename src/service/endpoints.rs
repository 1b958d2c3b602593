//! A service's endpoints, where it has several: which one an attempt goes to, and what its outcome tells of it.
//!
//! What is known of an endpoint is the service's, not a shard's, and a reload keeps it as long as the address stays. A service
//! with one endpoint has none of this.
//!
//! A choice takes no lock but those of the two latencies that it compares: who is ejected is a word beside the state
//! machine that says so, and when the next probe is due another.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
};

use parking_lot::Mutex;
use serde::Serialize;

use super::{CallState, Environment, guard::BreakerGuard};
use crate::{
    call::{Priority, Reason},
    downstream::{EndpointAddress, Failure, Stage, Symptom},
    policy::{
        EndpointSet, Mode,
        balance::{self, BalanceSettings, PeakEwma},
        blame::{EndpointVerdict, Verdict},
        breaker::{BreakerSettings, BreakerSnapshot, Permit, Rejected},
        outlier::{Change, OutlierSettings, Outliers},
    },
    telemetry::{Counter, What},
    units::Tick,
};

/// The endpoints of a service that has several.
pub(crate) struct Endpoints {
    balance: BalanceSettings,
    all: Box<[Endpoint]>,
    outliers: Option<Sentry>,
    /// Those that a reload put in their place: attempts that began before are told to them.
    successor: OnceLock<Arc<Endpoints>>,
}

/// One of them.
struct Endpoint {
    address: EndpointAddress,
    health: Arc<Health>,
    /// Its own, where breakers are for endpoints.
    breaker: Option<Arc<BreakerGuard>>,
}

/// What is known of an endpoint, whatever the settings.
struct Health {
    latency: Mutex<PeakEwma>,
    outstanding: AtomicU32,
    successes: Counter,
    failures: Counter,
    /// It said that it is not what it was, and has not answered since.
    changed: AtomicBool,
    /// When its slow start began, in nanoseconds; 0 for one that has its whole share.
    since: AtomicU64,
}

/// Who is ejected, and a copy of it that is read without a lock.
struct Sentry {
    settings: OutlierSettings,
    outliers: Mutex<Outliers>,
    ejected: AtomicU64,
    /// When the next probe is due, in nanoseconds; the end of time with nobody out.
    next_probe: AtomicU64,
}

/// What is known of an endpoint.
#[derive(Clone, Debug, Serialize)]
pub struct EndpointHealth {
    /// For how long it is ejected yet, in milliseconds; 0 once it is due for its probe, `None` while it is not ejected.
    pub ejected_for_ms: Option<u64>,
    /// How often it was ejected, or in shadow would have been.
    pub ejections: u64,
    /// The latency by which it is chosen, in microseconds: an average that follows peaks, where failures count as slow.
    pub latency_us: u64,
    /// Attempts under way.
    pub outstanding: u32,
    /// Attempts that it answered.
    pub successes: u64,
    /// Attempts that failed by its fault.
    pub failures: u64,
    /// Whether it said that it is not what it was, and has not answered since.
    pub changed: bool,
    /// Its own breaker, where `breaker.scope` is `endpoint`.
    pub breaker: Option<BreakerSnapshot>,
}

/// What a service's endpoints are made of.
#[derive(Clone, Copy)]
pub(crate) struct EndpointRules<'a> {
    pub(crate) balance: &'a BalanceSettings,
    pub(crate) outlier: Option<&'a OutlierSettings>,
    /// The service's breaker, where each endpoint is to have its own.
    pub(crate) breaker: Option<&'a BreakerSettings>,
}

/// An endpoint that an attempt goes to. It must be [`left`](Self::left), once.
#[must_use = "an endpoint that is not left is taken for busy"]
pub(crate) struct Chosen {
    endpoints: Arc<Endpoints>,
    index: usize,
    permit: Option<Permit>,
    probe: bool,
}

/// How an attempt ended, as its endpoint sees it: `Err(None)` where it was cancelled or lost.
type Outcome = Result<(), Option<Failure>>;

impl Endpoints {
    /// Those at `addresses`, if they are several. What `before` knows of those that it has too is kept.
    pub(crate) fn new(
        addresses: Vec<EndpointAddress>,
        rules: EndpointRules<'_>,
        environment: &Environment,
        before: Option<&Arc<Self>>,
    ) -> Option<Arc<Self>> {
        if addresses.len() < 2 {
            return None;
        }
        if let Some(before) = before
            && before.is_of(&addresses, rules)
        {
            return Some(Arc::clone(before));
        }
        let now = environment.now();
        // Who joins others starts slowly; those of a new service have nobody to leave the calls to.
        let since = if before.is_some() { now.as_nanos() } else { 0 };
        let kept: Vec<_> = addresses.iter().map(|address| before.and_then(|it| it.place(address))).collect();
        let outliers = rules.outlier.filter(|outlier| outlier.mode != Mode::Off).map(|settings| {
            let mut outliers = Outliers::new(settings.clone(), addresses.len(), environment.random());
            if let Some(known) = before.and_then(|before| before.outliers.as_ref()) {
                let known = known.outliers.lock();
                for (ours, theirs) in kept.iter().enumerate() {
                    theirs.iter().for_each(|theirs| outliers.adopt(ours, &known, *theirs, now));
                }
            }
            Sentry::new(settings.clone(), outliers)
        });
        let all = addresses.into_iter().zip(kept).map(|(address, theirs)| {
            let known = before.and_then(|before| before.all.get(theirs?));
            let health = match known {
                Some(known) => Arc::clone(&known.health),
                None => Arc::new(Health::new(rules.balance, since, now)),
            };
            let breaker =
                rules.breaker.map(|settings| match known.and_then(|known| known.breaker.as_ref()) {
                    Some(breaker) if breaker.breaker.settings() == settings => Arc::clone(breaker),
                    _ => Arc::new(BreakerGuard::new(address.shared(), settings.clone(), environment)),
                });
            Endpoint { address, health, breaker }
        });
        let all = all.collect();
        Some(Arc::new(Self { balance: rules.balance.clone(), all, outliers, successor: OnceLock::new() }))
    }

    /// From now on these are in force: what attempts under way find out, they are told.
    pub(crate) fn succeeded_by(self: &Arc<Self>, successor: &Arc<Self>) {
        if !Arc::ptr_eq(self, successor) {
            // There is one reload at a time, and none of what was replaced.
            let _ = self.successor.set(Arc::clone(successor));
        }
    }

    fn is_of(&self, addresses: &[EndpointAddress], rules: EndpointRules<'_>) -> bool {
        let breakers = |endpoint: &Endpoint| {
            endpoint.breaker.as_ref().map(|breaker| breaker.breaker.settings()) == rules.breaker
        };
        self.all.iter().map(|endpoint| &endpoint.address).eq(addresses)
            && self.balance == *rules.balance
            && self.outliers.as_ref().map(|sentry| &sentry.settings)
                == rules.outlier.filter(|outlier| outlier.mode != Mode::Off)
            && self.all.iter().all(breakers)
    }

    fn place(&self, address: &EndpointAddress) -> Option<usize> {
        self.all.iter().position(|endpoint| endpoint.address == *address)
    }

    /// Whether each endpoint has a breaker of its own.
    pub(crate) fn have_breakers(&self) -> bool {
        self.all.iter().any(|endpoint| endpoint.breaker.is_some())
    }

    /// Whether an attempt could be made now, as far as the endpoints' own breakers go. Takes no permit.
    pub(crate) fn look(&self, call: &CallState, priority: Priority, now: Tick) -> Result<(), Reason> {
        match self.refusal(now) {
            Some(refusal) => Err(self.refuse(call, priority, Some(refusal), now)),
            None => Ok(()),
        }
    }

    /// Those whose own breakers refuse.
    fn open(&self, now: Tick) -> EndpointSet {
        if !self.have_breakers() {
            return EndpointSet::EMPTY;
        }
        EndpointSet::first(self.all.len())
            .only_if(|index| self.all[index].breaker.as_ref().is_some_and(|breaker| breaker.refuses(now)))
    }

    /// When the first of the breakers admits again, where all refuse now.
    pub(crate) fn refusal(&self, now: Tick) -> Option<Rejected> {
        if self.open(now) != EndpointSet::first(self.all.len()) {
            return None;
        }
        self.soonest(now)
    }

    /// The refusal of the breaker that admits again the soonest.
    fn soonest(&self, now: Tick) -> Option<Rejected> {
        self.breakers().map(|guard| guard.breaker.refusal(now)).min_by_key(|refusal| refusal.retry_after)
    }

    /// All breakers refuse: the rejection is `refusal`, or else of the one that is due the soonest.
    #[cold]
    fn refuse(&self, call: &CallState, priority: Priority, refusal: Option<Rejected>, now: Tick) -> Reason {
        let reason = refusal.or_else(|| self.soonest(now)).map_or(Reason::NotRunning, Reason::Breaker);
        call.refused(reason, priority)
    }

    /// Chooses an endpoint, other than those `tried` if there is one.
    pub(crate) fn choose(
        self: &Arc<Self>,
        call: &CallState,
        priority: Priority,
        tried: EndpointSet,
        now: Tick,
    ) -> Result<Box<Chosen>, Reason> {
        let random = call.environment.random();
        let mut refusing = if call.by_endpoint { self.open(now) } else { EndpointSet::EMPTY };
        let mut refusal = None;
        // A retry is somebody's last chance: it is no probe.
        let mut probe = if tried.is_empty() { self.probe(now) } else { None };
        while let Some(index) = probe.or_else(|| self.pick(refusing, tried, random, now)) {
            let probe = probe.take().is_some();
            let mut chosen = Chosen { endpoints: Arc::clone(self), index, permit: None, probe };
            if call.by_endpoint
                && let Some(breaker) = &self.all[index].breaker
            {
                match breaker.ask(call, priority, now) {
                    Ok(permit) => chosen.permit = permit,
                    Err(refused) => {
                        chosen.sentence(call, Verdict::Neutral, now);
                        refusing.add(index);
                        refusal = Some(refused);
                        continue;
                    }
                }
            }
            self.all[index].health.outstanding.fetch_add(1, Ordering::Relaxed);
            return Ok(Box::new(chosen));
        }
        Err(self.refuse(call, priority, refusal, now))
    }

    fn pick(&self, refusing: EndpointSet, tried: EndpointSet, random: u64, now: Tick) -> Option<usize> {
        let all = EndpointSet::first(self.all.len());
        let may = all - refusing;
        let candidates = (self.balance.usable(all, self.ejected()) & may).or(may);
        let candidates = (candidates - tried).or(candidates);
        balance::choose(
            candidates,
            random,
            |index| self.all[index].health.share(&self.balance, now),
            |index| self.all[index].health.load(&self.balance, now),
        )
    }

    /// One that is due for a probe, which begins.
    fn probe(&self, now: Tick) -> Option<usize> {
        let sentry = self.outliers.as_ref()?;
        if now.as_nanos() < sentry.next_probe.load(Ordering::Relaxed) {
            return None;
        }
        sentry.with(|outliers| outliers.probe(now))
    }

    fn ejected(&self) -> EndpointSet {
        let ejected = self.outliers.as_ref().map_or(0, |sentry| sentry.ejected.load(Ordering::Relaxed));
        EndpointSet::from_bits(ejected)
    }

    /// Whether the endpoint at this place is not used.
    fn leaves_alone(&self, index: usize) -> bool {
        let ejected = self.ejected();
        ejected.has(index) && !self.balance.is_panic(EndpointSet::first(self.all.len()), ejected)
    }

    /// How many are ejected.
    pub(crate) fn count_ejected(&self) -> usize {
        self.ejected().len()
    }

    /// Each of them as it is now, in the order of the settings.
    pub(crate) fn snapshots(&self, now: Tick) -> Vec<(EndpointAddress, EndpointHealth)> {
        self.all
            .iter()
            .enumerate()
            .map(|(index, endpoint)| (endpoint.address.clone(), self.snapshot(index, now)))
            .collect()
    }

    fn snapshot(&self, index: usize, now: Tick) -> EndpointHealth {
        let Endpoint { health, breaker, .. } = &self.all[index];
        let latency = health.latency.lock().latency(&self.balance, now);
        let (ejected_for, ejections) = match &self.outliers {
            Some(sentry) => {
                let outliers = sentry.outliers.lock();
                (outliers.ejected_for(index, now), outliers.ejections(index))
            }
            None => (None, 0),
        };
        EndpointHealth {
            ejected_for_ms: ejected_for.map(|left| left.as_millis() as u64),
            ejections,
            latency_us: (latency / 1e3) as u64,
            outstanding: health.outstanding.load(Ordering::Relaxed),
            successes: health.successes.get(),
            failures: health.failures.get(),
            changed: health.changed.load(Ordering::Relaxed),
            breaker: breaker.as_ref().map(|guard| guard.breaker.snapshot(now)),
        }
    }

    /// The breakers of the endpoints, where they have them.
    pub(crate) fn breakers(&self) -> impl Iterator<Item = &Arc<BreakerGuard>> {
        self.all.iter().filter_map(|endpoint| endpoint.breaker.as_ref())
    }

    fn tell(&self, index: usize, change: Change, was_panic: bool, call: &CallState, now: Tick) {
        let endpoint = &self.all[index];
        let shadow = self.outliers.as_ref().is_some_and(|sentry| sentry.settings.mode == Mode::Shadow);
        let emit = |what| call.environment.events.emit(Some(&call.service), what);
        match change {
            Change::Ejected(ejection) => {
                emit(What::Ejected { endpoint: endpoint.address.clone(), shadow, ejection });
                let (all, ejected) = (EndpointSet::first(self.all.len()), self.ejected());
                if !was_panic && self.balance.is_panic(all, ejected) {
                    emit(What::AllEjected { ejected: ejected.len(), endpoints: all.len() });
                }
            }
            Change::Returned { after } => {
                if !shadow {
                    // It is as new: that it was slow to fail says nothing of how it answers.
                    *endpoint.health.latency.lock() = PeakEwma::new(&self.balance, now);
                    endpoint.health.since.store(now.as_nanos(), Ordering::Relaxed);
                }
                emit(What::Returned { endpoint: endpoint.address.clone(), shadow, after });
            }
        }
    }
}

impl Chosen {
    /// Where the attempt goes.
    pub(crate) fn address(&self) -> &EndpointAddress {
        &self.endpoints.all[self.index].address
    }

    /// Its place among the service's endpoints.
    pub(crate) fn index(&self) -> usize {
        self.index
    }

    /// Ends the attempt, which began at `started`. Whether it says something about the service: a failure of an endpoint
    /// that is ejected, or by it is, does not, for the others go on.
    pub(crate) fn left(mut self, call: &CallState, outcome: &Outcome, started: Tick, now: Tick) -> bool {
        let endpoints = Arc::clone(&self.endpoints);
        let Endpoint { health, breaker, .. } = &endpoints.all[self.index];
        health.outstanding.fetch_sub(1, Ordering::Relaxed);
        let elapsed = now.since(started);
        let failure = outcome.as_ref().err().and_then(Option::as_ref);
        if let (Some(permit), Some(breaker)) = (self.permit.take(), breaker) {
            let verdict = match outcome {
                Ok(()) => Verdict::Success,
                Err(Some(failure)) => failure.blame().breaker_verdict(),
                Err(None) => Verdict::Neutral,
            };
            if breaker.record(call, permit, verdict, elapsed, now, failure)
                && endpoints.refusal(now).is_some()
            {
                call.gates.iter().flatten().for_each(|gate| gate.flush_of_endpoints());
            }
        }
        let verdict = match outcome {
            Ok(()) => EndpointVerdict::Success,
            Err(Some(failure)) => failure.blame().endpoint_verdict(),
            Err(None) => EndpointVerdict::Neutral,
        };
        let balance = &endpoints.balance;
        let verdict = match verdict {
            EndpointVerdict::Success => {
                health.latency.lock().answered(balance, elapsed, now);
                health.successes.add_one();
                if health.changed.load(Ordering::Relaxed) {
                    health.changed.store(false, Ordering::Relaxed);
                }
                Verdict::Success
            }
            EndpointVerdict::Failure => {
                health.latency.lock().failed(balance, elapsed, now);
                health.failures.add_one();
                Verdict::Failure
            }
            EndpointVerdict::Sheds => {
                health.latency.lock().failed(balance, elapsed, now);
                Verdict::Neutral
            }
            EndpointVerdict::Changed => {
                health.latency.lock().failed(balance, elapsed, now);
                health.changed.store(true, Ordering::Relaxed);
                Verdict::Neutral
            }
            EndpointVerdict::Neutral => {
                if failure.is_none_or(kept_waiting) {
                    health.latency.lock().cut_short(balance, elapsed, now);
                }
                Verdict::Neutral
            }
        };
        self.sentence(call, verdict, now);
        let alone = self.now_in_force().is_some_and(|(endpoints, index, _)| endpoints.leaves_alone(index));
        verdict != Verdict::Failure || !alone
    }

    /// The same endpoint by the rules that are in force now. A probe is none for those that came after it: it is due
    /// again there. `None` where it is gone.
    fn now_in_force(&self) -> Option<(&Arc<Endpoints>, usize, bool)> {
        let mut current = &self.endpoints;
        while let Some(successor) = current.successor.get() {
            current = successor;
        }
        if Arc::ptr_eq(current, &self.endpoints) {
            return Some((current, self.index, self.probe));
        }
        Some((current, current.place(self.address())?, false))
    }

    /// Tells the outlier detection of the outcome.
    fn sentence(&self, call: &CallState, verdict: Verdict, now: Tick) {
        let Some((endpoints, index, probe)) = self.now_in_force() else { return };
        let Some(sentry) = &endpoints.outliers else { return };
        if verdict == Verdict::Neutral && !probe {
            return;
        }
        let (all, ejected) = (EndpointSet::first(endpoints.all.len()), endpoints.ejected());
        let was_panic = endpoints.balance.is_panic(all, ejected);
        let change = sentry.with(|outliers| outliers.record(index, verdict, probe, now));
        if let Some(change) = change {
            endpoints.tell(index, change, was_panic, call, now);
        }
    }
}

/// Whether the endpoint was waited for, though its lateness is not its fault.
fn kept_waiting(failure: &Failure) -> bool {
    matches!(failure.looked_like(), Symptom::Timeout(Stage::Connect | Stage::Attempt | Stage::Body))
}

impl Health {
    fn new(balance: &BalanceSettings, since: u64, now: Tick) -> Self {
        Self {
            latency: Mutex::new(PeakEwma::new(balance, now)),
            outstanding: AtomicU32::new(0),
            successes: Counter::default(),
            failures: Counter::default(),
            changed: AtomicBool::new(false),
            since: AtomicU64::new(since),
        }
    }

    fn share(&self, balance: &BalanceSettings, now: Tick) -> f64 {
        match self.since.load(Ordering::Relaxed) {
            0 => 1.0,
            since => balance.share(Tick::from_nanos(since), now),
        }
    }

    fn load(&self, balance: &BalanceSettings, now: Tick) -> f64 {
        self.latency.lock().load(balance, self.outstanding.load(Ordering::Relaxed), now)
    }
}

impl Sentry {
    fn new(settings: OutlierSettings, outliers: Outliers) -> Self {
        let sentry = Self {
            settings,
            outliers: Mutex::new(outliers),
            ejected: AtomicU64::new(0),
            next_probe: AtomicU64::new(u64::MAX),
        };
        sentry.with(|_| ());
        sentry
    }

    /// Changes who is ejected, and the copy with it.
    fn with<T>(&self, change: impl FnOnce(&mut Outliers) -> T) -> T {
        let mut outliers = self.outliers.lock();
        let changed = change(&mut outliers);
        self.ejected.store(outliers.ejected().bits(), Ordering::Relaxed);
        let next_probe = outliers.next_probe().map_or(u64::MAX, Tick::as_nanos);
        self.next_probe.store(next_probe, Ordering::Relaxed);
        changed
    }
}
