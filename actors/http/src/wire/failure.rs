use std::{error::Error, fmt, io, time::Duration};

use awc::error::{ConnectError, SendRequestError};

use super::{NoTunnel, Target, TlsReason};

/// Why a request got no connection. Nothing of the request was sent.
#[derive(Debug)]
pub(crate) struct ConnectFailure {
    target: String,
    cause: Cause,
}

/// What kept a connection from being made.
#[derive(Debug)]
pub(crate) enum Cause {
    /// Every connection that the process may have to this service was in use for as long as one may wait.
    PoolTimeout {
        /// How long was waited.
        waited: Duration,
        /// How many connections there may be.
        max: usize,
    },
    /// The connection was not made in time.
    ConnectTimeout {
        /// What was being done when the time ran out.
        stage: Stage,
        /// The time there was for all stages.
        limit: Duration,
    },
    /// The server's name has no address.
    Dns(io::Error),
    /// Nobody listens there.
    Refused(io::Error),
    /// TLS was not agreed upon; nothing was sent in the clear.
    Tls {
        /// In one word, for labels.
        reason: TlsReason,
        /// As rustls says it.
        source: rustls::Error,
    },
    /// The proxy opened no way to the server.
    Proxy(NoTunnel),
    /// This machine or process is out of descriptors, ports or memory.
    LocalLimit(io::Error),
    /// Any other failure of the network.
    Io {
        /// What was being done.
        stage: Stage,
        /// As the system says it.
        source: io::Error,
    },
}

/// The steps to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Stage {
    /// Waiting while as many connections as allowed are being made.
    Turn,
    /// Looking up the server's name.
    Dns,
    /// The TCP handshake.
    Tcp,
    /// Asking the proxy for a way to the server.
    Proxy,
    /// The TLS handshake.
    Tls,
}

impl ConnectFailure {
    /// Names whoever it was about: the proxy, where there is one that was not reached.
    pub(super) fn new(target: &Target, proxy: Option<&Target>, cause: Cause) -> Self {
        let target = match proxy {
            Some(proxy) if cause.is_before_the_proxy() => format!("the proxy {proxy}"),
            _ => target.to_string(),
        };
        Self { target, cause }
    }

    /// Finds the failure again in what awc made of it; `None` for errors that are not of connecting.
    pub(crate) fn find(error: &SendRequestError) -> Option<&Self> {
        match error {
            SendRequestError::Connect(ConnectError::Io(error)) => error.get_ref()?.downcast_ref(),
            _ => None,
        }
    }

    /// What happened.
    pub(crate) fn cause(&self) -> &Cause {
        &self.cause
    }
}

/// awc carries a connector's error only as one of its own; an `io::Error` is the one that keeps a type inside.
impl From<ConnectFailure> for actix_tls::connect::ConnectError {
    fn from(failure: ConnectFailure) -> Self {
        let kind = match &failure.cause {
            Cause::PoolTimeout { .. } | Cause::ConnectTimeout { .. } => io::ErrorKind::TimedOut,
            Cause::Dns(error) | Cause::Refused(error) | Cause::LocalLimit(error) => error.kind(),
            Cause::Io { source, .. } => source.kind(),
            Cause::Tls { .. } | Cause::Proxy(_) => io::ErrorKind::InvalidData,
        };
        Self::Io(io::Error::new(kind, failure))
    }
}

impl Cause {
    /// Judges an error of the network at a stage.
    pub(super) fn of(stage: Stage, error: io::Error) -> Self {
        if let Some(source) = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            return Self::Tls { reason: TlsReason::of(source), source: source.clone() };
        }
        if let Some(refusal) = error.get_ref().and_then(|inner| inner.downcast_ref::<NoTunnel>()) {
            return Self::Proxy(*refusal);
        }
        if is_local_limit(&error) {
            return Self::LocalLimit(error);
        }
        match (stage, error.kind()) {
            (Stage::Dns, _) => Self::Dns(error),
            (_, io::ErrorKind::ConnectionRefused) => Self::Refused(error),
            _ => Self::Io { stage, source: error },
        }
    }

    /// Whether it kept from reaching whoever is connected to first.
    fn is_before_the_proxy(&self) -> bool {
        match self {
            Self::Dns(_) | Self::Refused(_) => true,
            Self::ConnectTimeout { stage, .. } | Self::Io { stage, .. } => {
                matches!(stage, Stage::Dns | Stage::Tcp | Stage::Proxy)
            }
            Self::PoolTimeout { .. } | Self::Tls { .. } | Self::Proxy(_) | Self::LocalLimit(_) => false,
        }
    }
}

/// No descriptor left for the process or the system, no local port left, no memory for the kernel's buffers.
fn is_local_limit(error: &io::Error) -> bool {
    const EMFILE: i32 = 24;
    const ENFILE: i32 = 23;
    matches!(error.kind(), io::ErrorKind::AddrNotAvailable | io::ErrorKind::OutOfMemory)
        || cfg!(unix) && matches!(error.raw_os_error(), Some(EMFILE | ENFILE))
}

impl fmt::Display for ConnectFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let target = &self.target;
        match &self.cause {
            Cause::PoolTimeout { waited, max } => write!(
                f,
                "no connection to {target} came free in {waited:?}: all {max} of this process are in use; \
                 raise `pool.max` or lower `bulkhead.max_in_flight`"
            ),
            Cause::ConnectTimeout { stage, limit } => {
                write!(f, "no connection to {target} within {limit:?} (`connect_timeout`): ran out {stage}")
            }
            Cause::Dns(_) => write!(f, "no address for {target}"),
            Cause::Refused(_) => write!(f, "{target} refused the connection: nothing listens there"),
            Cause::Tls { reason, .. } => write!(f, "no TLS with {target}: {reason}"),
            Cause::Proxy(refusal) => write!(f, "no way to {target}: {refusal}"),
            Cause::LocalLimit(_) => {
                write!(f, "this machine could open no connection to {target}: a limit of its own was reached")
            }
            Cause::Io { stage, .. } => write!(f, "the connection to {target} failed {stage}"),
        }
    }
}

impl Error for ConnectFailure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match &self.cause {
            Cause::Dns(error) | Cause::Refused(error) | Cause::LocalLimit(error) => Some(error),
            Cause::Io { source, .. } => Some(source),
            Cause::Tls { source, .. } => Some(source),
            Cause::PoolTimeout { .. } | Cause::ConnectTimeout { .. } | Cause::Proxy(_) => None,
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Turn => "waiting for its turn to connect",
            Self::Dns => "looking up the name",
            Self::Tcp => "in the TCP handshake",
            Self::Proxy => "asking for a way to the server",
            Self::Tls => "in the TLS handshake",
        })
    }
}
