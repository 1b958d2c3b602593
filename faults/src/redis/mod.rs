//! What goes wrong with a Redis: the rows of other folders that name it, each by its row's id and `_REDIS`, and those that
//! are about it alone. The servers are real ones.

mod frozen;
mod killed;
mod refusing;

use crate::harness::Scenario;

pub(crate) fn all() -> Vec<Scenario> {
    vec![killed::P1_REDIS, frozen::P2_REDIS, refusing::P4]
}
