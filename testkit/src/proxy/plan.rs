use super::{Flow, FlowStats, ProxyStats};

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the client to the server: requests.
    ToServer,
    /// From the server to the client: replies.
    ToClient,
}

impl Direction {
    pub(super) fn of(self, stats: &mut ProxyStats) -> &mut FlowStats {
        match self {
            Self::ToServer => &mut stats.to_server,
            Self::ToClient => &mut stats.to_client,
        }
    }
}

/// What the proxy is to do, as its tasks see it.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) listening: bool,
    /// Connections up to this number are reset.
    pub(super) reset_up_to: u64,
    /// Connections are reset as they come.
    pub(super) resets_new: bool,
    pub(super) to_server: Flow,
    pub(super) to_client: Flow,
}

impl Plan {
    pub(super) fn flow(&self, direction: Direction) -> &Flow {
        match direction {
            Direction::ToServer => &self.to_server,
            Direction::ToClient => &self.to_client,
        }
    }

    pub(super) fn flow_mut(&mut self, direction: Direction) -> &mut Flow {
        match direction {
            Direction::ToServer => &mut self.to_server,
            Direction::ToClient => &mut self.to_client,
        }
    }
}
