use std::{
    cell::Cell,
    io,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
};

use seawall::downstream::PoolFigures;
use tokio::time::{Instant, timeout};

use super::{
    Cause, ConnectionPermits, Proxy, SetupError, Stage, Target, TlsSettings, WireCounts, WireSettings,
    dial::dial, resolve::Resolver, socket::Socket, stats::WireStats, tls::Tls,
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
