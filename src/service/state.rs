//! What all threads share of one service. It outlives every restart of a shard.

use std::{
    any::TypeId,
    collections::HashMap,
    fmt,
    hash::{BuildHasherDefault, Hasher},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use arc_swap::{ArcSwap, ArcSwapOption};
use parking_lot::Mutex;

use super::{
    CallSettings, Environment, Phase, ServiceSettings, SettingsSource,
    endpoints::{EndpointRules, Endpoints},
    gate::Gate,
    guard::{BreakerGuard, Forced},
    inject::Injector,
    keyed::{KeyPolicies, Keyring},
    rate::RateGuard,
    scope::ScopePolicies,
};
use crate::{
    cache::{Flights, Generation},
    call::{Call, CallError, Priority, Reason, Rejected},
    downstream::{Downstream, EndpointAddress, Failure},
    policy::{budget::RetryBudget, hedge::Hedge, throttle::Throttle, wave::Waves},
    telemetry::{CallMetrics, ServiceMetrics, What},
    units::Tick,
};

/// One service, for all its threads.
pub(crate) struct State {
    /// Process-wide: two runtimes may live in one process.
    pub(crate) id: u64,
    /// The runtime's own count: what is kept is kept by it, so that a seed evicts the same whatever else is in the
    /// process.
    pub(crate) number: u64,
    pub(crate) name: Arc<str>,
    pub(crate) environment: Arc<Environment>,
    pub(crate) metrics: Arc<ServiceMetrics>,
    pub(crate) flights: Flights,
    /// Everything of this service that was loaded before is void.
    cleared: AtomicU64,
    /// Until when a write that voided all of it may still be changing it.
    unsettled: AtomicU64,
    /// Calls sent with `do_send` that have not ended.
    pub(crate) unanswered: AtomicUsize,
    /// Seats whose shards failed more often than is borne.
    failed_seats: AtomicUsize,
    /// Gone from the settings.
    removed: AtomicBool,
    /// The keys that it is called with, once it is.
    keys: ArcSwapOption<Keyring>,
    /// Its gate, from the first settings that have one on: what it holds is held, though settings may do without it.
    gate: OnceLock<Arc<Gate>>,
    table: ArcSwap<Table>,
    version: AtomicU64,
    /// Held while the table is rebuilt, so that no two do it at once.
    source: Mutex<Arc<SettingsSource>>,
}

/// What the service's settings and registered calls make of it; swapped whole by a reload.
pub(crate) struct Table {
    pub(crate) settings: ServiceSettings,
    /// What a call has that says nothing of its own.
    pub(crate) defaults: CallSettings,
    pub(crate) shared: ScopePolicies,
    pub(crate) budget: Option<Arc<RetryBudget>>,
    /// Its endpoints, where it has several.
    pub(crate) endpoints: Option<Arc<Endpoints>>,
    calls: HashMap<TypeId, Arc<CallState>, BuildHasherDefault<AsIs>>,
}

/// One call of a service: its settings, its policies, its counts.
pub(crate) struct CallState {
    pub(crate) name: &'static str,
    derived: &'static str,
    pub(crate) service: Arc<str>,
    pub(crate) settings: CallSettings,
    pub(crate) breaker: Option<Arc<BreakerGuard>>,
    own_breaker: bool,
    /// The service's, and within it the call's own where it has one.
    pub(crate) gates: [Option<Arc<Gate>>; 2],
    pub(crate) rate: Option<Arc<RateGuard>>,
    pub(crate) throttle: Option<Arc<Throttle>>,
    pub(crate) faults: Option<Arc<Injector>>,
    pub(crate) budget: Option<Arc<RetryBudget>>,
    /// The service's endpoints, where it has several.
    pub(crate) endpoints: Option<Arc<Endpoints>>,
    /// Whether the breakers that this call goes by are those of the endpoints.
    pub(crate) by_endpoint: bool,
    /// Always the call's own: what is late for one is not for another.
    pub(crate) hedge: Option<Arc<Hedge>>,
    pub(crate) environment: Arc<Environment>,
    service_metrics: Arc<ServiceMetrics>,
    kept: Arc<Kept>,
}

/// Which table of a service's it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Version(u64);

/// What a call keeps over reloads.
#[derive(Default)]
pub(crate) struct Kept {
    pub(crate) metrics: CallMetrics,
    /// Everything of this call that was loaded before is void.
    cleared: AtomicU64,
    /// How fast it is loaded for the cache.
    waves: Waves,
    budget_told: AtomicU64,
    /// The gate of its own, from the first settings that have one on.
    pub(super) gate: OnceLock<Arc<Gate>>,
}

/// A spent budget is told once in this time.
const BUDGET_SILENCE: Duration = Duration::from_secs(10);

static SERVICES: AtomicU64 = AtomicU64::new(0);

impl State {
    /// The state of a service whose calls' settings `source` tells.
    pub(crate) fn new(
        name: Arc<str>,
        environment: Arc<Environment>,
        settings: ServiceSettings,
        defaults: CallSettings,
        addresses: Vec<EndpointAddress>,
        source: Arc<SettingsSource>,
    ) -> Self {
        let endpoints = Endpoints::new(addresses, endpoint_rules(&settings, &defaults), &environment, None);
        let gate = OnceLock::new();
        let shared = ScopePolicies::new(&defaults, &environment, &gate, None).without(endpoints.as_ref());
        let budget = settings.retry_budget.clone().map(|budget| Arc::new(RetryBudget::new(budget)));
        Self {
            id: SERVICES.fetch_add(1, Ordering::Relaxed),
            number: environment.next_service(),
            name,
            environment,
            metrics: Arc::default(),
            flights: Flights::default(),
            cleared: AtomicU64::new(0),
            unsettled: AtomicU64::new(0),
            unanswered: AtomicUsize::new(0),
            failed_seats: AtomicUsize::new(0),
            removed: AtomicBool::new(false),
            keys: ArcSwapOption::empty(),
            version: AtomicU64::new(0),
            gate,
            table: ArcSwap::from_pointee(Table {
                settings,
                defaults,
                shared,
                budget,
                endpoints,
                calls: HashMap::default(),
            }),
            source: Mutex::new(source),
        }
    }

    /// The version of the table: another one as soon as another table is there.
    pub(crate) fn version(&self) -> Version {
        Version(self.version.load(Ordering::Acquire))
    }

    fn put(&self, table: Table) {
        self.table.store(Arc::new(table));
        self.version.fetch_add(1, Ordering::Release);
    }

    pub(crate) fn table(&self) -> arc_swap::Guard<Arc<Table>> {
        self.table.load()
    }

    /// Makes a call known, so that its settings are judged and its counts exist before it is first made.
    ///
    /// # Errors
    /// If its own settings are wrong, or another type has its name.
    pub(crate) fn register<D: Downstream, C: Call<D>>(&self) -> Result<Arc<CallState>, Reason> {
        if let Some(known) = self.table().call(C::identity()) {
            return Ok(Arc::clone(known));
        }
        let source = self.source.lock();
        let table = self.table.load_full();
        if let Some(known) = table.calls.get(&C::identity()) {
            return Ok(Arc::clone(known));
        }
        if table.calls.values().any(|known| known.name == C::NAME) {
            return Err(Reason::BadCall(
                format!("another type is called {} too; give one of them another NAME", C::NAME).into(),
            ));
        }
        let settings = source(C::NAME, C::SETTINGS).map_err(|error| Reason::BadCall(error.into()))?;
        let call = Arc::new(self.call_state(&table, C::NAME, C::SETTINGS, settings, None));
        let mut calls = table.calls.clone();
        calls.insert(C::identity(), Arc::clone(&call));
        self.put(Table { calls, ..table.without_calls() });
        Ok(call)
    }

    /// Puts new settings in force. Policies whose settings did not change keep their state; so do all counts.
    pub(crate) fn reload(
        &self,
        settings: ServiceSettings,
        defaults: CallSettings,
        addresses: Vec<EndpointAddress>,
        source: Arc<SettingsSource>,
    ) {
        let mut current = self.source.lock();
        let old = self.table.load_full();
        let rules = endpoint_rules(&settings, &defaults);
        let endpoints = Endpoints::new(addresses, rules, &self.environment, old.endpoints.as_ref());
        if let (Some(before), Some(endpoints)) = (&old.endpoints, &endpoints) {
            before.succeeded_by(endpoints);
        }
        let before = Some((&old.shared, &old.defaults));
        let shared =
            ScopePolicies::new(&defaults, &self.environment, &self.gate, before).without(endpoints.as_ref());
        let budget = match (&settings.retry_budget, &old.settings.retry_budget) {
            (new, before) if new == before => old.budget.clone(),
            (new, _) => new.clone().map(|budget| Arc::new(RetryBudget::new(budget))),
        };
        let mut table = Table { settings, defaults, shared, budget, endpoints, calls: HashMap::default() };
        for (identity, known) in &old.calls {
            // The whole was judged before: a call whose settings cannot be read keeps those it has.
            let settings = source(known.name, known.derived).unwrap_or_else(|_| known.settings.clone());
            let call = self.call_state(&table, known.name, known.derived, settings, Some((known, &old)));
            table.calls.insert(*identity, Arc::new(call));
        }
        *current = source;
        let (keyed, breaker) = (table.settings.keyed.as_ref(), table.defaults.breaker.as_ref());
        if let Some(keys) = self.keys.load_full().filter(|keys| !keys.is_by(keyed, breaker)) {
            self.keys.store(None);
            keys.retire(self.environment.now());
        }
        self.put(table);
    }

    /// The calls that are known, and what their derives say.
    pub(crate) fn made(&self) -> Vec<(&'static str, &'static str)> {
        self.table().calls().map(|call| (call.name, call.derived)).collect()
    }

    fn call_state(
        &self,
        table: &Table,
        name: &'static str,
        derived: &'static str,
        settings: CallSettings,
        before: Option<(&Arc<CallState>, &Table)>,
    ) -> CallState {
        let kept = before.map_or_else(Arc::default, |(before, _)| Arc::clone(&before.kept));
        let own = ScopePolicies::own(name, &settings, table, self, &kept, before);
        let own_breaker = match (&own.breaker, &table.shared.breaker) {
            (Some(own), Some(shared)) => !Arc::ptr_eq(own, shared),
            (own, _) => own.is_some(),
        };
        let hedge = match before {
            Some((before, _)) if before.settings.hedge == settings.hedge => before.hedge.clone(),
            _ => settings.hedge.clone().map(|new| Arc::new(Hedge::new(new))),
        };
        CallState {
            name,
            own_breaker,
            hedge,
            derived,
            service: Arc::clone(&self.name),
            breaker: own.breaker,
            gates: [table.shared.gate.clone(), own.gate],
            rate: own.rate,
            throttle: own.throttle,
            faults: own.faults,
            budget: table.budget.clone(),
            by_endpoint: settings.breaker == table.defaults.breaker
                && table.endpoints.as_ref().is_some_and(|endpoints| endpoints.have_breakers()),
            endpoints: table.endpoints.clone(),
            environment: Arc::clone(&self.environment),
            service_metrics: Arc::clone(&self.metrics),
            kept,
            settings,
        }
    }

    /// The policies of a key; none where the settings turn them off.
    pub(crate) fn key(&self, key: &dyn fmt::Display) -> Option<Arc<KeyPolicies>> {
        if let Some(keys) = &*self.keys.load() {
            return Some(keys.of(key, &self.environment));
        }
        // Held while they are made, so that a reload does not come between.
        let _source = self.source.lock();
        let table = self.table();
        let settings = table.settings.keyed.as_ref()?;
        let made = self.keys.load_full().unwrap_or_else(|| {
            let breaker = table.defaults.breaker.as_ref();
            Arc::new(Keyring::new(settings, breaker, &self.environment))
        });
        self.keys.store(Some(Arc::clone(&made)));
        Some(made.of(key, &self.environment))
    }

    /// The keys that it was called with, if it was.
    pub(crate) fn keyring(&self) -> Option<Arc<Keyring>> {
        self.keys.load_full()
    }

    /// Voids everything of this service that is kept or being loaded.
    pub(crate) fn clear(&self) {
        self.cleared.fetch_max(self.environment.generations.next().get(), Ordering::AcqRel);
    }

    /// Lets nothing of this service be kept whose load begins before this.
    pub(crate) fn unsettle(&self, until: Tick) {
        self.unsettled.fetch_max(until.as_nanos(), Ordering::AcqRel);
    }

    /// Sends all who wait at its gates away.
    pub(crate) fn flush(&self) {
        for gate in self.table().gates() {
            gate.flush();
        }
    }

    /// Tells all breakers how a health check of the service went, and sends away who waits where one opened.
    pub(crate) fn checked(&self, well: bool, failure: Option<&Failure>) {
        self.at_all_breakers(|guard| guard.checked(self, well, failure));
    }

    /// Tells all breakers what to do, and sends away who waits where one opened.
    pub(crate) fn force(&self, forced: Forced) {
        self.at_all_breakers(|guard| guard.force(self, forced));
    }

    /// Does something to the service's breaker, to those of its calls and of its endpoints. Where that opened one, those who
    /// wait for it are sent away.
    fn at_all_breakers(&self, opens: impl Fn(&BreakerGuard) -> bool) {
        let table = self.table();
        for guard in table.breakers() {
            if opens(guard) {
                for gate in table.gates() {
                    gate.flush_of(guard);
                }
            }
        }
        if let Some(endpoints) = &table.endpoints
            && endpoints.refusal(self.environment.now()).is_some()
        {
            table.gates().for_each(|gate| gate.flush_of_endpoints());
        }
    }

    /// Whether a breaker waits for a health check that is well.
    pub(crate) fn waits_for_check(&self) -> bool {
        self.table().breakers().any(|guard| guard.waits_for_check())
    }

    /// Takes no calls any more: the service is gone from the settings.
    pub(crate) fn remove(&self) {
        self.removed.store(true, Ordering::Release);
    }

    /// One more seat is failed; whether it is the first.
    pub(crate) fn failed(&self) -> bool {
        self.failed_seats.fetch_add(1, Ordering::AcqRel) == 0
    }

    /// One less seat is failed; whether it was the last.
    pub(crate) fn recovered(&self) -> bool {
        self.failed_seats.fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// Whether no seat is failed.
    pub(crate) fn is_up(&self) -> bool {
        self.failed_seats.load(Ordering::Acquire) == 0
    }

    /// A tag as the runtime knows it: those of two services are two.
    pub(crate) fn tag(&self, tag: u64) -> u64 {
        tag ^ self.number.wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }

    /// Why no calls are taken, if so.
    pub(crate) fn closed(&self) -> Option<Reason> {
        match self.environment.phase() {
            Phase::Running => self.removed.load(Ordering::Acquire).then_some(Reason::Removed),
            Phase::Draining => Some(Reason::Draining),
            Phase::Stopped => Some(Reason::NotRunning),
        }
    }

    /// The error of a call that is not known.
    pub(crate) fn rejected(&self, call: &'static str, reason: Reason) -> CallError {
        CallError::Rejected(Rejected { service: Arc::clone(&self.name), call, reason })
    }

    /// Whether something of this service and call with these tags, loaded at `loaded`, may still be served.
    pub(crate) fn is_current(&self, call: &CallState, tags: Option<&[u64]>, loaded: Generation) -> bool {
        self.cleared.load(Ordering::Acquire) <= loaded.get()
            && call.kept.cleared.load(Ordering::Acquire) <= loaded.get()
            && tags.is_none_or(|tags| self.environment.generations.is_current(tags, loaded))
    }

    /// Whether something with these tags, whose load began then, may be kept.
    pub(crate) fn is_settled(&self, tags: Option<&[u64]>, began: Tick) -> bool {
        self.unsettled.load(Ordering::Acquire) <= began.as_nanos()
            && tags.is_none_or(|tags| self.environment.generations.is_settled(tags, began))
    }
}

impl Table {
    pub(crate) fn call(&self, identity: TypeId) -> Option<&Arc<CallState>> {
        self.calls.get(&identity)
    }

    pub(crate) fn calls(&self) -> impl Iterator<Item = &Arc<CallState>> {
        self.calls.values()
    }

    /// The service's gate, and those of calls that have one of their own.
    /// The service's breaker, its calls' own, and its endpoints'.
    fn breakers(&self) -> impl Iterator<Item = &Arc<BreakerGuard>> {
        let own = self.calls().filter(|call| call.has_own_breaker());
        let own = own.filter_map(|call| call.breaker.as_ref());
        let of_endpoints = self.endpoints.iter().flat_map(|endpoints| endpoints.breakers());
        self.shared.breaker.iter().chain(own).chain(of_endpoints)
    }

    fn gates(&self) -> impl Iterator<Item = &Arc<Gate>> {
        self.shared.gate.iter().chain(self.calls().filter_map(|call| call.gates[1].as_ref()))
    }

    /// Whether faults are injected into any call.
    pub(crate) fn injects(&self) -> bool {
        self.shared.faults.is_some() || self.calls().any(|call| call.faults.is_some())
    }

    fn without_calls(&self) -> Self {
        Self {
            settings: self.settings.clone(),
            defaults: self.defaults.clone(),
            shared: self.shared.clone(),
            budget: self.budget.clone(),
            endpoints: self.endpoints.clone(),
            calls: HashMap::default(),
        }
    }
}

/// What the endpoints of a service of these settings go by.
fn endpoint_rules<'a>(settings: &'a ServiceSettings, defaults: &'a CallSettings) -> EndpointRules<'a> {
    EndpointRules {
        balance: &settings.balance,
        outlier: settings.outlier.as_ref(),
        breaker: defaults.breaker.as_ref().filter(|breaker| breaker.scope.is_per_endpoint()),
    }
}

impl CallState {
    /// Whether its breaker, or those of all endpoints, would refuse it now. Takes no permit.
    pub(crate) fn look(&self, priority: Priority, now: Tick) -> Result<(), Reason> {
        if let Some(breaker) = &self.breaker {
            breaker.look(self, priority, now)?;
        }
        match &self.endpoints {
            Some(endpoints) if self.by_endpoint => endpoints.look(self, priority, now),
            _ => Ok(()),
        }
    }

    /// Whether the breaker is the call's own, not the service's.
    pub(crate) fn has_own_breaker(&self) -> bool {
        self.own_breaker
    }

    /// Voids everything of this call that is kept or being loaded.
    pub(crate) fn clear(&self) {
        self.kept.cleared.fetch_max(self.environment.generations.next().get(), Ordering::AcqRel);
    }

    pub(crate) fn waves(&self) -> &Waves {
        &self.kept.waves
    }

    pub(crate) fn metrics(&self) -> &CallMetrics {
        &self.kept.metrics
    }

    pub(crate) fn metrics_of_service(&self) -> &ServiceMetrics {
        &self.service_metrics
    }

    /// The retry budget is spent: told once, until it is not.
    pub(crate) fn budget_spent(&self) {
        let now = self.environment.now();
        let told = Tick::from_nanos(self.kept.budget_told.load(Ordering::Relaxed));
        if told == Tick::ZERO || now.since(told) > BUDGET_SILENCE {
            self.kept.budget_told.store(now.as_nanos(), Ordering::Relaxed);
            self.environment.events.emit(Some(&self.service), What::BudgetExhausted);
        }
    }
}

/// Hashes what is a good hash already: a type's id, or a number that counts up.
#[derive(Default)]
pub(super) struct AsIs(u64);

impl Hasher for AsIs {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

impl fmt::Debug for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("State").field("name", &self.name).finish_non_exhaustive()
    }
}
