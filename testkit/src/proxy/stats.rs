use std::collections::BTreeSet;

/// What a proxy has seen so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProxyStats {
    /// Whether it listens: not while it refuses.
    pub listening: bool,
    /// Connections accepted.
    pub accepted: u64,
    /// Connections open now.
    pub open: u64,
    /// Connections that could not be made to the server.
    pub unreachable: u64,
    /// From client to server.
    pub to_server: FlowStats,
    /// From server to client.
    pub to_client: FlowStats,
}

/// What went through in one direction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct FlowStats {
    /// Bytes read from the sender.
    pub bytes_read: u64,
    /// Bytes written to the receiver, the last write that failed included.
    pub bytes_written: u64,
    /// Writes to the receiver.
    pub writes: u64,
}

/// The counts, and which connections are open: a reset is done when none of those that it is for is left.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) stats: ProxyStats,
    pub(super) open: BTreeSet<u64>,
}
