//! All scenarios, by their ids.

use crate::harness::Scenario;
use crate::{cache, caller, network, postgres, process, redis, runtime, security, system};

/// In the order that they are played in.
pub(crate) fn all() -> Vec<Scenario> {
    [
        network::all(),
        process::all(),
        postgres::all(),
        caller::all(),
        runtime::all(),
        cache::all(),
        redis::all(),
        security::all(),
        system::all(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
