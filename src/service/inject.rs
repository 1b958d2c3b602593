use std::{pin::pin, sync::Arc};

use futures_util::future::{Either, select};
use tokio::time::{sleep, sleep_until, timeout_at};

use super::{CallState, Environment, exchange::Exchange};
use crate::{
    call::{Priority, Reason},
    downstream::{Blame, Failure, Reached, Symptom},
    policy::faults::{Fault, FaultSettings, Faults},
    telemetry::Injected,
};

/// Faults in their place: drawn for each attempt, and suffered where it would be made.
pub(crate) struct Injector {
    pub(crate) faults: Faults,
}

/// The word in place of a kind's code, so that `classify` can lay an injected failure's blame elsewhere.
const CODE: &str = "injected";

impl Injector {
    /// `None` where nothing would ever be injected.
    pub(crate) fn new(settings: Option<&FaultSettings>, environment: &Environment) -> Option<Arc<Self>> {
        let settings = settings.filter(|settings| !settings.is_idle())?.clone();
        Some(Arc::new(Self { faults: Faults::new(settings, environment.random()) }))
    }

    /// Draws what an attempt is to suffer, besides the delay.
    ///
    /// # Errors
    /// That it is refused.
    pub(crate) fn draw(&self, call: &CallState, priority: Priority) -> Result<Option<Fault>, Reason> {
        let drawn = self.faults.draw();
        if drawn == Some(Fault::Reject) {
            call.metrics_of_service().injected(Injected::Reject);
            return Err(call.refused(Reason::Injected, priority));
        }
        Ok(drawn)
    }

    /// Suffers it: the failure that the attempt ends with, `None` if it is to be made now.
    pub(crate) async fn suffer<C, R>(
        &self,
        drawn: Option<Fault>,
        exchange: &Exchange<C, R>,
    ) -> Option<Failure> {
        // The runtime's end is not waited past: a real attempt would be cut off by it.
        match select(pin!(self.endure(drawn, exchange)), pin!(exchange.state.environment.stopped())).await {
            Either::Left((failure, _)) => failure,
            Either::Right(_) => {
                Some(Failure::new(Blame::Local, "the runtime stopped during an injected fault"))
            }
        }
    }

    async fn endure<C, R>(&self, drawn: Option<Fault>, exchange: &Exchange<C, R>) -> Option<Failure> {
        let call = &exchange.state;
        let metrics = call.metrics_of_service();
        let delay = self.faults.settings().delay;
        if !delay.is_zero() {
            metrics.injected(Injected::Delay);
            if timeout_at(exchange.deadline(), sleep(delay)).await.is_err() {
                return Some(ran_out(exchange));
            }
        }
        match drawn? {
            Fault::Hang => {
                metrics.injected(Injected::Hang);
                sleep_until(exchange.deadline()).await;
                Some(ran_out(exchange))
            }
            Fault::Fail | Fault::Reject => {
                metrics.injected(Injected::Fail);
                let failure =
                    Failure::new(Blame::Downstream, "injected: `faults.fail` makes it fail on purpose")
                        .symptom(Symptom::Reset)
                        .reached(Reached::Maybe)
                        .code(CODE);
                Some(call.settings.classify.apply(failure))
            }
        }
    }
}

/// As when the downstream does not answer.
fn ran_out<C, R>(exchange: &Exchange<C, R>) -> Failure {
    exchange.attempt.mark_sent();
    exchange.timed_out()
}
