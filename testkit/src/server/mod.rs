//! An HTTP/1.1 server that does what real ones only do in an outage.
//!
//! A client meets truncated bodies, garbage, floods and silence from servers that no well-made server library will
//! send. This one parses requests and otherwise writes what it is told, byte for byte, when it is told: a [`Script`]
//! for each connection or request, or a [`Reply`] where nothing is to go wrong. It has its own thread and runtime
//! (so a blocked or time-paused test cannot stop it), counts what it sees ([`ServerStats`]) for the client's figures
//! to be held against, and keeps the latest requests.
//!
//! Its limits are its own, above those a client should have: heads of 256 KiB, bodies of 16 MiB; what is above, or no
//! HTTP/1, is answered with 400 and counted as malformed.

mod builder;
mod handle;
mod play;
mod read;
mod record;
mod reply;
mod request;
mod script;
mod stats;
#[cfg(test)]
mod tests;
mod tls;
mod wire;

pub use builder::TestServerBuilder;
pub use handle::TestServer;
pub use reply::Reply;
pub use request::Request;
pub use script::{IntoScript, Script};
pub use stats::ServerStats;
pub use tls::{ClientIdentity, TlsIdentity};
