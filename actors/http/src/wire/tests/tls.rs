use std::{
    fs,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use rustls::{RootCertStore, ServerConfig, pki_types::PrivateKeyDer, server::WebPkiClientVerifier};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};

use super::{server::Server, *};
use crate::wire::{PemSource, Roots, SetupError, TlsReason, TlsSettings, TlsVersion};

type Authority = CertifiedIssuer<'static, KeyPair>;

fn authority() -> Authority {
    named("an authority for tests")
}

fn named(name: &str) -> Authority {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.distinguished_name.push(DnType::CommonName, name);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate for a name, and its key.
struct Leaf {
    certificate: rcgen::Certificate,
    key: KeyPair,
}

fn leaf(authority: &Authority, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Leaf {
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    change(&mut params);
    let key = KeyPair::generate().unwrap();
    Leaf { certificate: params.signed_by(&key, authority).unwrap(), key }
}

fn builder() -> rustls::ConfigBuilder<ServerConfig, rustls::WantsVerifier> {
    ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_protocol_versions(&[&rustls::version::TLS12, &rustls::version::TLS13])
        .unwrap()
}

impl Leaf {
    fn server(&self) -> ServerConfig {
        let key = PrivateKeyDer::Pkcs8(self.key.serialize_der().into());
        builder().with_no_client_auth().with_single_cert(vec![self.certificate.der().clone()], key).unwrap()
    }
}

/// A file that is gone when the test is over.
struct Scratch(PathBuf);

impl Scratch {
    fn new(text: &str) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let name = format!("seawall-wire-{}-{}.pem", std::process::id(), COUNT.fetch_add(1, Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::write(&path, text).unwrap();
        Self(path)
    }

    fn source(&self) -> PemSource {
        PemSource::File(self.0.clone())
    }

    fn only(&self) -> TlsSettings {
        TlsSettings { roots: Roots::File(self.0.clone()), ..TlsSettings::default() }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn client(url: &str, tls: TlsSettings) -> Client {
    Client::new(WireSettings { tls, ..settings(url) }, permits(20))
}

fn setup(url: &str, tls: TlsSettings) -> SetupError {
    match Wires::new(WireSettings { tls, ..settings(url) }, permits(1)) {
        Ok(_) => panic!("accepted"),
        Err(error) => error,
    }
}

#[test]
fn a_trusted_server_is_told_its_name_and_gets_the_request() {
    run(async {
        let authority = authority();
        let trusted = Scratch::new(&authority.pem());
        let server = Server::tls(leaf(&authority, "localhost", |_| {}).server()).await;
        let client = client(&server.url, trusted.only());
        client.ok().await;
        client.ok().await;
        assert_eq!((server.accepted(), server.names()), (1, vec![Some("localhost".to_owned())]));
        let (_, host) = client.get("/host").await;
        assert_eq!(host.unwrap().to_lowercase(), format!("host: localhost:{}", server.port()));
    });
}

#[test]
fn the_name_can_be_another_than_the_hosts() {
    run(async {
        let authority = authority();
        let trusted = Scratch::new(&authority.pem());
        let server = Server::tls(leaf(&authority, "users.internal", |_| {}).server()).await;
        let named = TlsSettings { server_name: Some("users.internal".into()), ..trusted.only() };
        client(&server.url, named).ok().await;
        assert_eq!(server.names(), [Some("users.internal".to_owned())]);
    });
}

#[test]
fn whom_not_to_trust() {
    run(async {
        let (ours, theirs) = (named("ours"), named("theirs"));
        let trusted = Scratch::new(&ours.pem());
        let past = (date_time_ymd(2019, 1, 1), date_time_ymd(2020, 1, 1));
        let future = (date_time_ymd(2200, 1, 1), date_time_ymd(2201, 1, 1));
        let alone = {
            let key = KeyPair::generate().unwrap();
            let certificate =
                CertificateParams::new(["localhost".to_owned()]).unwrap().self_signed(&key).unwrap();
            Leaf { certificate, key }
        };
        let valid = |(from, to)| {
            move |params: &mut CertificateParams| (params.not_before, params.not_after) = (from, to)
        };
        for (leaf, reason) in [
            (leaf(&ours, "elsewhere.internal", |_| {}), TlsReason::WrongHost),
            (leaf(&ours, "localhost", valid(past)), TlsReason::Expired),
            (leaf(&ours, "localhost", valid(future)), TlsReason::NotYetValid),
            (leaf(&theirs, "localhost", |_| {}), TlsReason::UnknownAuthority),
            (alone, TlsReason::UnknownAuthority),
        ] {
            let server = Server::tls(leaf.server()).await;
            let client = client(&server.url, trusted.only());
            for _ in 0..2 {
                let error = client.fails().await;
                let Cause::Tls { reason: found, .. } = cause(&error) else { panic!("{reason:?}: {error:?}") };
                assert_eq!(*found, reason, "{error:?}");
                assert!(error.to_string().contains(&reason.to_string()), "{error}");
            }
            assert_eq!((server.requests(), client.wires().counts().tls_errors), (0, 2));
            assert_eq!(client.wires().permits().in_use(), 0);
        }
    });
}

#[test]
fn the_systems_roots_do_not_trust_a_stranger_but_a_ca_besides_them_does() {
    run(async {
        let authority = authority();
        let trusted = Scratch::new(&authority.pem());
        let server = Server::tls(leaf(&authority, "localhost", |_| {}).server()).await;
        let besides = TlsSettings { ca: Some(trusted.source()), ..trusted.only() };
        client(&server.url, besides).ok().await;
        match Wires::new(settings(&server.url), permits(1)) {
            Ok(wires) => {
                let error = Client::of(&wires).fails().await;
                assert!(matches!(cause(&error), Cause::Tls { reason: TlsReason::UnknownAuthority, .. }));
                let besides = TlsSettings { ca: Some(trusted.source()), ..TlsSettings::default() };
                client(&server.url, besides).ok().await;
            }
            // A machine without any: then it says so.
            Err(error) => assert_eq!(error.setting(), "tls.roots"),
        }
    });
}

#[test]
fn a_server_without_tls_gets_nothing_readable_from_https() {
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
        let heard = actix_rt::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut heard = vec![0; 4096];
            let read = socket.read(&mut heard).await.unwrap();
            heard.truncate(read);
            socket.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nfine").await.unwrap();
            let _ = socket.read_to_end(&mut heard).await;
            heard
        });
        let trusted = Scratch::new(&authority().pem());
        let error = client(&url, trusted.only()).fails().await;
        assert!(matches!(cause(&error), Cause::Tls { reason: TlsReason::NotTls, .. }), "{error:?}");
        let heard = heard.await.unwrap();
        assert_eq!(heard[0], 0x16, "a TLS handshake record");
        assert!(!heard.windows(4).any(|bytes| bytes == b"GET "));
    });
}

#[test]
fn a_client_certificate_is_shown_where_asked_for() {
    run(async {
        let authority = authority();
        let trusted = Scratch::new(&authority.pem());
        let mut roots = RootCertStore::empty();
        roots.add(authority.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider).build().unwrap();
        let host = leaf(&authority, "localhost", |_| {});
        let key = PrivateKeyDer::Pkcs8(host.key.serialize_der().into());
        let config = builder()
            .with_client_cert_verifier(verifier)
            .with_single_cert(vec![host.certificate.der().clone()], key)
            .unwrap();
        let server = Server::tls(config).await;

        let us = leaf(&authority, "client.internal", |_| {});
        let (cert, key) = (Scratch::new(&us.certificate.pem()), Scratch::new(&us.key.serialize_pem()));
        let known = TlsSettings { cert: Some(cert.source()), key: Some(key.source()), ..trusted.only() };
        client(&server.url, known).ok().await;

        // In TLS 1.3 the server judges after the client is done, so this fails with the request.
        let (exchange, answer) = client(&server.url, trusted.only()).get("/ok").await;
        assert!(!exchange.answered());
        let error = answer.unwrap_err();
        assert_eq!(TlsReason::find(&error), Some(TlsReason::OursRefused), "{error:?}");
        assert_eq!(server.requests(), 1);
    });
}

#[test]
fn an_old_version_is_refused_where_a_newer_one_is_asked_for() {
    run(async {
        let authority = authority();
        let trusted = Scratch::new(&authority.pem());
        let host = leaf(&authority, "localhost", |_| {});
        let key = PrivateKeyDer::Pkcs8(host.key.serialize_der().into());
        let old = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS12])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![host.certificate.der().clone()], key)
            .unwrap();
        let server = Server::tls(old).await;
        client(&server.url, trusted.only()).ok().await;
        let newer = TlsSettings { min_version: TlsVersion::V13, ..trusted.only() };
        let error = client(&server.url, newer).fails().await;
        assert!(matches!(cause(&error), Cause::Tls { reason: TlsReason::Incompatible, .. }), "{error:?}");
    });
}

#[test]
fn settings_that_do_not_fit_are_refused_with_their_names() {
    let authority = authority();
    let (good, junk) = (Scratch::new(&authority.pem()), Scratch::new("not a certificate"));
    let other = Scratch::new(&KeyPair::generate().unwrap().serialize_pem());
    let missing = PemSource::File("/nonexistent/ca.pem".into());
    let https = "https://localhost";
    for (url, tls, setting) in [
        ("http://localhost", good.only(), "tls"),
        (https, TlsSettings { ca: Some(missing), ..good.only() }, "tls.ca"),
        (https, TlsSettings { ca: Some(PemSource::Env("SEAWALL_NOT_SET".into())), ..good.only() }, "tls.ca"),
        (https, junk.only(), "tls.roots"),
        (https, TlsSettings { cert: Some(good.source()), ..good.only() }, "tls.key"),
        (https, TlsSettings { key: Some(other.source()), ..good.only() }, "tls.cert"),
        (
            https,
            TlsSettings { cert: Some(good.source()), key: Some(junk.source()), ..good.only() },
            "tls.key",
        ),
        (
            https,
            TlsSettings { cert: Some(good.source()), key: Some(other.source()), ..good.only() },
            "tls.key",
        ),
        (https, TlsSettings { server_name: Some("not a name".into()), ..good.only() }, "tls.server_name"),
    ] {
        let error = setup(url, tls);
        assert_eq!(error.setting(), setting, "{error}");
    }
}

#[test]
fn a_provider_that_the_process_installed_changes_nothing() {
    // Building has not needed one in any test above; with one that can do nothing, it still works.
    let mut useless = rustls::crypto::ring::default_provider();
    useless.cipher_suites.clear();
    useless.kx_groups.clear();
    let _ = useless.install_default();
    run(async {
        let authority = authority();
        let trusted = Scratch::new(&authority.pem());
        let server = Server::tls(leaf(&authority, "localhost", |_| {}).server()).await;
        client(&server.url, trusted.only()).ok().await;
    });
}
