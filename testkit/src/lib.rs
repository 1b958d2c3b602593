//! Misbehaving servers, fault proxies, scripted downstreams and mocks for tests with seawall.
//!
//! A resilient client is proved against what goes wrong, and what goes wrong must be there on demand:
//!
//! - [`TestServer`] an HTTP/1.1 server that sends any bytes at any time, over TCP or TLS, and counts what it sees.
//! - [`FaultProxy`] stands before any real server and refuses, hangs, resets, delays, narrows, slices, cuts, loses or
//!   corrupts what goes through, switched at run time.
//! - [`Process`] a real server as a child: killed, frozen and woken by the test, and never left behind.
//! - [`RedisServer`], [`RedisSentinels`], [`RedisCluster`] real servers of Redis, alone or in sets.
//! - [`servers`] PostgreSQL itself, on a free port.
//! - [`Scripted`] a downstream without a socket, that does what a [`Behaviour`] says.
//! - [`mock`] a service without a downstream, for the unit tests of handlers.
//! - [`kind_conformance`] holds a kind of downstream to what the policies rely on.
//! - [`virtual_time`] an hour of backoff in milliseconds, with actors.
//! - [`sim`] a whole runtime in virtual time, under faults that a seed determines.
//!
//! Servers, proxies and processes have threads of their own and wait in real time, whatever the test's runtime and
//! clock. A test waits for conditions (`wait_for_requests`, `wait_for_line`, a [`Gate`]), never for time to pass.
//!
//! Everything here panics with a text where a test could only unwrap: there is nothing to recover in a test whose
//! server does not start.

mod clock;
mod conformance;
mod gate;
mod mock;
mod port;
mod process;
mod proxy;
mod scripted;
mod server;
pub mod servers;
pub mod sim;
mod worker;

pub use clock::virtual_time;
pub use conformance::{Subject, kind_conformance};
pub use gate::Gate;
pub use mock::{Mock, mock};
pub use process::Process;
pub use proxy::{Cut, Direction, End, FaultProxy, Flow, FlowStats, ProxyStats};
pub use scripted::{
    Ask, Asked, Behaviour, Capacity, Change, Echo, Lookup, Opening, Reaction, Scripted, ScriptedSettings,
};
pub use server::{
    ClientIdentity, IntoScript, Reply, Request, Script, ServerStats, TestServer, TestServerBuilder,
    TlsIdentity,
};
pub use servers::{RedisBuilder, RedisCluster, RedisSentinels, RedisServer};
