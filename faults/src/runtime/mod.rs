//! What goes wrong in the runtime itself, and in the process around it.

mod arbiter_death;
mod attempt_panics;
mod flood;
mod open_panics;
mod paused;
mod reloads;
mod wall_clock;

use crate::harness::Scenario;

pub(crate) fn all() -> Vec<Scenario> {
    vec![
        attempt_panics::R1,
        open_panics::R2,
        arbiter_death::R4,
        flood::R5,
        wall_clock::R7,
        paused::R8,
        reloads::R9,
        reloads::R10,
    ]
}
