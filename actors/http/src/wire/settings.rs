use std::{fmt, path::PathBuf, time::Duration};

use seawall::units::ByteSize;
use serde::{Deserialize, Serialize};

use super::{Proxy, Target};

/// How one service's connections are made and kept. How many there may be is said by
/// [`ConnectionPermits`](super::ConnectionPermits).
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct WireSettings {
    /// Where the server is.
    pub(crate) target: Target,
    /// Whom to trust and who we are; must be the default for an `http://` target.
    pub(crate) tls: TlsSettings,
    /// What all connections go through. None by default.
    pub(crate) proxy: Option<Proxy>,
    /// The longest a connection may take to make: its turn, the name, TCP and TLS together. 2 s by default.
    pub(crate) connect_timeout: Duration,
    /// The largest head of an answer. 64 KiB by default.
    pub(crate) max_header: ByteSize,
    /// How many idle connections there are at least, over all threads that have any. None by default.
    pub(crate) min_idle: usize,
    /// How many idle connections there are at most, over all threads. 20 by default.
    pub(crate) max_idle: usize,
    /// How long a connection may be idle. 30 s by default.
    pub(crate) idle_timeout: Duration,
    /// How old a connection may get; an older one is closed once it is idle. 30 min by default.
    pub(crate) lifetime: Duration,
}

impl WireSettings {
    /// The defaults, for this target.
    pub(crate) fn new(target: Target) -> Self {
        Self {
            target,
            tls: TlsSettings::default(),
            proxy: None,
            connect_timeout: Duration::from_secs(2),
            max_header: ByteSize::kib(64),
            min_idle: 0,
            max_idle: 20,
            idle_timeout: Duration::from_secs(30),
            lifetime: Duration::from_secs(30 * 60),
        }
    }
}

/// Whom TLS trusts, and who we say we are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct TlsSettings {
    /// Which authorities are trusted: `"system"` (the default), or only those in `{ file = "roots.pem" }`.
    pub(crate) roots: Roots,
    /// Further authorities, besides the roots.
    pub(crate) ca: Option<PemSource>,
    /// Our certificate and its chain, for servers that ask for one.
    pub(crate) cert: Option<PemSource>,
    /// The key of our certificate.
    pub(crate) key: Option<PemSource>,
    /// The name that the server must prove, and that it is told; the URL's host by default.
    pub(crate) server_name: Option<String>,
    /// The oldest version of TLS spoken. 1.2 by default.
    pub(crate) min_version: TlsVersion,
}

impl TlsSettings {
    /// The same trust, for a server that is another than the service: it is not shown our certificate, and proves its own name.
    pub(super) fn for_strangers(&self) -> Self {
        Self { cert: None, key: None, server_name: None, ..self.clone() }
    }
}

/// Which authorities are trusted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Roots {
    /// Those that the operating system trusts, or `SSL_CERT_FILE` and `SSL_CERT_DIR` name.
    #[default]
    System,
    /// Only those in this PEM file.
    File(PathBuf),
}

/// Where PEM text is kept. It is read when the service is opened, and never printed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum PemSource {
    /// In this file.
    File(PathBuf),
    /// In this environment variable.
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

/// A version of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum TlsVersion {
    /// TLS 1.2
    #[default]
    #[serde(rename = "1.2")]
    V12,
    /// TLS 1.3
    #[serde(rename = "1.3")]
    V13,
}

/// A setting that connections cannot be made with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SetupError {
    setting: &'static str,
    problem: String,
}

impl SetupError {
    pub(super) fn new(setting: &'static str, problem: String) -> Self {
        Self { setting, problem }
    }

    /// The setting's path within the service's table, such as `tls.ca`.
    pub(crate) fn setting(&self) -> &'static str {
        self.setting
    }
}

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` {}", self.setting, self.problem)
    }
}

impl std::error::Error for SetupError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tls_is_read_as_it_is_written() {
        let read = |text: &str| toml::from_str::<TlsSettings>(text);
        assert_eq!(read("").unwrap(), TlsSettings::default());
        assert_eq!(read(r#"roots = "system""#).unwrap(), TlsSettings::default());
        let all = read(
            r#"
            roots = { file = "roots.pem" }
            ca = { env = "CA" }
            cert = { file = "cert.pem" }
            key = { env = "KEY" }
            server_name = "users.internal"
            min_version = "1.3"
            "#,
        );
        let expected = TlsSettings {
            roots: Roots::File("roots.pem".into()),
            ca: Some(PemSource::Env("CA".into())),
            cert: Some(PemSource::File("cert.pem".into())),
            key: Some(PemSource::Env("KEY".into())),
            server_name: Some("users.internal".into()),
            min_version: TlsVersion::V13,
        };
        assert_eq!(all.unwrap(), expected);
        for wrong in [r#"roots = "none""#, r#"min_version = "1.0""#, r#"key = "inline""#] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }
}
