//! A server that breaks its protocol while a fault is on, and answers well before and after: for faults that no real
//! server would make to order.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use seawall_testkit::{IntoScript, Reply, Request, Script, ServerStats, TestServer, TestServerBuilder};

use super::origin::Arrival;

type Break = dyn Fn(u64, &Request) -> Option<Script> + Send + Sync;

/// A test server with a switch.
pub(crate) struct Hostile {
    server: TestServer,
    on: Arc<AtomicBool>,
    arrivals: Arc<Mutex<Vec<Arrival>>>,
}

impl Hostile {
    /// A server that answers by `fault` while it is on, told the nonce; where that gives nothing it answers well.
    pub(crate) fn start(fault: impl Fn(u64, &Request) -> Option<Script> + Send + Sync + 'static) -> Self {
        Self::with(TestServer::builder(), fault)
    }

    pub(crate) fn with(
        builder: TestServerBuilder,
        fault: impl Fn(u64, &Request) -> Option<Script> + Send + Sync + 'static,
    ) -> Self {
        let (on, arrivals) = (Arc::<AtomicBool>::default(), Arc::<Mutex<Vec<Arrival>>>::default());
        let (switch, seen) = (on.clone(), arrivals.clone());
        let fault: Box<Break> = Box::new(fault);
        let server = builder
            .on_request(move |request: &Request| {
                let nonce = nonce_of(request);
                let header = |name: &str| request.header(name).and_then(|value| value.parse().ok());
                seen.lock().push(Arrival {
                    nonce,
                    at: request.arrived,
                    connection: request.connection,
                    deadline_ms: header(seawall_http::DEADLINE_HEADER),
                    write: request.method == "POST",
                    config: 0,
                    life: 1,
                });
                let broken = switch.load(Ordering::SeqCst).then(|| fault(nonce, request)).flatten();
                broken.unwrap_or_else(|| echo(nonce).into_script(request))
            })
            .start();
        Self { server, on, arrivals }
    }

    pub(crate) fn break_it(&self) {
        self.on.store(true, Ordering::SeqCst);
    }

    pub(crate) fn mend(&self) {
        self.on.store(false, Ordering::SeqCst);
    }

    pub(crate) fn url(&self) -> String {
        self.server.url("")
    }

    pub(crate) fn stats(&self) -> ServerStats {
        self.server.stats()
    }

    pub(crate) fn arrivals(&self) -> Vec<Arrival> {
        self.arrivals.lock().clone()
    }
}

pub(crate) fn nonce_of(request: &Request) -> u64 {
    request.path().rsplit('/').next().and_then(|nonce| nonce.parse().ok()).unwrap_or(u64::MAX)
}

/// The answer as it should be.
pub(crate) fn echo(nonce: u64) -> Reply {
    Reply::json(&serde_json::json!({ "nonce": nonce, "serial": 0 }))
}

/// The same as bytes, for scripts that do something to it.
pub(crate) fn echo_bytes(nonce: u64) -> String {
    let body = format!(r#"{{"nonce":{nonce},"serial":0}}"#);
    format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    )
}
