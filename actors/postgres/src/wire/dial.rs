use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, lookup_host},
    time::timeout,
};
use tokio_postgres::{CancelToken, Client, Config, Connection, NoTls, tls::NoTlsStream};

use super::{Facts, SetupError, Stream, Tls, stream::Socket};
use crate::settings::{Host, PostgresSettings, SslMode};

/// Makes connections to the servers of one service.
pub(crate) struct Dialler {
    tls: Option<Tls>,
    settings: PostgresSettings,
}

/// A connection that was made.
pub(crate) struct Dialled {
    pub(crate) client: Client,
    pub(crate) connection: Connection<Stream, NoTlsStream>,
    pub(crate) facts: Arc<Facts>,
    /// Where it is, for who wants a statement of it cancelled.
    pub(crate) at: Endpoint,
}

/// The very server that a connection is to.
#[derive(Clone, Debug)]
pub(crate) struct Endpoint {
    address: SocketAddr,
    host: Host,
}

/// Why no connection was made.
#[derive(Debug)]
pub(crate) enum DialError {
    /// The host has no address.
    Name(io::Error),
    /// It could not be reached, or broke off.
    Io(io::Error),
    /// No TLS was agreed upon.
    Tls(String),
    /// The server speaks no TLS.
    NoTls,
    /// What is needed to log in cannot be read.
    Setup(String),
    /// The server refused, or what answered is no PostgreSQL.
    Refused(tokio_postgres::Error),
    /// Time ran out.
    TimedOut,
    /// It takes no writes.
    ReadOnly,
    /// The last such try was refused for want of resources just now.
    Holding(Duration),
}

const KEEPALIVE: Duration = Duration::from_secs(15);

impl Dialler {
    /// # Errors
    /// For certificates and keys that cannot be read.
    pub(crate) fn new(settings: &PostgresSettings) -> Result<Self, SetupError> {
        Ok(Self { tls: Tls::new(settings)?, settings: settings.clone() })
    }

    /// Dials, encrypts and logs in; of several addresses each has its part of the time to be reached. The password is read each time, so that one that was changed is.
    pub(crate) async fn dial(&self, host: &Host, within: Duration) -> Result<Dialled, DialError> {
        let addresses: Vec<_> =
            lookup_host((host.name.as_str(), host.port)).await.map_err(DialError::Name)?.collect();
        let part = within / u32::try_from(addresses.len()).unwrap_or(u32::MAX).max(1);
        let mut last = None;
        for address in addresses {
            let at = Endpoint { address, host: host.clone() };
            match timeout(part, TcpStream::connect(address)).await {
                Ok(Ok(tcp)) => return self.log_in(tcp, at).await,
                Ok(Err(error)) => last = Some(DialError::Io(error)),
                Err(_) => last = Some(DialError::TimedOut),
            }
        }
        Err(last.unwrap_or_else(|| {
            DialError::Name(io::Error::new(io::ErrorKind::NotFound, "the name has no address"))
        }))
    }

    async fn log_in(&self, tcp: TcpStream, at: Endpoint) -> Result<Dialled, DialError> {
        let stream = self.encrypt(tcp, &at.host).await?;
        let facts = Arc::clone(stream.facts());
        let (client, connection) =
            self.config()?.connect_raw(stream, NoTls).await.map_err(DialError::Refused)?;
        Ok(Dialled { client, connection, facts, at })
    }

    /// What TLS there is to be is agreed upon here, below tokio-postgres: so one stream is read along, encrypted or not.
    async fn encrypt(&self, mut tcp: TcpStream, host: &Host) -> Result<Stream, DialError> {
        tcp.set_nodelay(true).map_err(DialError::Io)?;
        let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE);
        SockRef::from(&tcp).set_tcp_keepalive(&keepalive).map_err(DialError::Io)?;
        let Some(tls) = &self.tls else { return Ok(Stream::new(Socket::Plain(tcp))) };
        tcp.write_all(&SSL_REQUEST).await.map_err(DialError::Io)?;
        // Exactly one byte is taken: what came with it in the clear would be taken for the encrypted answer.
        match tcp.read_u8().await.map_err(DialError::Io)? {
            b'S' => {
                let name = tls.name(&host.name).map_err(|error| DialError::Setup(error.to_string()))?;
                let stream = tls.connector.connect(name, tcp).await;
                let stream = stream.map_err(|error| DialError::Tls(error.to_string()))?;
                Ok(Stream::new(Socket::Tls(Box::new(stream))))
            }
            b'N' if tls.required => Err(DialError::NoTls),
            b'N' => Ok(Stream::new(Socket::Plain(tcp))),
            _ => Err(DialError::Tls("what answered is no PostgreSQL server".into())),
        }
    }

    fn config(&self) -> Result<Config, DialError> {
        let table = &self.settings.table;
        let mut config = Config::new();
        config.user(&table.user).application_name(&table.application_name);
        config.ssl_mode(tokio_postgres::config::SslMode::Disable);
        if let Some(database) = &self.settings.database {
            config.dbname(database);
        }
        if let Some(password) = &table.password {
            let password = password.read().map_err(|error| DialError::Setup(error.to_string()))?;
            config.password(password.expose());
        }
        Ok(config)
    }

    /// Asks the server to end what a session is busy with, and waits until it has been told to: a cancellation that is
    /// still on its way would hit the session's next statement.
    pub(crate) async fn cancel(&self, token: CancelToken, at: &Endpoint, within: Duration) -> bool {
        let asked = async {
            let tcp = TcpStream::connect(at.address).await.map_err(DialError::Io)?;
            let mut stream = self.encrypt(tcp, &at.host).await?;
            token.cancel_query_raw(&mut stream, NoTls).await.map_err(DialError::Refused)?;
            // The server closes when the signal is sent. There is nothing to read before.
            let mut end = [0];
            let _ = stream.read(&mut end).await;
            Ok::<_, DialError>(())
        };
        matches!(timeout(within, asked).await, Ok(Ok(())))
    }

    /// Whether TLS was ever asked for, for who explains a refusal.
    pub(crate) fn mode(&self) -> SslMode {
        self.settings.table.ssl_mode
    }
}

/// The length of it, and the number that stands for it.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
