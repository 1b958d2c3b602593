//! Proxies: those of the settings, and never those of the environment.

#![allow(clippy::unwrap_used, reason = "a helper of tests may fail as a test does")]

mod support;

use std::{
    cell::RefCell, fs, io::ErrorKind, net::SocketAddr, path::PathBuf, process::Command, rc::Rc,
    time::Duration,
};

use seawall::downstream::{Blame, Downstream, Failure, OpenContext, PoolSettings, Reached, Stage, Symptom};
use seawall_http::{Empty, Http, HttpSettings, Raw, Request};
use seawall_testkit::{Reply, TestServer, TlsIdentity};
use support::{Client, Reaction, Server, answer, chain, run};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
};

/// A file with a password, and its `known` for settings.
fn known(name: &str) -> (PathBuf, String) {
    let file = std::env::temp_dir().join(format!("seawall-http-proxy-{name}-{}", std::process::id()));
    fs::write(&file, "open sesame").unwrap();
    let known = format!("user = \"Aladdin\", password = {{ file = {file:?} }}");
    (file, known)
}

const KNOWN: &str = "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==";

fn get() -> Request {
    Request::get().path("/a").query("b", &"c d")
}

async fn failure(client: &Client) -> Failure {
    client.send::<Empty>(get()).await.unwrap_err()
}

#[test]
fn a_plain_request_tells_the_proxy_the_whole_url() {
    run(async {
        let proxy = Server::answering(answer("200 OK", "", "there")).await;
        let (file, known) = known("plain");
        let settings = format!(
            "url = \"http://users.invalid:8080/v2\"\nhttp.proxy = {{ url = \"http://{}\", {known} }}",
            proxy.address
        );
        let client = Client::open(&settings, |context| context).await;
        for _ in 0..2 {
            assert_eq!(&client.send::<Raw>(get()).await.unwrap()[..], b"there");
        }
        fs::remove_file(file).unwrap();
        let last = proxy.last();
        assert_eq!(last.line, "GET http://users.invalid:8080/v2/a?b=c%20d HTTP/1.1");
        assert_eq!(last.header("host"), Some("users.invalid:8080"));
        assert_eq!((last.header("proxy-authorization"), last.connection), (Some(KNOWN), 0));
        assert!(!format!("{:?}", client.http).contains("sesame"));
    });
}

/// A proxy that answers `CONNECT` with this, and opens the tunnel if that is a 200.
async fn tunnels(answer: &'static str, to: SocketAddr) -> (SocketAddr, Rc<RefCell<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let heads = Rc::<RefCell<Vec<String>>>::default();
    let seen = heads.clone();
    actix_rt::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") && stream.read_buf(&mut head).await.unwrap() > 0 {}
            seen.borrow_mut().push(String::from_utf8(head).unwrap());
            // In crumbs, as a slow proxy would.
            for piece in answer.as_bytes().chunks(7) {
                stream.write_all(piece).await.unwrap();
                tokio::task::yield_now().await;
            }
            if answer.starts_with("HTTP/1.1 200") {
                let mut server = TcpStream::connect(to).await.unwrap();
                actix_rt::spawn(async move { drop(copy_bidirectional(&mut stream, &mut server).await) });
            }
        }
    });
    (address, heads)
}

/// A service over TLS, and a file with whom to trust for it.
fn secure(name: &str) -> (TestServer, PathBuf) {
    let server = TestServer::builder()
        .tls(TlsIdentity::new())
        .on_request(|_: &seawall_testkit::Request| Reply::text("there"))
        .start();
    let ca = std::env::temp_dir().join(format!("seawall-http-proxy-ca-{name}-{}", std::process::id()));
    fs::write(&ca, server.ca_pem().unwrap()).unwrap();
    (server, ca)
}

async fn secure_client(server: &TestServer, ca: &PathBuf, proxy: SocketAddr, known: &str) -> Client {
    let settings = format!(
        "url = \"{}\"\ntls.roots = {{ file = {ca:?} }}\nhttp.proxy = {{ url = \"http://{proxy}\", {known} }}",
        server.url("")
    );
    Client::open(&settings, |context| context).await
}

#[test]
fn an_encrypted_one_asks_for_a_tunnel_and_tells_the_proxy_no_more() {
    run(async {
        let (server, ca) = secure("tunnel");
        let (proxy, heads) =
            tunnels("HTTP/1.1 200 Connection established\r\nvia: x\r\n\r\n", server.addr()).await;
        let (file, known) = known("tunnel");
        let client = secure_client(&server, &ca, proxy, &known).await;
        for _ in 0..3 {
            assert_eq!(&client.send::<Raw>(get()).await.unwrap()[..], b"there");
        }
        let to = server.addr();
        let asked = format!("CONNECT {to} HTTP/1.1\r\nhost: {to}\r\nproxy-authorization: {KNOWN}\r\n\r\n");
        assert_eq!(*heads.borrow(), [asked], "one tunnel serves all three");
        let requests = server.requests();
        assert_eq!((requests.len(), requests[0].target.as_str()), (3, "/a?b=c%20d"));
        assert!(requests.iter().all(|request| request.header("proxy-authorization").is_none()));
        fs::remove_file(file).unwrap();
        fs::remove_file(ca).unwrap();
    });
}

#[test]
fn what_a_proxy_refuses_is_told_from_what_it_does_not_reach() {
    run(async {
        let (server, ca) = secure("refuses");
        for (answered, blame, part) in [
            ("HTTP/1.1 407 X\r\ncontent-length: 6\r\n\r\nsecret", Blame::Local, "who asks (407)"),
            ("HTTP/1.1 403 X\r\n\r\n", Blame::Local, "does not allow it (403)"),
            ("HTTP/1.1 502 X\r\n\r\n", Blame::Downstream, "did not reach it (502)"),
            ("HTTP/1.1 200 X\r\n\r\nsecret", Blame::Downstream, "is no proxy"),
            ("SSH-2.0-OpenSSH\r\n\r\n", Blame::Downstream, "is no proxy"),
        ] {
            let (proxy, _) = tunnels(answered, server.addr()).await;
            let failure = failure(&secure_client(&server, &ca, proxy, "").await).await;
            assert_eq!((failure.blame(), failure.has_reached()), (blame, Reached::No), "{answered:?}");
            assert_eq!((failure.looked_like(), failure.get_code()), (Symptom::Connect, Some("proxy")));
            let text = chain(&failure);
            assert!(text.contains(part) && !text.contains("secret"), "{text}");
        }
        assert_eq!(server.stats().accepted, 0, "nothing went past the proxy");
        fs::remove_file(ca).unwrap();
    });
}

#[test]
fn a_proxy_that_is_not_there_is_named() {
    run(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let gone = listener.local_addr().unwrap();
        drop(listener);
        for url in ["http://users.invalid", "https://users.invalid"] {
            let settings = format!("url = \"{url}\"\nhttp.proxy = \"http://{gone}\"");
            let failure = failure(&Client::open(&settings, |context| context).await).await;
            let text = failure.to_string();
            assert!(text.contains(&format!("the proxy http://{gone} refused the connection")), "{text}");
            assert_eq!((failure.blame(), failure.get_code()), (Blame::Downstream, Some("refused")));
        }
    });
}

#[test]
fn a_proxy_that_hangs_costs_the_time_to_connect() {
    run(async {
        let (server, ca) = secure("hangs");
        let (proxy, heads) = tunnels("HTTP/1.1 2", server.addr()).await;
        // Held open: its task waits for the next connection with this one dropped, so another holds it.
        let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let settings: HttpSettings = toml::from_str(&format!(
            "url = \"{}\"\ntls.roots = {{ file = {ca:?} }}\nhttp.proxy = \"http://{}\"",
            server.url(""),
            silent.local_addr().unwrap()
        ))
        .unwrap();
        let context = OpenContext::new("users", Duration::from_millis(100), PoolSettings::default());
        let hanging = Client { http: Http::open(&settings, &context).await.unwrap() };
        let slow = failure(&hanging).await;
        assert_eq!(slow.looked_like(), Symptom::Timeout(Stage::Connect));
        assert!(slow.to_string().contains("asking for a way to the server"), "{slow}");
        // One that closes in the midst of its answer has broken, and nothing was sent.
        let broken = failure(&secure_client(&server, &ca, proxy, "").await).await;
        assert_eq!((broken.get_code(), broken.has_reached()), (Some("network"), Reached::No));
        assert_eq!(heads.borrow().len(), 1);
        fs::remove_file(ca).unwrap();
    });
}

#[test]
fn a_plain_service_whose_proxy_does_not_know_us_has_not_been_asked() {
    run(async {
        let proxy = Server::start(|_, _| Reaction::Write(answer("407 X", "", ""))).await;
        let settings = format!("url = \"http://users.invalid\"\nhttp.proxy = \"http://{}\"", proxy.address);
        let failure = failure(&Client::open(&settings, |context| context).await).await;
        assert_eq!((failure.blame(), failure.has_reached()), (Blame::Local, Reached::No));
    });
}

/// Set for the process in which the environment names proxies.
const INNER: &str = "SEAWALL_HTTP_TEST_WITH_PROXIES";

#[test]
fn the_environments_proxies_are_not_looked_at() {
    if std::env::var_os(INNER).is_some() {
        return run(async {
            assert!(std::env::var("HTTP_PROXY").unwrap().starts_with("http://127.0.0.1:"));
            let plain = Server::answering(answer("200 OK", "", "there")).await;
            plain.client().await.send::<Raw>(get()).await.unwrap();
            assert_eq!(plain.last().line, "GET /a?b=c%20d HTTP/1.1");
            let (server, ca) = secure("environment");
            let settings = format!("url = \"{}\"\ntls.roots = {{ file = {ca:?} }}", server.url(""));
            Client::open(&settings, |context| context).await.send::<Raw>(get()).await.unwrap();
            fs::remove_file(ca).unwrap();
        });
    }
    let trap = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    trap.set_nonblocking(true).unwrap();
    let url = format!("http://{}", trap.local_addr().unwrap());
    let mut inner = Command::new(std::env::current_exe().unwrap());
    inner.args(["--exact", "the_environments_proxies_are_not_looked_at"]).env(INNER, "1");
    for name in ["HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"] {
        inner.env(name, &url);
    }
    for name in ["NO_PROXY", "no_proxy"] {
        inner.env_remove(name);
    }
    let output = inner.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
    assert_eq!(trap.accept().map(|_| ()).unwrap_err().kind(), ErrorKind::WouldBlock, "it was asked");
}
