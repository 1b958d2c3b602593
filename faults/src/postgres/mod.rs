//! What goes wrong with a database: a real PostgreSQL, under a load of reads and writes.

mod database;
mod failover;
mod full;
mod given_up;
mod leaks;
mod process;
mod read_only;
mod terminated;

use crate::harness::Scenario;

pub(crate) fn all() -> Vec<Scenario> {
    vec![
        process::P1PG,
        process::P2PG,
        failover::P6PG,
        read_only::P8,
        terminated::P9,
        given_up::P10,
        leaks::P11,
        full::P12,
    ]
}
