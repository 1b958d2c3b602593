use std::sync::{Arc, OnceLock};

use super::{
    CallSettings, CallState, Environment, State, Table, endpoints::Endpoints, gate::Gate,
    guard::BreakerGuard, inject::Injector, rate::RateGuard, state::Kept,
};
use crate::policy::{bulkhead::BulkheadSettings, throttle::Throttle};

/// The policies of one scope: a service's, or those of a call that differ from it.
#[derive(Clone)]
pub(crate) struct ScopePolicies {
    pub(crate) breaker: Option<Arc<BreakerGuard>>,
    pub(crate) gate: Option<Arc<Gate>>,
    pub(crate) rate: Option<Arc<RateGuard>>,
    pub(crate) throttle: Option<Arc<Throttle>>,
    pub(crate) faults: Option<Arc<Injector>>,
}

impl ScopePolicies {
    /// A service's. What `before` had by the same settings is kept.
    pub(super) fn new(
        settings: &CallSettings,
        environment: &Arc<Environment>,
        kept: &OnceLock<Arc<Gate>>,
        before: Option<(&ScopePolicies, &CallSettings)>,
    ) -> Self {
        let breaker = match (before, &settings.breaker) {
            (Some((kept, old)), new) if old.breaker == *new && kept.breaker.is_some() => kept.breaker.clone(),
            (_, new) => {
                new.clone().map(|new| Arc::new(BreakerGuard::new("service".into(), new, environment)))
            }
        };
        let gate = gate("service", kept, settings.bulkhead.as_ref(), environment);
        let rate = rate(before.and_then(|(kept, _)| kept.rate.as_ref()), settings, environment);
        let throttle = match (before, &settings.throttle) {
            (Some((kept, old)), new) if old.throttle == *new => kept.throttle.clone(),
            (_, new) => new.clone().map(|new| Arc::new(Throttle::new(new))),
        };
        let faults = match before {
            Some((kept, old)) if old.faults == settings.faults => kept.faults.clone(),
            _ => Injector::new(settings.faults.as_ref(), environment),
        };
        Self { breaker, gate, rate, throttle, faults }
    }

    /// Without a breaker of the service's, where each of its endpoints has one.
    pub(super) fn without(mut self, endpoints: Option<&Arc<Endpoints>>) -> Self {
        if endpoints.is_some_and(|endpoints| endpoints.have_breakers()) {
            self.breaker = None;
        }
        self
    }

    /// A call's: the service's where it says the same, its own where it differs. A bulkhead of its own is a partition
    /// within the service's.
    pub(super) fn own(
        name: &'static str,
        settings: &CallSettings,
        table: &Table,
        state: &State,
        kept: &Kept,
        before: Option<(&Arc<CallState>, &Table)>,
    ) -> Self {
        let (shared, defaults) = (&table.shared, &table.defaults);
        let separate = settings.breaker.as_ref().is_some_and(|breaker| breaker.scope.is_per_call());
        let breaker = if settings.breaker == defaults.breaker && !separate {
            shared.breaker.clone()
        } else {
            match before {
                Some((before, _))
                    if before.settings.breaker == settings.breaker && before.has_own_breaker() =>
                {
                    before.breaker.clone()
                }
                _ => settings
                    .breaker
                    .clone()
                    .map(|new| Arc::new(BreakerGuard::new(name.into(), new, &state.environment))),
            }
        };
        let own = settings.bulkhead.as_ref().filter(|_| settings.bulkhead != defaults.bulkhead);
        let gate = gate(name, &kept.gate, own, &state.environment);
        // One that the service had too by then is not its own.
        let own = before.and_then(|(before, old)| {
            let is_shared = |own: &&Arc<RateGuard>| {
                old.shared.rate.as_ref().is_some_and(|shared| Arc::ptr_eq(own, shared))
            };
            before.rate.as_ref().filter(|own| !is_shared(own))
        });
        let rate = if settings.rate == defaults.rate {
            if let Some(own) = own {
                own.retire(state.environment.now());
            }
            shared.rate.clone()
        } else {
            rate(own, settings, &state.environment)
        };
        let throttle = if settings.throttle == defaults.throttle {
            shared.throttle.clone()
        } else {
            match before {
                Some((before, _)) if before.settings.throttle == settings.throttle => before.throttle.clone(),
                _ => settings.throttle.clone().map(|new| Arc::new(Throttle::new(new))),
            }
        };
        let faults = if settings.faults == defaults.faults {
            shared.faults.clone()
        } else {
            match before {
                Some((before, old))
                    if before.settings.faults == settings.faults
                        && old.defaults.faults != settings.faults =>
                {
                    before.faults.clone()
                }
                _ => Injector::new(settings.faults.as_ref(), &state.environment),
            }
        };
        Self { breaker, gate, rate, throttle, faults }
    }
}

/// The gate by these settings. One that was there once comes back as what it was: who holds a place of it still does.
fn gate(
    scope: &str,
    kept: &OnceLock<Arc<Gate>>,
    settings: Option<&BulkheadSettings>,
    environment: &Environment,
) -> Option<Arc<Gate>> {
    match (kept.get(), settings) {
        (Some(gate), Some(settings)) => {
            gate.reload(settings, environment.now());
            Some(Arc::clone(gate))
        }
        (Some(gate), None) => {
            gate.retire(environment.now());
            None
        }
        (None, settings) => {
            settings.map(|new| Arc::clone(kept.get_or_init(|| Arc::new(Gate::new(scope, new)))))
        }
    }
}

/// The rate limit by these settings: the one of before, if there was one, goes on by them.
fn rate(
    before: Option<&Arc<RateGuard>>,
    settings: &CallSettings,
    environment: &Environment,
) -> Option<Arc<RateGuard>> {
    match (before, &settings.rate) {
        (Some(before), Some(new)) => {
            before.reload(new, environment.now());
            Some(Arc::clone(before))
        }
        (before, new) => {
            if let Some(before) = before {
                before.retire(environment.now());
            }
            new.clone().map(|new| Arc::new(RateGuard::new(new)))
        }
    }
}
