use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

/// What a TLS server shows for itself: by default a certificate for `localhost` and `127.0.0.1` from an authority
/// made for it, which the client trusts once it has [`TestServer::ca_pem`](super::TestServer::ca_pem).
///
/// Keys and certificates are made at run time, with ring.
#[derive(Clone, Debug)]
pub struct TlsIdentity {
    hosts: Vec<String>,
    validity: Validity,
    self_signed: bool,
    asks_client: bool,
}

/// A certificate and its key, both in PEM.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct ClientIdentity {
    /// The certificate.
    pub certificate_pem: String,
    /// The private key, as PKCS#8.
    pub key_pem: String,
}

/// What a server and its tests need of an identity.
pub(super) struct Built {
    pub(super) acceptor: TlsAcceptor,
    pub(super) ca_pem: String,
    pub(super) client: ClientIdentity,
    pub(crate) pem: ServerPem,
}

/// The same for a server that reads files: its certificate, its key, and the authority.
#[derive(Debug)]
pub(crate) struct ServerPem {
    pub(crate) certificate: String,
    pub(crate) key: String,
    pub(crate) authority: String,
}

#[derive(Clone, Copy, Debug)]
enum Validity {
    Now,
    Past,
    Future,
}

impl TlsIdentity {
    /// A sound identity.
    pub fn new() -> Self {
        Self {
            hosts: vec!["localhost".into(), "127.0.0.1".into()],
            validity: Validity::Now,
            self_signed: false,
            asks_client: false,
        }
    }

    /// For other hosts: names or addresses.
    pub fn hosts<S: Into<String>>(mut self, hosts: impl IntoIterator<Item = S>) -> Self {
        self.hosts = hosts.into_iter().map(Into::into).collect();
        self
    }

    /// For `wrong.host.invalid` alone.
    pub fn wrong_host(self) -> Self {
        self.hosts(["wrong.host.invalid"])
    }

    /// Expired in 2001.
    pub fn expired(mut self) -> Self {
        self.validity = Validity::Past;
        self
    }

    /// Valid from the year 3000.
    pub fn not_yet_valid(mut self) -> Self {
        self.validity = Validity::Future;
        self
    }

    /// Signed by itself, not by the authority: a client that trusts the authority does not know it.
    pub fn self_signed(mut self) -> Self {
        self.self_signed = true;
        self
    }

    /// Refuses clients without a certificate of the same authority, such as
    /// [`TestServer::client_identity`](super::TestServer::client_identity).
    pub fn require_client_certificate(mut self) -> Self {
        self.asks_client = true;
        self
    }

    /// Made anew each time.
    ///
    /// # Panics
    /// If ring refuses to make keys.
    pub(crate) fn to_pem(&self) -> ServerPem {
        self.build().unwrap_or_else(|error| panic!("no certificate: {error}")).pem
    }

    pub(super) fn build(&self) -> Result<Built, Box<dyn std::error::Error>> {
        let mut authority = CertificateParams::new(Vec::<String>::new())?;
        authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        authority.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        authority.distinguished_name.push(DnType::CommonName, "seawall test authority");
        let authority_key = KeyPair::generate()?;
        let ca = authority.self_signed(&authority_key)?;
        let authority = Issuer::new(authority, authority_key);

        let key = KeyPair::generate()?;
        let mut leaf = CertificateParams::new(self.hosts.clone())?;
        leaf.distinguished_name.push(DnType::CommonName, "seawall test server");
        (leaf.not_before, leaf.not_after) = match self.validity {
            Validity::Now => (date_time_ymd(2020, 1, 1), date_time_ymd(2999, 1, 1)),
            Validity::Past => (date_time_ymd(2000, 1, 1), date_time_ymd(2001, 1, 1)),
            Validity::Future => (date_time_ymd(3000, 1, 1), date_time_ymd(3001, 1, 1)),
        };
        let leaf = if self.self_signed { leaf.self_signed(&key)? } else { leaf.signed_by(&key, &authority)? };
        let chain: Vec<CertificateDer<'static>> = vec![leaf.der().clone()];
        let pem = ServerPem { certificate: leaf.pem(), key: key.serialize_pem(), authority: ca.pem() };
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));

        let client_key = KeyPair::generate()?;
        let mut client = CertificateParams::new(Vec::<String>::new())?;
        client.distinguished_name.push(DnType::CommonName, "seawall test client");
        client.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let client = ClientIdentity {
            certificate_pem: client.signed_by(&client_key, &authority)?.pem(),
            key_pem: client_key.serialize_pem(),
        };

        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config =
            ServerConfig::builder_with_provider(provider.clone()).with_safe_default_protocol_versions()?;
        let config = if self.asks_client {
            let mut roots = RootCertStore::empty();
            roots.add(ca.der().clone())?;
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build()?;
            config.with_client_cert_verifier(verifier)
        } else {
            config.with_no_client_auth()
        };
        let config = config.with_single_cert(chain, key)?;
        Ok(Built { acceptor: TlsAcceptor::from(Arc::new(config)), ca_pem: ca.pem(), client, pem })
    }
}

impl Default for TlsIdentity {
    fn default() -> Self {
        Self::new()
    }
}
