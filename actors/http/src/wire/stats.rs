use std::{
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use seawall::policy::latency::Histogram;

use super::Cause;

macro_rules! counters {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// What became of a service's connections, counted over all threads since its start.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub(crate) struct WireCounts {
            $($(#[$doc])* pub(crate) $name: u64,)*
        }

        #[derive(Default)]
        pub(super) struct WireStats {
            $(pub(super) $name: Counter,)*
            pub(super) wait_time: Times,
            pub(super) create_time: Times,
        }

        impl WireStats {
            pub(super) fn read(&self) -> WireCounts {
                WireCounts { $($name: self.$name.0.load(Relaxed),)* }
            }
        }
    };
}

counters! {
    /// Connections made. Less `closed`, these are open.
    created,
    /// Requests that went over a connection that had served one before.
    reused,
    /// Connections passed on to a request of the same thread that waited.
    passed_on,
    /// Connections closed, by whomever.
    closed,
    /// Of the closed: idle for too long.
    closed_idle,
    /// Of the closed: too old.
    closed_lifetime,
    /// Of the closed: more idle ones than are kept.
    closed_surplus,
    /// Of the closed: no longer wanted, as the service's pool is being replaced.
    closed_retired,
    /// Of the closed: idle from before the server stopped answering.
    closed_distrusted,
    /// Of the closed: ended by the server while idle.
    closed_by_server,
    /// Of the closed: given up to another request that waited.
    closed_given_up,
    /// Requests that found no connection free in time.
    pool_timeouts,
    /// Connections not made in time.
    connect_timeouts,
    /// Look-ups of the name that failed.
    dns_errors,
    /// Connections refused.
    refused,
    /// TLS handshakes that failed.
    tls_errors,
    /// Connections that a proxy opened no way for.
    proxy_errors,
    /// Connections not made for a limit of this machine.
    local_limits,
    /// Connections that failed otherwise.
    io_errors,
}

#[derive(Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn increment(&self) {
        self.0.fetch_add(1, Relaxed);
    }
}

/// How long something took, each time: some kilobytes, once there is something to count.
#[derive(Default)]
pub(super) struct Times(OnceLock<Arc<Histogram>>);

impl Times {
    pub(super) fn record(&self, took: Duration) {
        self.0.get_or_init(Arc::default).record(took);
    }

    pub(super) fn read(&self) -> Option<Arc<Histogram>> {
        self.0.get().cloned()
    }
}

impl WireStats {
    pub(super) fn failed(&self, cause: &Cause) {
        match cause {
            Cause::PoolTimeout { .. } => &self.pool_timeouts,
            Cause::ConnectTimeout { .. } => &self.connect_timeouts,
            Cause::Dns(_) => &self.dns_errors,
            Cause::Refused(_) => &self.refused,
            Cause::Tls { .. } => &self.tls_errors,
            Cause::Proxy(_) => &self.proxy_errors,
            Cause::LocalLimit(_) => &self.local_limits,
            Cause::Io { .. } => &self.io_errors,
        }
        .increment();
    }
}
