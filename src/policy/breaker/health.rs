use super::{Breaker, Cause, State, Transition};
use crate::units::Tick;

impl Breaker {
    /// The service's own health check came back: `well`, or ill as often in a row as is borne.
    ///
    /// An ill one opens the breaker before calls have to find out; a good one ends the time that it is open, and the next
    /// call is the probe. What checks opened they end at once, since it is the same evidence; what calls opened, only
    /// once the reset time has passed, lest a downstream that answers pings and fails calls be let back in with each
    /// ping. For the same reason a check alone closes nothing. With `health_gate` no call is a probe before a check was
    /// well.
    pub fn checked(&self, well: bool, now: Tick) -> Option<Transition> {
        let word = self.word();
        match (word.state(), well) {
            // Open => HalfOpen
            (State::Open, true) if self.is_due(now) || self.was_opened_by_checks() => {
                self.half_open(word, Cause::HealthCheck, 0, now)
            }
            // Closed | HalfOpen => Open
            (State::Closed, false) if self.is_warming_up(now) => None,
            (State::Closed | State::HalfOpen, false) => {
                self.open(word.generation(), Cause::HealthCheck, self.window.totals(now), now)
            }
            _ => None,
        }
    }

    fn was_opened_by_checks(&self) -> bool {
        self.history.lock().cause == Cause::HealthCheck
    }

    /// Whether a call may be the probe that ends the time it is open.
    pub(super) fn may_probe(&self, now: Tick) -> bool {
        !self.settings.health_gate && self.is_due(now)
    }
}
