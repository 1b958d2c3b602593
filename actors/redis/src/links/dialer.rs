use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

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
    time::{Instant, timeout},
};
use tokio_rustls::TlsConnector;

use super::{Figures, Link};
use crate::{RedisSettings, failure, target::Target, tls};

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
    /// The server is too old for RESP3, as it once said.
    only_resp2: AtomicBool,
    figures: Arc<Figures>,
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
        if let Some(password) = settings.password() {
            password.check().map_err(|error| format!("`redis.password` cannot be used: {error}"))?;
        }
        let turns = Semaphore::new(at_once.clamp(1, Semaphore::MAX_PERMITS));
        Ok(Self {
            settings: settings.clone(),
            tls,
            limit,
            turns,
            only_resp2: AtomicBool::new(false),
            figures,
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
        watcher: Arc<Notify>,
        pushes: Option<Arc<dyn AsyncPushSender>>,
    ) -> Result<Link, Failure> {
        let began = Instant::now();
        let dialling = async {
            let _turn = self.turns.acquire().await;
            self.connect(&watcher, pushes).await
        };
        let (connection, driver) = self.within_limit(dialling).await??;
        self.figures.created_in(began.elapsed());
        Ok(Link::new(connection, driver, watcher, Arc::clone(&self.figures)))
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
        watcher: &Arc<Notify>,
        pushes: Option<Arc<dyn AsyncPushSender>>,
    ) -> Result<(MultiplexedConnection, tokio::task::AbortHandle), Failure> {
        let target = self.target();
        let only_resp2 = self.only_resp2.load(Relaxed);
        let protocol = if only_resp2 { ProtocolVersion::RESP2 } else { ProtocolVersion::RESP3 };
        match self.introduce(target, protocol, watcher, pushes.clone()).await? {
            Ok(connected) => Ok(connected),
            Err(error) if error.kind() == ErrorKind::RESP3NotSupported && pushes.is_none() => {
                self.only_resp2.store(true, Relaxed);
                let again = self.introduce(target, ProtocolVersion::RESP2, watcher, None).await?;
                again.map_err(|error| failure::of_handshake(&error, target))
            }
            Err(error) => Err(failure::of_handshake(&error, target)),
        }
    }

    fn target(&self) -> &Target {
        &self.settings.targets()[0]
    }

    /// Connects and says who we are.
    async fn introduce(
        &self,
        target: &Target,
        protocol: ProtocolVersion,
        watcher: &Arc<Notify>,
        pushes: Option<Arc<dyn AsyncPushSender>>,
    ) -> Result<Result<(MultiplexedConnection, tokio::task::AbortHandle), RedisError>, Failure> {
        let info = self.identity()?.set_protocol(protocol);
        let tcp = tcp(target).await?;
        let connected = match (&self.tls, target.is_tls()) {
            (Some(tls), true) => {
                let name = self.settings.tls().server_name.as_deref().unwrap_or(target.host());
                let name = ServerName::try_from(name.to_owned())
                    .map_err(|error| failure::of_tls(&std::io::Error::other(error), target))?;
                let stream = tls.connect(name, tcp).await.map_err(|error| failure::of_tls(&error, target))?;
                handshake(&info, stream, pushes, watcher).await
            }
            _ => handshake(&info, tcp, pushes, watcher).await,
        };
        Ok(connected)
    }

    /// User, password and database. The password is read each time, so that one that is renewed is noticed.
    fn identity(&self) -> Result<RedisConnectionInfo, Failure> {
        let mut info =
            RedisConnectionInfo::default().set_skip_set_lib_name().set_db(self.settings.database().into());
        if let Some(password) = self.settings.password() {
            let password = password.read().map_err(|error| {
                Failure::new(Blame::Local, format!("`redis.password` cannot be used: {error}"))
                    .reached(Reached::No)
                    .code("local")
            })?;
            info = info
                .set_username(self.settings.username().unwrap_or("default"))
                .set_password(password.expose());
        }
        Ok(info)
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
) -> Result<(MultiplexedConnection, tokio::task::AbortHandle), RedisError>
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
    Ok((connection, driver.abort_handle()))
}
