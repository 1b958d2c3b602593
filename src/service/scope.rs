use std::sync::Arc;

use super::{
    CallSettings, CallState, Environment, State, Table, endpoints::Endpoints, gate::Gate,
    guard::BreakerGuard, inject::Injector, rate::RateGuard,
};
use crate::policy::throttle::Throttle;

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
        before: Option<(&ScopePolicies, &CallSettings)>,
    ) -> Self {
        let breaker = match (before, &settings.breaker) {
            (Some((kept, old)), new) if old.breaker == *new && kept.breaker.is_some() => kept.breaker.clone(),
            (_, new) => {
                new.clone().map(|new| Arc::new(BreakerGuard::new("service".into(), new, environment)))
            }
        };
        let gate = match (before, &settings.bulkhead) {
            (Some((ScopePolicies { gate: Some(gate), .. }, _)), Some(new)) => {
                gate.reload(new, environment.now());
                Some(Arc::clone(gate))
            }
            (before, new) => {
                if let Some((ScopePolicies { gate: Some(gate), .. }, _)) = before {
                    gate.retire(environment.now());
                }
                new.as_ref().map(|new| Arc::new(Gate::new(new)))
            }
        };
        let rate = match (before, &settings.rate) {
            (Some((kept, old)), new) if old.rate == *new => kept.rate.clone(),
            (_, new) => new.clone().map(|new| Arc::new(RateGuard::new(new))),
        };
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
        let gate = before.and_then(|(before, _)| before.gates[1].clone());
        let gate = match (gate, settings.bulkhead.as_ref().filter(|_| settings.bulkhead != defaults.bulkhead))
        {
            (Some(gate), Some(new)) => {
                gate.reload(new, state.environment.now());
                Some(gate)
            }
            (Some(gate), None) => {
                gate.retire(state.environment.now());
                None
            }
            (None, new) => new.map(|new| Arc::new(Gate::new(new))),
        };
        let rate = if settings.rate == defaults.rate {
            shared.rate.clone()
        } else {
            match before {
                // One that the service had too by then is not its own.
                Some((before, old))
                    if before.settings.rate == settings.rate && old.defaults.rate != settings.rate =>
                {
                    before.rate.clone()
                }
                _ => settings.rate.clone().map(|new| Arc::new(RateGuard::new(new))),
            }
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
