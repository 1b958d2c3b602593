//! A service over TLS, as its settings say.

#![allow(clippy::unwrap_used, reason = "a helper of tests may fail as a test does")]

mod support;

use std::{fs, sync::Arc};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{ServerConfig, pki_types::PrivateKeyDer};
use seawall_http::{Request, Text};
use support::{Client, answer, run};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::TlsAcceptor;

#[test]
fn a_request_goes_over_tls_to_whom_the_settings_trust() {
    run(async {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let leaf = CertificateParams::new(["127.0.0.1".into()]).unwrap().signed_by(&key, &authority).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![leaf.der().clone()], PrivateKeyDer::Pkcs8(key.serialize_der().into()))
            .unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serve = async {
            let (stream, _) = listener.accept().await.unwrap();
            let mut stream = TlsAcceptor::from(Arc::new(config)).accept(stream).await.unwrap();
            let mut received = Vec::new();
            while !received.ends_with(b"\r\n\r\n") {
                stream.read_buf(&mut received).await.unwrap();
            }
            stream.write_all(&answer("200 OK", "", "over TLS")).await.unwrap();
            String::from_utf8(received).unwrap()
        };

        let ca = std::env::temp_dir().join(format!("seawall-http-{}.pem", std::process::id()));
        fs::write(&ca, authority.pem()).unwrap();
        let settings = format!("url = \"https://{address}\"\ntls = {{ roots = {{ file = {ca:?} }} }}");
        let client = Client::open(&settings, |context| context).await;
        fs::remove_file(&ca).unwrap();
        let (body, received) = tokio::join!(client.send::<Text>(Request::get().path("/a")), serve);
        assert_eq!(body.unwrap(), "over TLS");
        assert!(received.starts_with("GET /a HTTP/1.1\r\n"));
        assert!(received.contains(&format!("host: {address}\r\n")), "{received}");
    });
}
