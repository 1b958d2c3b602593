use std::sync::Arc;

use super::{CallState, keyed::KeyHold};
use crate::{
    call::{Priority, Reason},
    downstream::{Blame, Failure},
    policy::{Mode, blame::Verdict, breaker::Permit, rate::Rate},
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
    started: Tick,
    open: bool,
    /// What it holds of its key's policies, where it has a key.
    key: Option<Box<KeyHold>>,
}

impl Admission {
    /// Nothing is held yet.
    pub(crate) fn new(call: &Arc<CallState>, number: u32, now: Tick) -> Self {
        let which = if number > 1 { Try::Retry } else { Try::First };
        Self {
            call: Arc::clone(call),
            permit: None,
            held: [false; 2],
            which,
            started: now,
            open: false,
            key: None,
        }
    }

    /// Holds a place in the call's gate of this number.
    pub(crate) fn hold(&mut self, gate: usize) {
        self.held[gate] = true;
    }

    /// Holds something of its key's policies.
    pub(crate) fn hold_key(&mut self, key: KeyHold) {
        self.key = Some(Box::new(key));
    }

    /// Asks the breaker, then the rate, whose token comes last so that none is spent on a call refused. From here on
    /// the attempt is under way.
    pub(crate) fn admit(&mut self, priority: Priority, now: Tick) -> Result<(), Reason> {
        if let Some(key) = &mut self.key {
            key.admit(&self.call, priority, now)?;
        }
        if let Some(breaker) = &self.call.breaker {
            self.permit = breaker.admit(&self.call, priority, now)?;
        }
        if let Some(rate) = &self.call.rate {
            take(rate, &self.call, priority, now)?;
        }
        self.started = now;
        self.open = true;
        Ok(())
    }

    /// Ends the attempt, and tells when: `Err(None)` where it never started or was lost, which says nothing about the
    /// downstream.
    pub(crate) fn finish(mut self, outcome: &Result<(), Option<Failure>>) -> Tick {
        self.settle(outcome)
    }

    fn settle(&mut self, outcome: &Result<(), Option<Failure>>) -> Tick {
        let now = self.call.environment.now();
        let (mut verdict, result) = match outcome {
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
        if let Some(key) = self.key.take() {
            let failure = outcome.as_ref().err().and_then(Option::as_ref);
            verdict = key.settle(&self.call, verdict, elapsed, now, failure);
        }
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
        }
        now
    }
}

/// Takes a token of a rate, if it is asked.
pub(super) fn take(rate: &Rate, call: &CallState, priority: Priority, now: Tick) -> Result<(), Reason> {
    if rate.mode() == Mode::Off {
        return Ok(());
    }
    match rate.take(now) {
        Err(retry_after) if rate.mode() == Mode::Enforce => {
            Err(call.refused(Reason::Rate { retry_after }, priority))
        }
        Err(_) => {
            call.metrics_of_service().rejected("rate", true, priority);
            Ok(())
        }
        Ok(()) => Ok(()),
    }
}

impl Drop for Admission {
    fn drop(&mut self) {
        if self.open || self.permit.is_some() || self.held != [false; 2] || self.key.is_some() {
            self.settle(&Err(None));
        }
    }
}
