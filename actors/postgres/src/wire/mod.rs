//! Connections below tokio-postgres: how one is dialled and encrypted, and what can be read off it while it passes.

mod dial;
mod facts;
mod stream;
mod tls;

pub(crate) use dial::{DialError, Dialled, Dialler, Endpoint};
pub(crate) use facts::{Facts, Left};
pub(crate) use stream::Stream;
pub(crate) use tls::{SetupError, Tls};
