use std::sync::Arc;

use super::CallState;
use crate::{
    call::Priority,
    downstream::{Blame, Failure, Symptom},
    policy::{Mode, blame::Verdict, breaker::Permit},
    telemetry::{AttemptResult, Try},
    units::Tick,
};

/// What one attempt holds of the policies: a breaker's permit, places in bulkheads. It gives all back exactly once, with
/// the attempt's outcome; dropped without one, the attempt was cancelled.
pub(crate) struct Admission {
    call: Arc<CallState>,
    permit: Option<Permit>,
    /// Which of the call's gates it passed.
    held: [bool; 2],
    which: Try,
    /// The priority that its outcome tells the throttle of, where it does.
    counts: Option<Priority>,
    started: Tick,
    open: bool,
}

impl Admission {
    /// Nothing is held yet.
    pub(crate) fn new(call: &Arc<CallState>, which: Try, now: Tick) -> Self {
        Self {
            call: Arc::clone(call),
            permit: None,
            held: [false; 2],
            which,
            counts: None,
            started: now,
            open: false,
        }
    }

    /// Tells the throttle what becomes of the attempt.
    pub(crate) fn counts_as(&mut self, priority: Priority) {
        self.counts = Some(priority);
    }

    /// Holds a place in the call's gate of this number.
    pub(crate) fn hold(&mut self, gate: usize) {
        self.held[gate] = true;
    }

    /// Asks the breaker, then the rate, whose token comes last so that none is spent on a call refused. From here on
    /// the attempt is under way.
    pub(crate) fn admit(&mut self, priority: Priority, now: Tick) -> Result<(), crate::call::Reason> {
        if let Some(breaker) = &self.call.breaker {
            self.permit = breaker.admit(&self.call, priority, now)?;
        }
        if let Some(rate) = &self.call.rate
            && rate.mode() != Mode::Off
            && let Err(retry_after) = rate.take(now)
        {
            if rate.mode() == Mode::Enforce {
                return Err(self.call.refused(crate::call::Reason::Rate { retry_after }, priority));
            }
            self.call.metrics_of_service().rejected("rate", true, priority);
        }
        self.started = now;
        self.open = true;
        Ok(())
    }

    /// Ends the attempt: `Err(None)` where it never started or was lost, which says nothing about the downstream.
    pub(crate) fn finish(mut self, outcome: &Result<(), Option<Failure>>) {
        self.settle(outcome);
    }

    fn settle(&mut self, outcome: &Result<(), Option<Failure>>) {
        let now = self.call.environment.now();
        let (verdict, result) = match outcome {
            Ok(()) => (Verdict::Success, AttemptResult::Success),
            Err(Some(failure)) => {
                let result = match failure.blame() {
                    Blame::Downstream => AttemptResult::Failure,
                    Blame::Overload => AttemptResult::Overload,
                    Blame::Caller | Blame::Local | Blame::Topology => AttemptResult::Ignored,
                };
                (failure.blame().breaker_verdict(), result)
            }
            Err(None) => (Verdict::Neutral, AttemptResult::Cancelled),
        };
        let elapsed = now.since(self.started);
        let mut opened = false;
        if let (Some(permit), Some(breaker)) = (self.permit.take(), &self.call.breaker) {
            let failure = outcome.as_ref().err().and_then(Option::as_ref);
            opened = breaker.record(&self.call, permit, verdict, elapsed, now, failure);
        }
        for (gate, held) in self.call.gates.iter().zip(&mut self.held) {
            if let Some(gate) = gate {
                if std::mem::take(held) {
                    gate.leave(now);
                }
                if opened && let Some(breaker) = &self.call.breaker {
                    gate.flush_of(breaker);
                }
            }
        }
        if std::mem::take(&mut self.open) {
            self.call.metrics().attempted(self.which, result, elapsed);
            if let (Some(throttle), Some(priority)) = (&self.call.throttle, self.counts) {
                match outcome {
                    Ok(()) => throttle.record(priority as usize, None, now),
                    Err(Some(failure)) => throttle.record(priority as usize, Some(failure.blame()), now),
                    Err(None) => {}
                }
            }
            if let (Some(hedge), Try::First) = (&self.call.hedge, self.which) {
                let failure = outcome.as_ref().err().and_then(Option::as_ref);
                match (result, failure.map(Failure::looked_like)) {
                    (AttemptResult::Success, _) | (_, Some(Symptom::Timeout(_))) => {
                        hedge.record(elapsed, now);
                    }
                    (AttemptResult::Cancelled, _) => hedge.record_cut_off(elapsed, now),
                    _ => {}
                }
            }
        }
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        if self.open || self.permit.is_some() || self.held != [false; 2] {
            self.settle(&Err(None));
        }
    }
}
