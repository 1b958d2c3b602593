//! TLS with a real server: who is trusted is said by settings, and nothing weaker is ever tried.

#![allow(clippy::unwrap_used, reason = "a helper of tests may fail as a test does")]

mod support;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use seawall::downstream::{Blame, Reached};
use seawall_redis::{Get, Set};
use seawall_testkit::RedisServer;
use support::{Subject, failure, run};

/// A certificate for `localhost`, its key, and who signed it.
fn identity() -> [String; 3] {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let pem = authority.self_signed(&key).unwrap().pem();
    let issuer = Issuer::new(authority, key);
    let key = KeyPair::generate().unwrap();
    let leaf = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    [leaf.signed_by(&key, &issuer).unwrap().pem(), key.serialize_pem(), pem]
}

#[test]
fn a_server_is_trusted_by_its_authority_and_name_alone() {
    run(async {
        let [certificate, key, authority] = identity();
        let redis = RedisServer::builder().tls(&certificate, &key, &authority).start().await;
        let folder = std::env::temp_dir().join(format!("seawall-tls-{}", std::process::id()));
        std::fs::write(&folder, &authority).unwrap();
        let at = |host: &str, tls: &str| format!("url = \"rediss://{host}:{}\"\n{tls}", redis.addr().port());
        let trusting = format!("tls = {{ roots = {{ file = \"{}\" }} }}", folder.display());

        let subject = Subject::start(&at("localhost", &trusting)).await;
        subject.cache.send(Set::new("user", "ann")).await.unwrap();
        assert_eq!(subject.cache.send(Get::<String>::new("user")).await.unwrap().as_deref(), Some("ann"));
        subject.end().await;

        let named =
            format!("tls = {{ roots = {{ file = \"{}\" }}, server_name = \"localhost\" }}", folder.display());
        let subject = Subject::start(&at("127.0.0.1", &named)).await;
        subject.cache.send(Get::<String>::new("user")).await.unwrap();
        subject.end().await;

        for (host, tls) in [("127.0.0.1", trusting.as_str()), ("localhost", "")] {
            let subject = Subject::start(&at(host, tls)).await;
            let failed = failure(subject.cache.send(Get::<String>::new("user")).await);
            let seen = (failed.blame(), failed.has_reached(), failed.get_code());
            assert_eq!(seen, (Blame::Downstream, Reached::No, Some("tls")), "{failed:?}");
            subject.end().await;
        }
        std::fs::remove_file(&folder).unwrap();
    });
}

#[test]
fn who_asks_for_tls_gets_no_plain_text() {
    run(async {
        let redis = RedisServer::start().await;
        let settings = format!("url = \"rediss://{}\"\nconnect_timeout = \"200ms\"", redis.addr());
        let subject = Subject::start(&settings).await;
        let failed = failure(subject.cache.send(Get::<String>::new("user")).await);
        // To a Redis without TLS a handshake is a line that has not ended yet.
        assert_eq!(failed.get_code(), Some("connect_timeout"), "{failed:?}");
        let stats = redis.cli(&["INFO", "commandstats"]);
        assert!(!stats.contains("cmdstat_get") && !stats.contains("cmdstat_hello"), "{stats}");
        subject.end().await;
    });
}
