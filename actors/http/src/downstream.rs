use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use futures_util::{StreamExt, stream::FuturesUnordered};
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
    place::Place,
    propagate::Left,
    wire::{ConnectionPermits, Proxy, SetupError, WireSettings, Wires},
};

/// An HTTP/1.1 service: the kind `"http"`.
///
/// One value is one thread's share of the service's connections; their number is the process's, over all threads. Of several
/// endpoints each has connections of its own, as many as `pool` says: one that hangs holds none of the others'.
/// Opening makes no connection: a service that is down is told from one that is misconfigured by its first call, which
/// fails at once and is the breaker's to judge.
pub struct Http {
    pub(crate) settings: HttpSettings,
    /// Its endpoints, one at least, and after them where its redirects may lead.
    pub(crate) places: Vec<Place>,
    /// How many of the places are endpoints.
    pub(crate) endpoints: usize,
    service: Arc<str>,
    pub(crate) authorization: Authorization,
    pub(crate) proxy_authorization: Authorization,
    pub(crate) hook: Option<Arc<Hook>>,
    pub(crate) left: Left,
    /// Whether requests are neither changed by a hook nor led on by redirects.
    pub(crate) goes_straight: bool,
}

/// What a health check says that it has time for.
const LONGEST_CHECK: Duration = Duration::from_secs(60);

/// What the threads of one service share, made by the first that succeeds: a certificate that could not be read is read
/// again by the next one that opens.
#[derive(Default)]
struct SharedWires(Mutex<Option<Vec<Arc<Wires>>>>);

impl SharedWires {
    /// Those of each endpoint, in their order, and of each server that redirects may lead to.
    fn get(&self, settings: &HttpSettings, context: &OpenContext) -> Result<Vec<Arc<Wires>>, SetupError> {
        let mut made = self.0.lock();
        if let Some(wires) = &*made {
            return Ok(wires.clone());
        }
        let pool = context.pool();
        let at_least_one = |count| NonZeroUsize::new(count).unwrap_or(NonZeroUsize::MIN);
        let permits = || {
            ConnectionPermits::new(
                at_least_one(pool.max),
                at_least_one(pool.connect_concurrency),
                pool.acquire_timeout,
            )
        };
        let (first, others) = settings.targets();
        let first = Wires::new(
            WireSettings {
                tls: settings.tls().clone(),
                proxy: settings.proxy().cloned(),
                connect_timeout: context.connect_timeout(),
                max_header: settings.max_header(),
                min_idle: pool.min_idle,
                max_idle: pool.max_idle,
                idle_timeout: pool.idle_timeout,
                lifetime: pool.lifetime,
                ..WireSettings::new(first.clone())
            },
            permits(),
        )?;
        let mut wires = vec![Arc::clone(&first)];
        for other in others {
            wires.push(first.beside(other.clone(), permits())?);
        }
        for elsewhere in settings.redirect_to() {
            wires.push(first.elsewhere(elsewhere.clone(), permits())?);
        }
        Ok(made.insert(wires).clone())
    }
}

impl Http {
    /// Where an attempt goes. It may be meant for an endpoint of newer settings than these, for a moment: then to any.
    pub(crate) fn place(&self, attempt: &Attempt) -> &Place {
        let meant =
            attempt.endpoint().and_then(|meant| self.places.iter().find(|place| place.address == *meant));
        meant.unwrap_or(&self.places[0])
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
        let authorization = Authorization::default();
        let proxy_authorization = Authorization::default();
        let known_by = [
            (settings.auth(), &authorization),
            (settings.proxy().and_then(Proxy::auth), &proxy_authorization),
        ];
        for (auth, authorization) in known_by {
            if let Some(auth) = auth {
                authorization.get(auth).map_err(|failure| OpenError::new(failure.to_string()))?;
            }
        }
        let endpoints = Self::endpoints(settings);
        let (count, hook) = (endpoints.len(), context.extension::<Hook>());
        let elsewhere = settings.redirect_to().iter().map(|target| EndpointAddress::new(target.to_string()));
        let addresses = endpoints.into_iter().chain(elsewhere);
        let places = addresses.zip(&wires).map(|(address, wires)| Place::open(address, wires));
        Ok(Self {
            settings: settings.clone(),
            places: places.collect::<Result<_, _>>()?,
            endpoints: count,
            service: context.service().clone(),
            authorization,
            proxy_authorization,
            goes_straight: hook.is_none() && settings.redirects() == 0,
            hook,
            left: Left::default(),
        })
    }

    /// Asks the path of `http.health`, of all endpoints at once: the service is well if one of them is. Without a path, every
    /// service is taken for well.
    async fn check(&self) -> Result<(), Failure> {
        let Some(path) = self.settings.health() else { return Ok(()) };
        let mut asked: FuturesUnordered<_> = self.places[..self.endpoints]
            .iter()
            .map(|place| async {
                // Bounded by `health.timeout`, not by this.
                let attempt = Attempt::new(self.service.clone(), "health", Instant::now() + LONGEST_CHECK)
                    .at(place.address.clone());
                self.send::<Empty>(Request::get().path(path), &attempt).await
            })
            .collect();
        let mut unwell = Ok(());
        while let Some(answer) = asked.next().await {
            if answer.is_ok() {
                return answer;
            }
            unwell = answer;
        }
        unwell
    }

    /// Closes idle connections at once, and those in use when their requests end.
    async fn close(&self) {
        self.places.iter().for_each(Place::retire);
    }

    /// Of all endpoints together, and of where redirects lead.
    fn pool(context: &OpenContext) -> Option<PoolFigures> {
        let shared = context.find_shared::<SharedWires>()?;
        let wires = shared.0.lock().clone()?;
        let (first, others) = wires.split_first()?;
        let mut figures = first.figures();
        for other in others {
            // The counts are one for all; what there may be and is, each has by itself.
            let permits = other.permits();
            figures.max += permits.max();
            figures.idle += permits.idle();
            figures.waiting += permits.waiting();
        }
        Some(figures)
    }

    fn endpoints(settings: &HttpSettings) -> Vec<EndpointAddress> {
        let ((first, others), base) = (settings.targets(), settings.base());
        let targets = std::iter::once(first).chain(others);
        targets.map(|target| EndpointAddress::new(format!("{target}{base}"))).collect()
    }
}

impl std::fmt::Debug for Http {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Http(")?;
        for (index, place) in self.places.iter().enumerate() {
            write!(f, "{}{}", if index == 0 { "" } else { ", " }, place.address)?;
        }
        f.write_str(")")
    }
}
