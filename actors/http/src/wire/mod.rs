//! The connections under awc: how they are made, counted, watched and given up.
//!
//! awc's own connector leaves out what a client that must survive its servers needs. Its limit is a client's, so a
//! process with one client a thread has as many times the connections; a wait for it ends as a plain timeout that
//! nobody can tell from a slow server; idle connections stay open until the next request looks at them; there is no
//! cache of names, no TCP_NODELAY, and building its TLS panics where the process has no rustls provider, or two. So awc
//! is used without TLS: [`Wire`] is the service below it that makes TCP and TLS itself and hands it the decrypted
//! stream. awc then speaks plain HTTP/1.1 with the `Host` header that the caller sets ([`Target::host_header`]), and what
//! is encrypted, and to whom, is decided here alone. [`Client`] is the part of awc that is above it.
//!
//! The parts, from below:
//! - [`Target`] is where the server is, [`TlsSettings`] whom to trust: both validated once.
//! - [`ConnectionPermits`] are a service's: every open connection of every thread holds one, waits are bounded and in
//!   order, and a thread with idle connections gives one up to a thread that waits.
//! - [`Wires`] is what the threads of one service share: permits, the TLS configuration, the name's addresses, counts.
//!   [`Wire`] is one thread's, and `!Send` like awc.
//! - [`Exchange`] is one request's. Sent through it, the request leaves notes on what became of it: whether a byte of it
//!   left, whether a byte of an answer came, whether the connection had been used before. [`Answer`] is what it brings,
//!   and in whose lifetime the connection is nobody else's.
//! - `guard` shows awc only such heads of answers as it reads right; what it holds back is a [`BadHead`].
//! - [`ConnectFailure`] is why there is no connection. It travels through awc's errors and is found again by
//!   [`ConnectFailure::find`].
//! - [`Proxy`] is what connections go through, where the settings name one. Nothing here reads a proxy variable.

mod client;
mod dial;
mod exchange;
mod failure;
mod guard;
mod permits;
mod proxy;
mod resolve;
mod service;
mod settings;
mod shard;
mod spares;
mod stats;
mod stream;
mod target;
mod tls;

#[cfg(test)]
mod tests;

pub(crate) use client::{Client, Sending};
pub(crate) use exchange::{Answer, Asking, Exchange};
pub(crate) use failure::{Cause, ConnectFailure, Stage};
pub(crate) use guard::BadHead;
pub(crate) use permits::ConnectionPermits;
pub(crate) use proxy::{NoTunnel, Proxy};
pub(crate) use service::{Wire, Wires};
pub(crate) use settings::{PemSource, Roots, SetupError, TlsSettings, TlsVersion, WireSettings};
pub(crate) use stats::WireCounts;
pub(crate) use target::Target;
pub(crate) use tls::TlsReason;
