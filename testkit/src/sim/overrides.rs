use std::sync::Arc;

use seawall::Runtime;
use tokio::time::sleep;

use super::{log::Step, plan::Override, run::Run};

/// Overrides as planned; how many there were.
pub(super) async fn set(run: Arc<Run>, runtime: Runtime) -> u64 {
    for Override { at, lasts, service, in_flight } in &run.plan.overrides {
        sleep(at.saturating_sub(run.log.elapsed())).await;
        let path = format!("{}.bulkhead.max_in_flight", run.plan.services[*service].name);
        run.log.add(*service, Step::Overridden(*in_flight));
        if let Err(error) = runtime.set(path, *in_flight).lasting(*lasts).because("a simulation") {
            run.violations.add("I8", format_args!("{in_flight} in flight was refused: {error}"));
        }
    }
    run.plan.overrides.len() as u64
}
