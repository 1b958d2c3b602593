use std::{fmt, path::PathBuf};

use seawall::{config::Secret, units::ByteSize};
use serde::{Deserialize, Serialize};

/// How one PostgreSQL service is reached. All of it stands on a service or above; a change replaces the pool.
///
/// | setting | default | meaning |
/// |---|---|---|
/// | `url` | required | `postgres://host:port`, or `postgres://host:port/dbname`; the port is 5432 by default |
/// | `urls` | none | several of these in place of `url`: the one that takes writes is found when a connection is made |
/// | `tls` | the system's roots | `ca`, `cert`, `key`, `server_name`; `{ file = ".." }` or `{ env = ".." }` but for the name |
/// | `postgres.dbname` | the user's name | the database |
/// | `postgres.user` | required | who we are |
/// | `postgres.password` | none | `{ env = ".." }` or `{ file = ".." }` |
/// | `postgres.ssl_mode` | `"verify-full"` | `disable`, `prefer`, `require`, `verify-ca`, `verify-full`: what they mean to libpq |
/// | `postgres.statement_cache` | 256 | prepared statements that a connection keeps; 0 for none |
/// | `postgres.statement_timeout` | `"deadline"` | the server ends what outlasts its call; or `"server"`: what is configured there |
/// | `postgres.read_only_endpoints` | `[]` | `"host:port"` of replicas, for calls that are declared read-only |
/// | `postgres.max_result` | `"32MiB"` | the largest result of one statement; a larger one fails its call |
/// | `postgres.reset` | `"auto"` | when a connection's session is reset before it is used again: where a statement left something, or `"always"` |
/// | `postgres.application_name` | `"seawall"` | what `pg_stat_activity` shows |
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "Written")]
pub struct PostgresSettings {
    primaries: Vec<Host>,
    replicas: Vec<Host>,
    pub(crate) database: Option<String>,
    pub(crate) tls: TlsSettings,
    pub(crate) table: Table,
}

#[derive(Deserialize)]
struct Written {
    url: Option<Url>,
    urls: Option<Vec<Url>>,
    #[serde(default)]
    tls: TlsSettings,
    postgres: Table,
}

/// The table `postgres` of a service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Table {
    #[serde(default)]
    pub(crate) dbname: Option<String>,
    pub(crate) user: String,
    #[serde(default)]
    pub(crate) password: Option<Secret>,
    #[serde(default)]
    pub(crate) ssl_mode: SslMode,
    #[serde(default = "statements")]
    pub(crate) statement_cache: usize,
    #[serde(default)]
    pub(crate) statement_timeout: StatementTimeout,
    #[serde(default)]
    read_only_endpoints: Vec<Host>,
    #[serde(default = "max_result")]
    pub(crate) max_result: ByteSize,
    #[serde(default)]
    pub(crate) reset: Reset,
    #[serde(default = "application_name")]
    pub(crate) application_name: String,
}

fn statements() -> usize {
    256
}

fn max_result() -> ByteSize {
    ByteSize::mib(32)
}

fn application_name() -> String {
    "seawall".to_owned()
}

/// How TLS is asked for, in libpq's words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum SslMode {
    /// Never.
    Disable,
    /// Where the server has it; whoever answers is believed.
    Prefer,
    /// Always; whoever answers is believed, unless `tls.ca` says whom to trust.
    Require,
    /// Always, and a trusted authority has signed its certificate.
    VerifyCa,
    /// Always, and the certificate is this host's too.
    #[default]
    VerifyFull,
}

/// Who ends a statement that takes too long.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum StatementTimeout {
    #[default]
    Deadline,
    Server,
}

/// When a session is reset before another call gets it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Reset {
    #[default]
    Auto,
    Always,
}

/// Whom TLS trusts, and who we say we are.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct TlsSettings {
    /// The only authorities that are trusted; the system's by default.
    pub(crate) ca: Option<PemSource>,
    pub(crate) cert: Option<PemSource>,
    pub(crate) key: Option<PemSource>,
    /// The name that the server must prove; the host of the URL by default.
    pub(crate) server_name: Option<String>,
}

/// Where PEM text is kept. It is read when the service is opened, and never printed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum PemSource {
    File(PathBuf),
    Env(String),
}

impl fmt::Display for PemSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "the file {}", path.display()),
            Self::Env(name) => write!(f, "the variable {name}"),
        }
    }
}

/// A server's host and port.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Deserialize)]
#[serde(try_from = "String")]
pub(crate) struct Host {
    pub(crate) name: String,
    pub(crate) port: u16,
}

const PORT: u16 = 5432;

impl Host {
    fn parse(text: &str) -> Result<Self, String> {
        let wrong = || "a server is written `host`, `host:port` or `[::1]:port`".to_owned();
        let (name, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (name, rest) = rest.split_once(']').ok_or_else(wrong)?;
                (name, rest.strip_prefix(':'))
            }
            None => match text.split_once(':') {
                Some((name, port)) => (name, Some(port)),
                None => (text, None),
            },
        };
        let port = port.map_or(Ok(PORT), str::parse).map_err(|_| wrong())?;
        let sound = |byte: u8| byte.is_ascii_alphanumeric() || b".-_:%".contains(&byte);
        if name.is_empty() || port == 0 || !name.bytes().all(sound) {
            return Err(wrong());
        }
        Ok(Self { name: name.to_owned(), port })
    }
}

impl TryFrom<String> for Host {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text.contains('@') {
            return Err("a server is written `host:port`; who we are is said by `postgres.user`".into());
        }
        Self::parse(&text)
    }
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.name.contains(':') {
            write!(f, "[{}]:{}", self.name, self.port)
        } else {
            write!(f, "{}:{}", self.name, self.port)
        }
    }
}

impl Serialize for Host {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A server, and the database where that is said too.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(try_from = "String")]
struct Url {
    host: Host,
    database: Option<String>,
}

impl TryFrom<String> for Url {
    type Error = String;

    /// What is refused is not repeated: it may hold a password.
    fn try_from(url: String) -> Result<Self, String> {
        let rest = url
            .strip_prefix("postgres://")
            .or_else(|| url.strip_prefix("postgresql://"))
            .ok_or("a URL of this kind begins with postgres://")?;
        if rest.contains('@') {
            return Err("a URL must not say who we are; write `postgres = { user = \"..\", \
                        password = { env = \"..\" } }`, so that no secret stands in a file"
                .into());
        }
        if rest.contains(['?', '#']) {
            return Err("a URL has no options here; each of them is a setting of the table `postgres`".into());
        }
        let (host, database) = rest.split_once('/').unwrap_or((rest, ""));
        if database.contains(['/', '%']) {
            return Err(
                "the database in a URL is one plain name; others are written in `postgres.dbname`".into()
            );
        }
        let database = (!database.is_empty()).then(|| database.to_owned());
        Ok(Self { host: Host::parse(host)?, database })
    }
}

impl TryFrom<Written> for PostgresSettings {
    type Error = String;

    fn try_from(written: Written) -> Result<Self, String> {
        let Written { url, urls, tls, postgres: table } = written;
        let urls = match (url, urls) {
            (Some(url), None) => vec![url],
            (None, Some(urls)) if urls.is_empty() => return Err("`urls` is empty; write one at least".into()),
            (None, Some(urls)) => urls,
            (None, None) => return Err("`url` is missing: write `url = \"postgres://host:5432\"`".into()),
            (Some(_), Some(_)) => {
                return Err("`url` and `urls` are both set; write one, or all of them in `urls`".into());
            }
        };
        let mut database = table.dbname.clone();
        let mut primaries: Vec<Host> = Vec::new();
        for Url { host, database: named } in urls {
            match (&database, named) {
                (Some(database), Some(named)) if *database != named => {
                    return Err(format!(
                        "two databases are named, `{database}` and `{named}`; one service has one"
                    ));
                }
                (None, named) => database = named,
                _ => {}
            }
            if primaries.contains(&host) {
                return Err(format!("{host} is there twice"));
            }
            primaries.push(host);
        }
        if primaries.len() + table.read_only_endpoints.len() > MOST_SERVERS {
            return Err(format!("a service has {MOST_SERVERS} servers at most"));
        }
        if table.user.is_empty() {
            return Err("`postgres.user` is empty".into());
        }
        if table.max_result.get() == 0 {
            return Err("`postgres.max_result` is nothing; no statement could give a row".into());
        }
        let names = [Some(&table.user), database.as_ref(), Some(&table.application_name)];
        if names.into_iter().flatten().any(|name| name.contains('\0')) {
            return Err("a name in the table `postgres` has a zero byte".into());
        }
        if table.ssl_mode == SslMode::Disable && tls != TlsSettings::default() {
            return Err("`tls` is set, but `postgres.ssl_mode` is \"disable\"".into());
        }
        Ok(Self { primaries, replicas: table.read_only_endpoints.clone(), database, tls, table })
    }
}

/// Servers of one service at most.
const MOST_SERVERS: usize = 64;

impl PostgresSettings {
    /// Where the server that takes writes may be; one at least.
    pub(crate) fn primaries(&self) -> &[Host] {
        &self.primaries
    }

    /// Where calls that only read may go instead.
    pub(crate) fn replicas(&self) -> &[Host] {
        &self.replicas
    }

    /// For `explain`: where the service is stands in a file, and is shown from there.
    pub(crate) fn explain(&self) -> impl Serialize {
        #[derive(Serialize)]
        struct Shown {
            #[serde(skip_serializing_if = "Option::is_none")]
            tls: Option<TlsSettings>,
            postgres: Table,
        }
        let tls = (self.table.ssl_mode != SslMode::Disable).then(|| self.tls.clone());
        Shown { tls, postgres: self.table.clone() }
    }
}
