use super::CallState;
use crate::{
    call::{Priority, Reason},
    policy::{Mode, throttle::Throttle},
    units::Tick,
};

impl CallState {
    /// Asks the throttle; whether what becomes of the attempt is to be told to it. A shadow that would refuse lets pass,
    /// and goes by its own refusal alone.
    pub(super) fn throttle(
        &self,
        throttle: &Throttle,
        priority: Priority,
        now: Tick,
    ) -> Result<bool, Reason> {
        if throttle.mode() == Mode::Off {
            return Ok(false);
        }
        match throttle.admit(priority as usize, || self.environment.random(), now) {
            Ok(()) => Ok(true),
            Err(_) if throttle.mode() == Mode::Shadow => {
                self.metrics_of_service().rejected("throttle", true, priority);
                Ok(false)
            }
            Err(throttled) => Err(self.refused(Reason::Throttled(throttled), priority)),
        }
    }
}
