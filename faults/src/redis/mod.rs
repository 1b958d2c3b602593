//! What goes wrong with a Redis: the rows of other folders that name it, each by its row's id and `_REDIS`, and those that
//! are about it alone. The servers are real ones.

mod frozen;
mod full;
mod hostile;
mod killed;
mod promoted;
mod refusing;
mod sliced;

use crate::harness::Scenario;

pub(crate) fn all() -> Vec<Scenario> {
    vec![
        killed::P1_REDIS,
        frozen::P2_REDIS,
        refusing::P4,
        promoted::P6,
        promoted::P6_KILLED,
        full::P13,
        sliced::N23_REDIS,
        hostile::X13,
    ]
}
