//! Whom TLS trusts, built once a service.
//!
//! Every configuration is made with ring's provider passed explicitly: the process default is the application's, may be
//! missing, and rustls panics where it cannot tell which to take. What cannot be loaded is an error at once, and never a
//! weaker check later.

use std::{env, fmt, fs, path::PathBuf, sync::Arc};

use rustls::{
    ClientConfig, RootCertStore, SupportedProtocolVersion,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use serde::{Deserialize, Serialize};

/// Whom TLS trusts, and who we say we are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct TlsSettings {
    /// Which authorities are trusted: `"system"`, or only those in `{ file = "roots.pem" }`.
    pub(crate) roots: Roots,
    /// Further authorities, besides the roots.
    pub(crate) ca: Option<PemSource>,
    /// Our certificate and its chain, for servers that ask for one.
    pub(crate) cert: Option<PemSource>,
    /// The key of our certificate.
    pub(crate) key: Option<PemSource>,
    /// The name that the server must prove; its address's host by default.
    pub(crate) server_name: Option<String>,
    /// The oldest version of TLS spoken.
    pub(crate) min_version: TlsVersion,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Roots {
    /// Those that the operating system trusts.
    #[default]
    System,
    /// Only those in this PEM file.
    File(PathBuf),
}

/// Where PEM text is kept. It is read when the service is opened, and never printed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum PemSource {
    File(PathBuf),
    Env(String),
}

impl PemSource {
    /// The text.
    ///
    /// # Errors
    /// Where it should be, and why it cannot be read.
    fn read(&self) -> Result<Vec<u8>, String> {
        match self {
            Self::File(path) => {
                fs::read(path).map_err(|error| format!("cannot be read from {self}: {error}"))
            }
            Self::Env(name) => env::var(name).map(String::into_bytes).map_err(|error| match error {
                env::VarError::NotPresent => format!("cannot be read: {self} is not set"),
                env::VarError::NotUnicode(_) => format!("cannot be read: {self} is not text"),
            }),
        }
    }
}

impl fmt::Display for PemSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "the file {}", path.display()),
            Self::Env(name) => write!(f, "the variable {name}"),
        }
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum TlsVersion {
    #[default]
    #[serde(rename = "1.2")]
    V12,
    #[serde(rename = "1.3")]
    V13,
}

/// What connections are encrypted by.
///
/// # Errors
/// Which setting cannot be used, and why.
pub(crate) fn configuration(settings: &TlsSettings) -> Result<Arc<ClientConfig>, String> {
    let versions: &[&SupportedProtocolVersion] = match settings.min_version {
        TlsVersion::V12 => &[&rustls::version::TLS13, &rustls::version::TLS12],
        TlsVersion::V13 => &[&rustls::version::TLS13],
    };
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(versions)
        .map_err(|error| format!("`tls.min_version` {error}"))?
        .with_root_certificates(roots(settings)?);
    let configuration = match (&settings.cert, &settings.key) {
        (None, None) => builder.with_no_client_auth(),
        (Some(cert), Some(key)) => {
            let pem = key.read().map_err(|problem| format!("`tls.key` {problem}"))?;
            // The parser's own words might repeat a piece of the key.
            let key = PrivateKeyDer::from_pem_slice(&pem)
                .map_err(|_| format!("`tls.key` has no private key in PEM in {key}"))?;
            builder
                .with_client_auth_cert(certificates("tls.cert", cert)?, key)
                .map_err(|error| format!("`tls.key` does not fit `tls.cert`: {error}"))?
        }
        (Some(_), None) => return Err("`tls.key` is missing, but `tls.cert` is set".into()),
        (None, Some(_)) => return Err("`tls.cert` is missing, but `tls.key` is set".into()),
    };
    Ok(Arc::new(configuration))
}

fn roots(settings: &TlsSettings) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    match &settings.roots {
        Roots::File(path) => add(&mut roots, "tls.roots", &PemSource::File(path.clone()))?,
        Roots::System => {
            // Some systems carry certificates that no modern verifier can read: these few are left out.
            let (usable, _) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
            if usable == 0 && settings.ca.is_none() {
                return Err(
                    "`tls.roots` is \"system\", but the system has no root certificates; install them \
                            (ca-certificates), or name a file: roots = { file = \"..\" }"
                        .into(),
                );
            }
        }
    }
    if let Some(ca) = &settings.ca {
        add(&mut roots, "tls.ca", ca)?;
    }
    Ok(roots)
}

fn add(roots: &mut RootCertStore, setting: &str, source: &PemSource) -> Result<(), String> {
    for certificate in certificates(setting, source)? {
        roots.add(certificate).map_err(|error| {
            format!("`{setting}` has a certificate that cannot be trusted, from {source}: {error}")
        })?;
    }
    Ok(())
}

fn certificates(setting: &str, source: &PemSource) -> Result<Vec<CertificateDer<'static>>, String> {
    let pem = source.read().map_err(|problem| format!("`{setting}` {problem}"))?;
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<_, _>>()
        .map_err(|error| format!("`{setting}` is no valid PEM, in {source}: {error}"))?;
    match certificates.is_empty() {
        true => Err(format!("`{setting}` has no certificate in {source}")),
        false => Ok(certificates),
    }
}
