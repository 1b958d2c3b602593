//! Who is trusted, built once a service.
//!
//! Every configuration is made with ring's provider passed explicitly. The process default is neither read nor set: it
//! belongs to the application, may be missing, and rustls panics where it cannot tell which to take. Whatever cannot be
//! loaded is an error at once, and never a weaker check later.

use std::{env, fmt, fs, sync::Arc};

use actix_http::error::ParseError;
use awc::error::SendRequestError;
use parking_lot::Mutex;
use rustls::{
    AlertDescription, CertificateError, ClientConfig, RootCertStore, SupportedProtocolVersion,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
};
use tokio_rustls::TlsConnector;

use super::{PemSource, Roots, SetupError, Target, TlsSettings, TlsVersion};

/// Makes TLS with one server.
#[derive(Clone)]
pub(super) struct Tls {
    pub(super) connector: TlsConnector,
    pub(super) name: ServerName<'static>,
}

impl Tls {
    /// What the target needs: `None` for `http`.
    ///
    /// Reads files, and the system's roots the first time.
    ///
    /// # Errors
    /// For what cannot be read or does not fit together, and for settings of TLS where there is none.
    pub(super) fn new(target: &Target, settings: &TlsSettings) -> Result<Option<Self>, SetupError> {
        if !target.is_tls() {
            return match *settings == TlsSettings::default() {
                true => Ok(None),
                false => Err(SetupError::new("tls", format!("is set, but {target} is not https://"))),
            };
        }
        let name = settings.server_name.as_deref().unwrap_or(target.host());
        let name = ServerName::try_from(name.to_owned()).map_err(|_| {
            let setting = if settings.server_name.is_some() { "tls.server_name" } else { "url" };
            SetupError::new(setting, format!("names \"{name}\", which is neither a DNS name nor an address"))
        })?;
        Ok(Some(Self { connector: TlsConnector::from(Arc::new(configuration(settings)?)), name }))
    }
}

fn configuration(settings: &TlsSettings) -> Result<ClientConfig, SetupError> {
    let versions: &[&SupportedProtocolVersion] = match settings.min_version {
        TlsVersion::V12 => &[&rustls::version::TLS13, &rustls::version::TLS12],
        TlsVersion::V13 => &[&rustls::version::TLS13],
    };
    let builder = ClientConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(versions)
        .map_err(|error| SetupError::new("tls.min_version", error.to_string()))?
        .with_root_certificates(roots(settings)?);
    let mut configuration = match (&settings.cert, &settings.key) {
        (None, None) => builder.with_no_client_auth(),
        (Some(cert), Some(key)) => builder
            .with_client_auth_cert(certificates("tls.cert", cert)?, private_key(key)?)
            .map_err(|error| SetupError::new("tls.key", format!("does not fit `tls.cert`: {error}")))?,
        (Some(_), None) => {
            return Err(SetupError::new("tls.key", "is missing, but `tls.cert` is set".into()));
        }
        (None, Some(_)) => {
            return Err(SetupError::new("tls.cert", "is missing, but `tls.key` is set".into()));
        }
    };
    // A server that would speak HTTP/2 must not be left to guess.
    configuration.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(configuration)
}

fn roots(settings: &TlsSettings) -> Result<Arc<RootCertStore>, SetupError> {
    let mut roots = match &settings.roots {
        Roots::System => system_roots()?,
        Roots::File(path) => {
            let mut roots = RootCertStore::empty();
            add(&mut roots, "tls.roots", &PemSource::File(path.clone()))?;
            Arc::new(roots)
        }
    };
    if let Some(ca) = &settings.ca {
        add(Arc::make_mut(&mut roots), "tls.ca", ca)?;
    }
    Ok(roots)
}

fn add(roots: &mut RootCertStore, setting: &'static str, source: &PemSource) -> Result<(), SetupError> {
    for certificate in certificates(setting, source)? {
        roots.add(certificate).map_err(|error| {
            SetupError::new(
                setting,
                format!("has a certificate that cannot be trusted, from {source}: {error}"),
            )
        })?;
    }
    Ok(())
}

/// The system's roots are hundreds of files on some systems: they are read once a process. A failure is not kept.
fn system_roots() -> Result<Arc<RootCertStore>, SetupError> {
    static LOADED: Mutex<Option<Arc<RootCertStore>>> = Mutex::new(None);
    let mut loaded = LOADED.lock();
    if let Some(roots) = &*loaded {
        return Ok(roots.clone());
    }
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // Some systems carry certificates that no modern verifier can read: these few are left out, as browsers do.
    let (usable, _) = roots.add_parsable_certificates(found.certs);
    if usable == 0 {
        let why = found.errors.first().map(|error| format!(": {error}")).unwrap_or_default();
        return Err(SetupError::new(
            "tls.roots",
            format!(
                "is \"system\", but the system has no root certificates{why}; \
                 install them (ca-certificates), or name a file: roots = {{ file = \"...\" }}"
            ),
        ));
    }
    Ok(loaded.insert(Arc::new(roots)).clone())
}

fn certificates(
    setting: &'static str,
    source: &PemSource,
) -> Result<Vec<CertificateDer<'static>>, SetupError> {
    let pem = read(setting, source)?;
    let certificates = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| SetupError::new(setting, format!("is no valid PEM, in {source}: {error}")))?;
    if certificates.is_empty() {
        return Err(SetupError::new(setting, format!("has no certificate in {source}")));
    }
    Ok(certificates)
}

fn private_key(source: &PemSource) -> Result<PrivateKeyDer<'static>, SetupError> {
    let pem = read("tls.key", source)?;
    // The parser's own words might repeat a piece of the key.
    PrivateKeyDer::from_pem_slice(&pem)
        .map_err(|_| SetupError::new("tls.key", format!("has no private key in PEM in {source}")))
}

fn read(setting: &'static str, source: &PemSource) -> Result<Vec<u8>, SetupError> {
    match source {
        PemSource::File(path) => fs::read(path)
            .map_err(|error| SetupError::new(setting, format!("cannot be read from {source}: {error}"))),
        PemSource::Env(name) => env::var(name).map(String::into_bytes).map_err(|error| {
            let problem = match error {
                env::VarError::NotPresent => "is not set",
                env::VarError::NotUnicode(_) => "is not text",
            };
            SetupError::new(setting, format!("cannot be read: {source} {problem}"))
        }),
    }
}

/// Why TLS was not agreed upon, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum TlsReason {
    /// The certificate is another host's.
    WrongHost,
    /// The certificate is no longer valid.
    Expired,
    /// The certificate is not valid yet, or our clock is behind.
    NotYetValid,
    /// Nobody whom we trust signed it; self-signed certificates too.
    UnknownAuthority,
    /// It was revoked.
    Revoked,
    /// The certificate is faulty in another way, or signed with what we do not accept.
    BadCertificate,
    /// The server wants a certificate of ours, or another one.
    OursRefused,
    /// The server broke it off.
    Alert,
    /// No version or cipher in common.
    Incompatible,
    /// What answered does not speak TLS.
    NotTls,
    /// Anything else.
    Other,
}

impl TlsReason {
    /// Finds why TLS broke off under a request. A server that speaks TLS 1.3 judges our certificate when our handshake
    /// is over, so its refusal meets the request; the server has not looked at that.
    pub(crate) fn find(error: &SendRequestError) -> Option<Self> {
        let error = match error {
            SendRequestError::Send(error) | SendRequestError::Response(ParseError::Io(error)) => error,
            _ => return None,
        };
        error.get_ref()?.downcast_ref().map(Self::of)
    }

    pub(super) fn of(error: &rustls::Error) -> Self {
        use CertificateError as Bad;
        match error {
            rustls::Error::InvalidCertificate(bad) => match bad {
                Bad::NotValidForName | Bad::NotValidForNameContext { .. } => Self::WrongHost,
                Bad::Expired | Bad::ExpiredContext { .. } => Self::Expired,
                Bad::NotValidYet | Bad::NotValidYetContext { .. } => Self::NotYetValid,
                Bad::UnknownIssuer => Self::UnknownAuthority,
                Bad::Revoked => Self::Revoked,
                _ => Self::BadCertificate,
            },
            rustls::Error::NoCertificatesPresented => Self::BadCertificate,
            rustls::Error::AlertReceived(
                AlertDescription::CertificateRequired
                | AlertDescription::BadCertificate
                | AlertDescription::UnknownCA
                | AlertDescription::AccessDenied,
            ) => Self::OursRefused,
            rustls::Error::AlertReceived(
                AlertDescription::ProtocolVersion
                | AlertDescription::HandshakeFailure
                | AlertDescription::InsufficientSecurity
                | AlertDescription::NoApplicationProtocol,
            )
            | rustls::Error::PeerIncompatible(_)
            | rustls::Error::NoApplicationProtocol => Self::Incompatible,
            rustls::Error::AlertReceived(_) => Self::Alert,
            rustls::Error::InvalidMessage(_) => Self::NotTls,
            _ => Self::Other,
        }
    }
}

impl fmt::Display for TlsReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::WrongHost => "its certificate is for another host; see `tls.server_name`",
            Self::Expired => "its certificate has expired",
            Self::NotYetValid => "its certificate is not valid yet, or the clock here is behind",
            Self::UnknownAuthority => "nobody trusted here signed its certificate; see `tls.ca`",
            Self::Revoked => "its certificate was revoked",
            Self::BadCertificate => "its certificate is faulty",
            Self::OursRefused => "it refused our certificate, or wants one; see `tls.cert` and `tls.key`",
            Self::Alert => "it broke off the handshake",
            Self::Incompatible => "no version, cipher or protocol in common; see `tls.min_version`",
            Self::NotTls => "what answered does not speak TLS; is the port right?",
            Self::Other => "the handshake failed",
        })
    }
}
