use super::{CallState, endpoints::Chosen, gate::Passed, keyed::KeyHold, plan::Plan};
use crate::{
    call::Priority,
    downstream::{Blame, EndpointAddress, Failure, Symptom},
    policy::{EndpointSet, blame::Verdict, breaker::Permit},
    telemetry::{AttemptResult, Try},
    units::Tick,
};

/// What one attempt holds of the policies. It gives all back exactly once, with the attempt's outcome; dropped without one,
/// the attempt was cancelled.
pub(crate) struct Admission<'a> {
    call: &'a CallState,
    held: Held,
}

/// A breaker's permit, places in bulkheads: what is held by itself, without the call that it is held for.
pub(crate) struct Held {
    permit: Option<Permit>,
    /// What came of passing the call's gates.
    gates: [Passed; 2],
    /// The endpoint that the attempt goes to, of several.
    chosen: Option<Box<Chosen>>,
    /// What it holds of its key's policies, where it has a key.
    key: Option<Box<KeyHold>>,
    which: Try,
    /// The priority that its outcome tells the throttle of, where it does.
    counts: Option<Priority>,
    started: Tick,
    open: bool,
}

impl Held {
    fn nothing(which: Try, started: Tick) -> Self {
        Self {
            permit: None,
            gates: Default::default(),
            chosen: None,
            key: None,
            which,
            counts: None,
            started,
            open: false,
        }
    }
}

impl<'a> Admission<'a> {
    /// Nothing is held yet.
    pub(crate) fn new(call: &'a CallState, which: Try, now: Tick) -> Self {
        Self { call, held: Held::nothing(which, now) }
    }

    /// Tells the throttle what becomes of the attempt.
    pub(crate) fn counts_as(&mut self, priority: Priority) {
        self.held.counts = Some(priority);
    }

    /// What was [left](Self::leave) behind.
    pub(crate) fn resume(call: &'a CallState, held: Held) -> Self {
        Self { call, held }
    }

    /// Leaves what is held behind, for who finishes it instead.
    pub(crate) fn leave(&mut self) -> Held {
        let nothing = Held::nothing(self.held.which, self.held.started);
        std::mem::replace(&mut self.held, nothing)
    }

    /// Holds this of the call's gate of this number.
    pub(crate) fn hold(&mut self, gate: usize, passed: Passed) {
        self.held.gates[gate] = passed;
    }

    /// Holds something of its key's policies.
    pub(crate) fn hold_key(&mut self, key: KeyHold) {
        self.held.key = Some(Box::new(key));
    }

    /// Asks the breaker, and chooses the endpoint. From here on the attempt is under way.
    pub(crate) fn admit(&mut self, plan: &Plan, now: Tick) -> Result<(), crate::call::Reason> {
        if let Some(key) = &mut self.held.key {
            key.admit(self.call, plan.priority, now)?;
        }
        if let Some(breaker) = &self.call.breaker {
            self.held.permit = breaker.admit(self.call, plan.priority, now)?;
        }
        self.held.started = now;
        if let Some(endpoints) = &self.call.endpoints {
            let other = self.call.settings.retry.as_ref().is_none_or(|retry| retry.other_endpoint);
            let tried = if other { plan.tried.get() } else { EndpointSet::EMPTY };
            let chosen = endpoints.choose(self.call, plan.priority, tried, now)?;
            plan.tried.add(chosen.index());
            self.held.chosen = Some(chosen);
        }
        self.held.open = true;
        Ok(())
    }

    /// Where the attempt goes, of several endpoints.
    pub(crate) fn endpoint(&self) -> Option<&EndpointAddress> {
        self.held.chosen.as_ref().map(|chosen| chosen.address())
    }

    /// Ends the attempt, and tells when: `Err(None)` where it never started or was lost, which says nothing about the
    /// downstream.
    pub(crate) fn finish(&mut self, outcome: &Result<(), Option<Failure>>) -> Tick {
        self.settle(outcome)
    }

    /// Gives back what is held, if anything is: the attempt was cancelled.
    pub(crate) fn cancel(&mut self) {
        let Held { permit, gates, chosen, key, open, .. } = &self.held;
        let places = !matches!(gates, [Passed::Not, Passed::Not]);
        if *open || permit.is_some() || chosen.is_some() || key.is_some() || places {
            self.settle(&Err(None));
        }
    }

    fn settle(&mut self, outcome: &Result<(), Option<Failure>>) -> Tick {
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
        let elapsed = now.since(self.held.started);
        let chosen = self.held.chosen.take();
        let tells = chosen.is_none_or(|chosen| chosen.left(self.call, outcome, self.held.started, now));
        let mut verdict = if tells { verdict } else { Verdict::Neutral };
        if let Some(key) = self.held.key.take() {
            let started = self.held.open.then_some(self.held.started);
            verdict = key.settle(self.call, outcome, verdict, started, now);
        }
        let mut opened = false;
        if let (Some(permit), Some(breaker)) = (self.held.permit.take(), &self.call.breaker) {
            let failure = outcome.as_ref().err().and_then(Option::as_ref);
            opened = breaker.record(self.call, permit, verdict, elapsed, now, failure);
        }
        let started = self.held.open.then_some(self.held.started);
        for (gate, passed) in self.call.gates.iter().zip(&mut self.held.gates) {
            if let Some(gate) = gate {
                gate.settle(self.call, std::mem::take(passed), outcome, started, now);
                if opened && let Some(breaker) = &self.call.breaker {
                    gate.flush_of(breaker);
                }
            }
        }
        if std::mem::take(&mut self.held.open) {
            self.call.metrics().attempted(self.held.which, result, elapsed);
            if let (Some(throttle), Some(priority)) = (&self.call.throttle, self.held.counts) {
                match outcome {
                    Ok(()) => throttle.record(priority as usize, None, now),
                    Err(Some(failure)) => throttle.record(priority as usize, Some(failure.blame()), now),
                    Err(None) => {}
                }
            }
            if let (Some(hedge), Try::First) = (&self.call.hedge, self.held.which) {
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
        now
    }
}

impl Drop for Admission<'_> {
    fn drop(&mut self) {
        self.cancel();
    }
}
