use std::sync::Arc;

use crate::policy::latency::Histogram;

/// What the connections of a service are doing, over all its shards: what [`Downstream::pool`](super::Downstream::pool)
/// tells snapshots and metrics. Counts are since the service's settings last changed.
#[derive(Clone, Debug, Default)]
pub struct PoolFigures {
    /// Connections that there may be.
    pub max: usize,
    /// Connections that are open.
    pub open: usize,
    /// Of these, how many wait for a request.
    pub idle: usize,
    /// Requests that wait for a connection to come free.
    pub waiting: usize,
    /// Connections made.
    pub created: u64,
    /// Connections closed, by whomever.
    pub closed: u64,
    /// Requests that went over a connection that had served one before.
    pub reused: u64,
    /// Requests that found no connection free in time.
    pub timeouts: u64,
    /// How long those waited that found none free at once; `None` where none did.
    pub wait_time: Option<Arc<Histogram>>,
    /// How long connections took to make; `None` where none was.
    pub create_time: Option<Arc<Histogram>>,
}
