//! What goes wrong with the downstream's own process.

mod frozen;
mod killed;
mod replicas;
mod slow_start;

pub(crate) use frozen::judge_reuse;

use crate::harness::Scenario;

pub(crate) fn all() -> Vec<Scenario> {
    vec![killed::P1, frozen::P2, replicas::P5, slow_start::P14, replicas::P15]
}
