//! A TCP proxy that is the faulty network between a client and a real server.
//!
//! Servers do not misbehave on order, networks even less. Put before any address, the proxy does on order what a
//! network or a dying peer does, on the wire and not in a mock: nobody listens, bytes stop, connections reset, come
//! late, slowly, in crumbs, half, changed, or only one way. Each direction has its [`Flow`] of faults, and both can be
//! changed while connections are open; [`heal`](FaultProxy::heal) takes all of it back.
//!
//! Randomness (jitter, sizes of slices) is drawn from a seed, by connection and direction, so that a failure replays.
//!
//! The proxy ends the TCP connection on either side. Hence what it cannot do: a client's handshake succeeds even
//! where the server would hang in it, and the client's bytes are acknowledged before the server has them. If the
//! server cannot be reached, the client gets a reset. For a handshake that hangs, see
//! [`TestServerBuilder::never_accept`](crate::TestServerBuilder::never_accept).

mod connection;
mod flow;
mod handle;
mod listen;
mod plan;
mod pump;
mod random;
mod stats;
#[cfg(test)]
mod tests;

pub use flow::{Cut, End, Flow};
pub use handle::FaultProxy;
pub use plan::Direction;
pub use stats::{FlowStats, ProxyStats};
