use std::{cell::Cell, num::NonZeroUsize, sync::Arc, time::Duration};

use awc::http::header::{HeaderValue, InvalidHeaderValue};
use parking_lot::Mutex;
use seawall::{
    call::Attempt,
    downstream::{Downstream, EndpointAddress, Failure, OpenContext, OpenError, PoolFigures},
};
use serde::Serialize;
use tokio::time::Instant;

use crate::{
    Empty, Hook, HttpSettings, Request,
    auth::Authorization,
    propagate::Left,
    request::Template,
    wire::{Client, ConnectionPermits, SetupError, Wire, WireSettings, Wires},
};

/// An HTTP/1.1 service: the kind `"http"`.
///
/// One value is one thread's share of the service's connections; their number is the process's, over all threads.
/// Opening makes no connection: a service that is down is told from one that is misconfigured by its first call, which
/// fails at once and is the breaker's to judge.
pub struct Http {
    pub(crate) settings: HttpSettings,
    pub(crate) host: HeaderValue,
    service: Arc<str>,
    pub(crate) authorization: Authorization,
    pub(crate) hook: Option<Arc<Hook>>,
    pub(crate) template: Template,
    pub(crate) left: Left,
    pub(crate) client: Client,
    /// Grows whenever the service begins an answer to this thread, or goes on with it.
    pub(crate) answers: Cell<u64>,
    wire: Wire,
}

/// What a health check says that it has time for.
const LONGEST_CHECK: Duration = Duration::from_secs(60);

/// What the threads of one service share, made by the first that succeeds: a certificate that could not be read is read
/// again by the next one that opens.
#[derive(Default)]
struct SharedWires(Mutex<Option<Arc<Wires>>>);

impl SharedWires {
    fn get(&self, settings: &HttpSettings, context: &OpenContext) -> Result<Arc<Wires>, SetupError> {
        let mut made = self.0.lock();
        if let Some(wires) = &*made {
            return Ok(wires.clone());
        }
        let pool = context.pool();
        let at_least_one = |count| NonZeroUsize::new(count).unwrap_or(NonZeroUsize::MIN);
        let permits = ConnectionPermits::new(
            at_least_one(pool.max),
            at_least_one(pool.connect_concurrency),
            pool.acquire_timeout,
        );
        let wires = Wires::new(
            WireSettings {
                tls: settings.tls().clone(),
                connect_timeout: context.connect_timeout(),
                max_idle: pool.max_idle,
                idle_timeout: pool.idle_timeout,
                lifetime: pool.lifetime,
                ..WireSettings::new(settings.target().clone())
            },
            permits,
        )?;
        Ok(made.insert(wires).clone())
    }
}

impl Http {
    /// What this thread shares with the service's others.
    pub(crate) fn wires(&self) -> &Wires {
        self.wire.wires()
    }
}

impl Downstream for Http {
    const KIND: &'static str = "http";

    /// HTTP/1.1 has one request at a time on a connection.
    const POOLED: bool = true;

    type Settings = HttpSettings;

    fn explain(settings: &HttpSettings) -> impl Serialize {
        crate::explain::explain(settings)
    }

    async fn open(settings: &HttpSettings, context: &OpenContext) -> Result<Self, OpenError> {
        let failed = |error: SetupError| OpenError::new(error.to_string());
        let shared = context.shared(SharedWires::default);
        let wires = shared.get(settings, context).map_err(failed)?;
        let wire = Wire::new(&wires);
        let client = wire.client().map_err(failed)?;
        let authorization = Authorization::default();
        if let Some(auth) = settings.auth() {
            authorization.get(auth).map_err(|failure| OpenError::new(failure.to_string()))?;
        }
        let host = HeaderValue::from_str(&settings.target().host_header())
            .map_err(|error: InvalidHeaderValue| OpenError::new(format!("`url` cannot be used: {error}")))?;
        Ok(Self {
            settings: settings.clone(),
            host,
            service: context.service().clone(),
            authorization,
            hook: context.extension::<Hook>(),
            template: Template::unique(),
            left: Left::default(),
            client,
            answers: Cell::new(0),
            wire,
        })
    }

    /// Asks the path of `http.health`; without one, every service is taken for well.
    async fn check(&self) -> Result<(), Failure> {
        let Some(path) = self.settings.health() else { return Ok(()) };
        // Bounded by `health.timeout`, not by this.
        let attempt = Attempt::new(self.service.clone(), "health", Instant::now() + LONGEST_CHECK);
        self.send::<Empty>(Request::get().path(path), &attempt).await
    }

    /// Closes idle connections at once, and those in use when their requests end.
    async fn close(&self) {
        self.wire.retire();
    }

    fn pool(context: &OpenContext) -> Option<PoolFigures> {
        context.find_shared::<SharedWires>()?.0.lock().as_ref().map(|wires| wires.figures())
    }

    fn endpoints(settings: &HttpSettings) -> Vec<EndpointAddress> {
        vec![EndpointAddress::new(format!("{}{}", settings.target(), settings.base()))]
    }
}

impl std::fmt::Debug for Http {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Http({}{})", self.settings.target(), self.settings.base())
    }
}
