use std::{
    cell::Cell,
    io,
    rc::Rc,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use actix_service::Service;
use actix_tls::connect::{ConnectError, ConnectInfo, Connection};
use awc::http::Uri;
use futures_util::future::LocalBoxFuture;
use seawall::downstream::PoolFigures;
use tokio::time::{Instant, timeout};

use super::{
    Cause, Client, ConnectFailure, ConnectionPermits, Proxy, SetupError, Stage, Target, TlsSettings,
    WireCounts, WireSettings,
    dial::dial,
    exchange::Record,
    permits::Exhausted,
    resolve::Resolver,
    shard::{Shard, Waited},
    spares::Spares,
    stats::WireStats,
    stream::{Socket, WireStream},
    tls::Tls,
};

/// What the threads of one service share of its connections.
pub(crate) struct Wires {
    settings: WireSettings,
    tls: Option<Tls>,
    permits: Arc<ConnectionPermits>,
    resolver: Arc<Resolver>,
    /// Those of all endpoints of a service together.
    stats: Arc<WireStats>,
    epoch: AtomicU64,
}

impl Wires {
    /// Reads the certificates that the settings name. Blocks for that.
    ///
    /// # Errors
    /// For settings that no connection can be made with: whom to trust is decided here, and never left open.
    pub(crate) fn new(
        settings: WireSettings,
        permits: Arc<ConnectionPermits>,
    ) -> Result<Arc<Self>, SetupError> {
        Self::made(settings, permits, Arc::default())
    }

    /// The same to another endpoint of the service, with permits of its own.
    ///
    /// # Errors
    /// As those of [`new`](Self::new).
    pub(crate) fn beside(
        &self,
        target: Target,
        permits: Arc<ConnectionPermits>,
    ) -> Result<Arc<Self>, SetupError> {
        self.with(WireSettings { target, ..self.settings.clone() }, permits)
    }

    /// The same to another server, which learns nothing of who we are.
    ///
    /// # Errors
    /// As those of [`new`](Self::new).
    pub(crate) fn elsewhere(
        &self,
        target: Target,
        permits: Arc<ConnectionPermits>,
    ) -> Result<Arc<Self>, SetupError> {
        let tls = if target.is_tls() { self.settings.tls.for_strangers() } else { TlsSettings::default() };
        self.with(WireSettings { target, tls, min_idle: 0, ..self.settings.clone() }, permits)
    }

    fn with(&self, settings: WireSettings, permits: Arc<ConnectionPermits>) -> Result<Arc<Self>, SetupError> {
        Self::made(settings, permits, Arc::clone(&self.stats))
    }

    fn made(
        settings: WireSettings,
        permits: Arc<ConnectionPermits>,
        stats: Arc<WireStats>,
    ) -> Result<Arc<Self>, SetupError> {
        let first = settings.proxy.as_ref().map_or(&settings.target, Proxy::server);
        Ok(Arc::new(Self {
            tls: Tls::new(&settings.target, &settings.tls)?,
            resolver: Resolver::new(first.host(), first.port()),
            settings,
            permits,
            stats,
            epoch: AtomicU64::new(0),
        }))
    }

    /// Where the connections lead.
    pub(crate) fn target(&self) -> &Target {
        &self.settings.target
    }

    /// What they go through.
    pub(crate) fn proxy(&self) -> Option<&Proxy> {
        self.settings.proxy.as_ref()
    }

    /// How many connections there may be, are, and are idle.
    pub(crate) fn permits(&self) -> &Arc<ConnectionPermits> {
        &self.permits
    }

    /// What became of the connections so far.
    pub(crate) fn counts(&self) -> WireCounts {
        self.stats.read()
    }

    /// What all connections are doing now, and have done so far.
    pub(crate) fn figures(&self) -> PoolFigures {
        let WireCounts { created, closed, reused, pool_timeouts, .. } = self.counts();
        let open = created.saturating_sub(closed);
        PoolFigures {
            max: self.permits.max(),
            open: usize::try_from(open).unwrap_or(usize::MAX),
            idle: self.permits.idle(),
            waiting: self.permits.waiting(),
            created,
            closed,
            reused,
            timeouts: pool_timeouts,
            wait_time: self.stats.wait_time.read(),
            create_time: self.stats.create_time.read(),
        }
    }

    /// Uses no connection again, on any thread, that is idle now. For when a request over a reused connection had no
    /// byte of an answer in its time: a host that vanished leaves every idle connection looking alive, and without
    /// this each of them would cost a request its timeout.
    pub(crate) fn distrust_idle(&self) {
        self.epoch.fetch_add(1, Relaxed);
    }

    pub(super) fn epoch(&self) -> u64 {
        self.epoch.load(Relaxed)
    }

    pub(super) fn settings(&self) -> &WireSettings {
        &self.settings
    }

    pub(super) fn stats(&self) -> &WireStats {
        &self.stats
    }

    /// Makes a connection, or says why not. The turn to connect is waited for within the connect timeout: it takes
    /// long only where earlier connections are slow to be made.
    pub(super) async fn connect(&self) -> Result<Socket, Cause> {
        let stage = Cell::new(Stage::Turn);
        let limit = self.settings.connect_timeout;
        let began = Instant::now();
        match timeout(limit, self.open(&stage)).await {
            Ok(Ok(socket)) => {
                self.stats.create_time.record(began.elapsed());
                Ok(socket)
            }
            Ok(Err(error)) => Err(self.failed(Cause::of(stage.get(), error), stage.get())),
            Err(_) => Err(self.failed(Cause::ConnectTimeout { stage: stage.get(), limit }, stage.get())),
        }
    }

    /// Addresses that took no connection may be out of date.
    fn failed(&self, cause: Cause, stage: Stage) -> Cause {
        if stage == Stage::Tcp {
            self.resolver.doubt();
        }
        cause
    }

    async fn open(&self, stage: &Cell<Stage>) -> io::Result<Socket> {
        let _turn = self.permits.turn().await;
        stage.set(Stage::Dns);
        let addresses = self.resolver.resolve().await?;
        stage.set(Stage::Tcp);
        let mut tcp = dial(&addresses).await?;
        match &self.tls {
            None => Ok(Socket::Plain(tcp)),
            Some(tls) => {
                if let Some(proxy) = &self.settings.proxy {
                    stage.set(Stage::Proxy);
                    proxy.tunnel(&mut tcp, &self.settings.target).await?;
                }
                stage.set(Stage::Tls);
                Ok(Socket::Tls(Box::new(tls.connector.connect(tls.name.clone(), tcp).await?)))
            }
        }
    }
}

/// One thread's connector for awc.
#[derive(Clone)]
pub(crate) struct Wire {
    shard: Rc<Shard>,
    spares: Rc<Spares>,
}

impl Wire {
    /// A connector on this thread, which must be one where local tasks can run.
    pub(crate) fn new(wires: &Arc<Wires>) -> Self {
        let shard = Shard::new(wires.clone());
        Self { spares: Spares::new(&shard), shard }
    }

    /// A client over these connections.
    ///
    /// # Errors
    /// As [`Client::new`].
    pub(crate) fn client(&self) -> Result<Client, SetupError> {
        let wires = self.shard.wires();
        Client::new(self.clone(), wires.permits().acquire_timeout() + wires.settings().connect_timeout)
    }

    /// Keeps no connection any more: closes the idle ones now, and the others when their requests end. For a pool that
    /// is replaced or drained.
    pub(crate) fn retire(&self) {
        self.shard.retire();
    }

    /// A connection for the request that is polled here. The two waits have a limit each: for the right to a
    /// connection, which is our own affair, the acquire timeout; for making it, the connect timeout.
    async fn obtain(&self) -> Result<WireStream, Cause> {
        let shard = &self.shard;
        if let Some(open) = self.spares.take() {
            return Ok(WireStream::passed_on(open));
        }
        let permit = match shard.wires().permits().try_acquire() {
            Some(permit) => permit,
            None => {
                let began = Instant::now();
                let waited = shard.wait().await;
                shard.stats().wait_time.record(began.elapsed());
                match waited {
                    Ok(Waited::Permit(permit)) => permit,
                    Ok(Waited::Connection(open)) => return Ok(WireStream::passed_on(open)),
                    Err(Exhausted { waited, max }) => return Err(Cause::PoolTimeout { waited, max }),
                }
            }
        };
        if let Some(record) = Record::current() {
            record.note_connecting();
        }
        let socket = shard.wires().connect().await?;
        Ok(WireStream::new(socket, permit, shard))
    }

    /// What this thread shares with the service's others.
    pub(crate) fn wires(&self) -> &Arc<Wires> {
        self.shard.wires()
    }
}

impl Service<ConnectInfo<Uri>> for Wire {
    type Response = Connection<Uri, WireStream>;
    type Error = ConnectError;
    type Future = LocalBoxFuture<'static, Result<Self::Response, ConnectError>>;

    actix_service::always_ready!();

    fn call(&self, request: ConnectInfo<Uri>) -> Self::Future {
        let wire = self.clone();
        Box::pin(async move {
            let obtained = wire.obtain().await;
            obtained.map(|stream| Connection::new(request.request().clone(), stream)).map_err(|cause| {
                wire.wires().stats().failed(&cause);
                let wires = wire.wires();
                ConnectFailure::new(wires.target(), wires.proxy().map(Proxy::server), cause).into()
            })
        })
    }
}
