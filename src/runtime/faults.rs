//! Which faults are injected on purpose, and who is told of it.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    policy::faults::FaultSettings,
    service::{CallSettings, State},
    telemetry::What,
};

/// The faults of one service by their scope: `service`, and the calls that have others than it.
pub(super) type InForce = BTreeMap<Arc<str>, FaultSettings>;

pub(super) fn in_force<'a>(
    defaults: &'a CallSettings,
    calls: impl Iterator<Item = (&'a str, &'a CallSettings)>,
) -> InForce {
    let own = calls.filter(|(_, settings)| settings.faults != defaults.faults);
    std::iter::once(("service", defaults))
        .chain(own)
        .filter_map(|(scope, settings)| Some((scope.into(), settings.faults.clone()?)))
        .filter(|(_, faults)| !faults.is_idle())
        .collect()
}

/// Tells what came and what went.
pub(super) fn tell(state: &State, before: &InForce, after: &InForce) {
    let emit = |what| state.environment.events.emit(Some(&state.name), what);
    for scope in before.keys().filter(|scope| !after.contains_key(*scope)) {
        emit(What::FaultsOff { scope: Arc::clone(scope) });
    }
    for (scope, faults) in after.iter().filter(|(scope, faults)| before.get(*scope) != Some(faults)) {
        emit(What::FaultsOn { scope: Arc::clone(scope), faults: faults.to_string().into() });
    }
}
