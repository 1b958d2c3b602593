//! Who is trusted, in libpq's five modes.
//!
//! The configuration is made with ring's provider passed explicitly: the process's default belongs to the application. What
//! cannot be loaded is an error at once, and never a weaker check later. Where a mode asks for no proof of who answers,
//! signatures are still checked, so that what is not believed is at least one and the same.

use std::{env, fmt, fs, sync::Arc};

use parking_lot::Mutex;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
};
use tokio_rustls::TlsConnector;

use crate::settings::{PemSource, PostgresSettings, SslMode};

/// How a service's connections are encrypted.
#[derive(Clone)]
pub(crate) struct Tls {
    pub(super) connector: TlsConnector,
    /// In place of the host's own name.
    name: Option<ServerName<'static>>,
    /// Whether a server without TLS is refused.
    pub(super) required: bool,
}

/// A setting that connections cannot be made with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SetupError(String);

impl fmt::Display for SetupError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn wrong(setting: &str, problem: impl fmt::Display) -> SetupError {
    SetupError(format!("`{setting}` {problem}"))
}

impl Tls {
    /// `None` where TLS is never asked for.
    ///
    /// # Errors
    /// For what cannot be read or does not fit together.
    pub(crate) fn new(settings: &PostgresSettings) -> Result<Option<Self>, SetupError> {
        let mode = settings.table.ssl_mode;
        let tls = &settings.tls;
        if mode == SslMode::Disable {
            return Ok(None);
        }
        let name = tls.server_name.clone().map(ServerName::try_from).transpose();
        let name = name.map_err(|_| wrong("tls.server_name", "is neither a DNS name nor an address"))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let chain = || -> Result<Arc<WebPkiServerVerifier>, SetupError> {
            let roots = match &tls.ca {
                Some(ca) => Arc::new(only(ca)?),
                None => system_roots()?,
            };
            WebPkiServerVerifier::builder_with_provider(roots, Arc::clone(&provider))
                .build()
                .map_err(|error| wrong("tls.ca", format!("cannot be used: {error}")))
        };
        let verifier: Arc<dyn ServerCertVerifier> = match mode {
            SslMode::VerifyFull => chain()?,
            // As libpq has it: who names an authority wants it asked.
            SslMode::VerifyCa => Arc::new(AnyHost(chain()?)),
            SslMode::Require | SslMode::Prefer if tls.ca.is_some() => Arc::new(AnyHost(chain()?)),
            SslMode::Disable | SslMode::Require | SslMode::Prefer => Arc::new(Anybody(Arc::clone(&provider))),
        };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|error| wrong("postgres.ssl_mode", format!("cannot be had: {error}")))?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let configuration = match (&tls.cert, &tls.key) {
            (None, None) => builder.with_no_client_auth(),
            (Some(cert), Some(key)) => builder
                .with_client_auth_cert(certificates("tls.cert", cert)?, private_key(key)?)
                .map_err(|error| wrong("tls.key", format!("does not fit `tls.cert`: {error}")))?,
            (Some(_), None) => return Err(wrong("tls.key", "is missing, but `tls.cert` is set")),
            (None, Some(_)) => return Err(wrong("tls.cert", "is missing, but `tls.key` is set")),
        };
        let connector = TlsConnector::from(Arc::new(configuration));
        Ok(Some(Self { connector, name, required: mode != SslMode::Prefer }))
    }

    /// Whom `host` must be.
    pub(super) fn name(&self, host: &str) -> Result<ServerName<'static>, SetupError> {
        match &self.name {
            Some(name) => Ok(name.clone()),
            None => ServerName::try_from(host.to_owned()).map_err(|_| {
                wrong("url", format!("names \"{host}\", which no certificate can; see `tls.server_name`"))
            }),
        }
    }
}

fn only(ca: &PemSource) -> Result<RootCertStore, SetupError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates("tls.ca", ca)? {
        roots.add(certificate).map_err(|error| wrong("tls.ca", format!("cannot be trusted: {error}")))?;
    }
    Ok(roots)
}

/// Read once a process. A failure is not kept.
fn system_roots() -> Result<Arc<RootCertStore>, SetupError> {
    static LOADED: Mutex<Option<Arc<RootCertStore>>> = Mutex::new(None);
    let mut loaded = LOADED.lock();
    if let Some(roots) = &*loaded {
        return Ok(Arc::clone(roots));
    }
    let mut roots = RootCertStore::empty();
    let (usable, _) = roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if usable == 0 {
        return Err(wrong(
            "postgres.ssl_mode",
            "asks for a trusted authority, and the system has none: install them (ca-certificates), or name one in `tls.ca`",
        ));
    }
    Ok(Arc::clone(loaded.insert(Arc::new(roots))))
}

fn certificates(setting: &str, source: &PemSource) -> Result<Vec<CertificateDer<'static>>, SetupError> {
    let pem = read(setting, source)?;
    let certificates = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>();
    match certificates {
        Ok(certificates) if certificates.is_empty() => {
            Err(wrong(setting, format!("has no certificate in {source}")))
        }
        Ok(certificates) => Ok(certificates),
        Err(error) => Err(wrong(setting, format!("is no valid PEM, in {source}: {error}"))),
    }
}

fn private_key(source: &PemSource) -> Result<PrivateKeyDer<'static>, SetupError> {
    let pem = read("tls.key", source)?;
    // The parser's own words might repeat a piece of the key.
    PrivateKeyDer::from_pem_slice(&pem)
        .map_err(|_| wrong("tls.key", format!("has no private key in PEM in {source}")))
}

fn read(setting: &str, source: &PemSource) -> Result<Vec<u8>, SetupError> {
    let failed = |why: &dyn fmt::Display| wrong(setting, format!("cannot be read from {source}: {why}"));
    match source {
        PemSource::File(path) => fs::read(path).map_err(|error| failed(&error)),
        PemSource::Env(name) => env::var(name).map(String::into_bytes).map_err(|_| failed(&"it is not set")),
    }
}

/// Believes whoever has a certificate, and checks that it is his.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signed, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Believes whoever a trusted authority has signed for, whatever host.
#[derive(Debug)]
struct AnyHost(Arc<WebPkiServerVerifier>);

impl ServerCertVerifier for AnyHost {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        // The name is looked at last, when all else is found good.
        match self.0.verify_server_cert(certificate, between, name, ocsp, now) {
            Err(rustls::Error::InvalidCertificate(
                CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. },
            )) => Ok(ServerCertVerified::assertion()),
            verdict => verdict,
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.0.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
