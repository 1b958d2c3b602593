use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use redis::{
    AsyncConnectionConfig, ErrorKind, ProtocolVersion, RedisConnectionInfo, RedisError,
    aio::{AsyncPushSender, MultiplexedConnection},
};
use rustls::pki_types::ServerName;
use seawall::downstream::{Blame, Failure, Reached};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    sync::{Notify, Semaphore},
    task::AbortHandle,
    time::{Instant, timeout},
};
use tokio_rustls::TlsConnector;

use super::{Figures, Link, sentinel};
use crate::{
    RedisSettings, failure,
    settings::{Account, Topology},
    target::Target,
    tls,
};

/// Commands that may lie between their callers and the socket, on one connection; who comes then waits.
const WAITING: usize = 1024;

/// Makes connections to one service, for all its threads.
///
/// TCP and TLS are made here and not by the library: so the limit covers all of it, the name's look-up and the handshake
/// included, an error says at which step, TLS is ring's whatever else the process links, and Nagle is off.
pub(crate) struct Dialer {
    settings: RedisSettings,
    tls: Option<TlsConnector>,
    limit: Duration,
    /// Who may be making one.
    turns: Semaphore,
    /// The server that is too old for RESP3, as it once said.
    only_resp2: Mutex<Option<Target>>,
    figures: Arc<Figures>,
    followed: Mutex<Followed>,
}

/// What the sentinels said last.
#[derive(Default)]
struct Followed {
    asked: Option<Instant>,
    primary: Option<Target>,
}

impl Dialer {
    /// A dialer, with the limit on one connection and how many may be in the making.
    ///
    /// # Errors
    /// For files of TLS that cannot be used, and a password that is not there.
    pub(crate) fn new(
        settings: &RedisSettings,
        limit: Duration,
        at_once: usize,
        figures: Arc<Figures>,
    ) -> Result<Self, String> {
        let tls = match settings.is_tls() {
            true => Some(TlsConnector::from(tls::configuration(settings.tls())?)),
            false => None,
        };
        for account in [settings.account(), settings.sentinel_account()] {
            if let Some(password) = account.password {
                password.check().map_err(|error| format!("`{}` cannot be used: {error}", account.setting))?;
            }
        }
        let turns = Semaphore::new(at_once.clamp(1, Semaphore::MAX_PERMITS));
        Ok(Self {
            settings: settings.clone(),
            tls,
            limit,
            turns,
            only_resp2: Mutex::default(),
            figures,
            followed: Mutex::default(),
        })
    }

    pub(crate) fn figures(&self) -> &Arc<Figures> {
        &self.figures
    }

    /// Makes one connection. `watcher` is told when it breaks; `pushes` gets what the server says unasked.
    ///
    /// # Errors
    /// At which step it failed; after the limit, that.
    pub(crate) async fn dial(
        &self,
        place: &Place,
        watcher: Arc<Notify>,
        pushes: Option<Arc<dyn AsyncPushSender>>,
    ) -> Result<Link, Failure> {
        let began = Instant::now();
        let dialling = async {
            let _turn = self.turns.acquire().await;
            self.connect(place, &watcher, pushes).await
        };
        let connected = self.within_limit(dialling).await??;
        self.figures.created_in(began.elapsed());
        Ok(connected.into_link(watcher, Arc::clone(&self.figures)))
    }

    /// Does what belongs to making a connection within the limit on it.
    ///
    /// # Errors
    /// After the limit, that.
    pub(crate) async fn within_limit<T>(&self, work: impl Future<Output = T>) -> Result<T, Failure> {
        timeout(self.limit, work).await.map_err(|_| failure::connect_timeout())
    }

    async fn connect(
        &self,
        place: &Place,
        watcher: &Arc<Notify>,
        pushes: Option<Arc<dyn AsyncPushSender>>,
    ) -> Result<Connected, Failure> {
        let (target, info) = (self.find(place).await?, self.identity(self.settings.account())?);
        // Without RESP3 it would agree to tell, and never do.
        let only_resp2 = pushes.is_none() && self.only_resp2.lock().as_ref() == Some(&target);
        let info =
            info.set_protocol(if only_resp2 { ProtocolVersion::RESP2 } else { ProtocolVersion::RESP3 });
        let connected = match self.introduce(&target, &info, watcher, pushes.clone()).await? {
            Err(error) if error.kind() == ErrorKind::RESP3NotSupported && pushes.is_none() => {
                *self.only_resp2.lock() = Some(target.clone());
                let info = info.set_protocol(ProtocolVersion::RESP2);
                self.introduce(&target, &info, watcher, None).await?
            }
            connected => connected,
        };
        let connected = connected.map_err(|error| failure::of_handshake(&error, &target))?;
        if self.settings.topology() == Topology::Sentinel {
            sentinel::expect_primary(&connected.connection, &target).await?;
        }
        Ok(connected)
    }

    /// Where a place is now.
    async fn find(&self, place: &Place) -> Result<Target, Failure> {
        match (place, self.settings.topology()) {
            (Place::Node(target), _) => Ok(target.clone()),
            (Place::Service, Topology::Sentinel) => sentinel::primary(self, &self.settings).await,
            (Place::Service, _) => Ok(self.settings.targets()[0].clone()),
        }
    }

    pub(crate) fn has_sentinels(&self) -> bool {
        self.settings.topology() == Topology::Sentinel
    }

    /// Who is the primary, by the sentinels: asked once in each `check` by whichever thread comes first, and not known where
    /// they do not say.
    pub(crate) async fn followed(&self, check: Duration) -> Option<Target> {
        {
            let mut followed = self.followed.lock();
            if followed.asked.is_some_and(|asked| asked.elapsed() < check) {
                return followed.primary.clone();
            }
            followed.asked = Some(Instant::now());
        }
        let primary = self.within_limit(sentinel::primary(self, &self.settings)).await;
        let primary = primary.and_then(|primary| primary).ok();
        self.followed.lock().primary.clone_from(&primary);
        primary
    }

    /// A connection to a sentinel, for one question.
    pub(super) async fn sentinel(&self, target: &Target) -> Result<Connected, Failure> {
        let info =
            self.identity(self.settings.sentinel_account())?.set_db(0).set_protocol(ProtocolVersion::RESP2);
        let connected = self.introduce(target, &info, &Arc::default(), None).await?;
        connected.map_err(|error| failure::of_handshake(&error, target))
    }

    /// Connects and says who we are.
    async fn introduce(
        &self,
        target: &Target,
        info: &RedisConnectionInfo,
        watcher: &Arc<Notify>,
        pushes: Option<Arc<dyn AsyncPushSender>>,
    ) -> Result<Result<Connected, RedisError>, Failure> {
        let tcp = tcp(target).await?;
        let connected = match (&self.tls, target.is_tls()) {
            (Some(tls), true) => {
                let name = self.settings.tls().server_name.as_deref().unwrap_or(target.host());
                let name = ServerName::try_from(name.to_owned())
                    .map_err(|error| failure::of_tls(&std::io::Error::other(error), target))?;
                let stream = tls.connect(name, tcp).await.map_err(|error| failure::of_tls(&error, target))?;
                handshake(info, stream, pushes, watcher).await
            }
            _ => handshake(info, tcp, pushes, watcher).await,
        };
        Ok(connected.map(|(connection, driver)| Connected { connection, driver, target: target.clone() }))
    }

    /// User, password and database. The password is read each time, so that one that is renewed is noticed.
    fn identity(&self, account: Account<'_>) -> Result<RedisConnectionInfo, Failure> {
        let info =
            RedisConnectionInfo::default().set_skip_set_lib_name().set_db(self.settings.database().into());
        let Some(password) = account.password else { return Ok(info) };
        let password = password.read().map_err(|error| {
            Failure::new(Blame::Local, format!("`{}` cannot be used: {error}", account.setting))
                .reached(Reached::No)
                .code("local")
        })?;
        Ok(info.set_username(account.username.unwrap_or("default")).set_password(password.expose()))
    }
}

/// Where a connection is to go.
#[derive(Clone, Debug)]
pub(crate) enum Place {
    /// To wherever the service is at the moment.
    Service,
    /// To this node of a cluster.
    Node(Target),
}

/// A connection that is ready, and where it goes.
pub(super) struct Connected {
    pub(super) connection: MultiplexedConnection,
    driver: Driver,
    target: Target,
}

impl Connected {
    fn into_link(self, watcher: Arc<Notify>, figures: Arc<Figures>) -> Link {
        Link::new(self.connection, self.driver, self.target, watcher, figures)
    }
}

/// The task that drives a connection: it ends with this, and the connection with it.
pub(super) struct Driver(AbortHandle);

impl Driver {
    pub(super) fn is_finished(&self) -> bool {
        self.0.is_finished()
    }

    pub(super) fn abort(&self) {
        self.0.abort();
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.abort();
    }
}

async fn tcp(target: &Target) -> Result<TcpStream, Failure> {
    let addresses = tokio::net::lookup_host((target.host(), target.port()))
        .await
        .map_err(|error| failure::of_name(&error, target))?;
    let mut failed = std::io::Error::new(std::io::ErrorKind::NotFound, "no address");
    for address in addresses {
        match TcpStream::connect(address).await {
            Ok(stream) => {
                // Fails only on a socket that is gone, as the handshake will find.
                let _ = stream.set_nodelay(true);
                return Ok(stream);
            }
            Err(error) => failed = error,
        }
    }
    Err(failure::of_connecting(&failed, target))
}

async fn handshake<S>(
    info: &RedisConnectionInfo,
    stream: S,
    pushes: Option<Arc<dyn AsyncPushSender>>,
    watcher: &Arc<Notify>,
) -> Result<(MultiplexedConnection, Driver), RedisError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    // The library's own limits are off: the attempt's deadline is the only one, and it is a shard's to keep.
    let config = AsyncConnectionConfig::new()
        .set_connection_timeout(None)
        .set_response_timeout(None)
        .set_pipeline_buffer_size(WAITING);
    let config = match pushes {
        Some(pushes) => config.set_push_sender(pushes),
        None => config,
    };
    let (connection, driver) = MultiplexedConnection::new_with_config(info, stream, config).await?;
    let watcher = Arc::clone(watcher);
    let driver = tokio::spawn(async move {
        driver.await;
        watcher.notify_one();
    });
    Ok((connection, Driver(driver.abort_handle())))
}
