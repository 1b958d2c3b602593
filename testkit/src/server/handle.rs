use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use super::play::Shared;
use super::{ClientIdentity, IntoScript, Request, ServerStats, TestServerBuilder};
use crate::worker::Worker;

/// A running server. Dropping it closes its port and every connection.
///
/// ```
/// use seawall_testkit::{Reply, TestServer};
///
/// let server = TestServer::start(|request| match request.path() {
///     "/users/7" => Reply::json(&serde_json::json!({ "name": "ann" })),
///     _ => Reply::status(404),
/// });
/// assert!(server.url("/users/7").starts_with("http://127.0.0.1:"));
/// ```
pub struct TestServer {
    pub(super) addr: SocketAddr,
    pub(super) shared: Arc<Shared>,
    /// Of the authority, and of a client; none without TLS.
    pub(super) certificates: Option<(String, ClientIdentity)>,
    pub(super) worker: Worker,
}

impl TestServer {
    /// A plain server that answers requests with a [`Reply`](super::Reply) or a [`Script`](super::Script).
    ///
    /// # Panics
    /// If there is no port or thread to be had.
    #[track_caller]
    pub fn start<A: IntoScript>(handler: impl Fn(&Request) -> A + Send + Sync + 'static) -> Self {
        Self::builder().on_request(handler).start()
    }

    /// A server with more to say: scripts by connection, TLS, a full backlog.
    pub fn builder() -> TestServerBuilder {
        TestServerBuilder::new()
    }

    /// Where it listens.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// A URL of this server; `path` begins with a slash.
    pub fn url(&self, path: &str) -> String {
        let scheme = if self.certificates.is_some() { "https" } else { "http" };
        format!("{scheme}://{}{path}", self.addr)
    }

    /// The certificate, in PEM, of the authority that the client must trust; `None` without TLS.
    pub fn ca_pem(&self) -> Option<&str> {
        self.certificates.as_ref().map(|(ca_pem, _)| ca_pem.as_str())
    }

    /// A certificate that a client may show, from the same authority; `None` without TLS.
    pub fn client_identity(&self) -> Option<&ClientIdentity> {
        self.certificates.as_ref().map(|(_, client)| client)
    }

    /// What it has seen so far.
    pub fn stats(&self) -> ServerStats {
        self.shared.stats.borrow().clone()
    }

    /// The latest requests, oldest first: at most 4,096, and 64 MiB of bodies.
    pub fn requests(&self) -> Vec<Arc<Request>> {
        self.shared.record.lock().all()
    }

    /// Waits until so many requests have been read in all.
    ///
    /// # Panics
    /// The future, after 20 s, with what was seen instead.
    #[track_caller]
    pub fn wait_for_requests(&self, requests: u64) -> impl Future<Output = ()> + Send + use<> {
        self.wait_for(&format!("{requests} requests"), move |stats| stats.requests >= requests)
    }

    /// Waits until exactly so many connections are open.
    ///
    /// # Panics
    /// As [`wait_for_requests`](Self::wait_for_requests).
    #[track_caller]
    pub fn wait_for_open(&self, connections: u64) -> impl Future<Output = ()> + Send + use<> {
        self.wait_for(&format!("{connections} open connections"), move |stats| stats.open == connections)
    }

    /// Waits until the counts meet a condition, in any runtime and whatever its clock; `what` names it if it does not
    /// come.
    ///
    /// # Panics
    /// As [`wait_for_requests`](Self::wait_for_requests).
    #[track_caller]
    pub fn wait_for<C>(&self, what: &str, condition: C) -> impl Future<Output = ()> + Send + use<C>
    where
        C: Fn(&ServerStats) -> bool + Send + 'static,
    {
        let what = format!("{what} at the test server {}", self.addr);
        self.worker.wait_for(&self.shared.stats, what, condition, |stats| format!("{stats:?}"))
    }
}

impl fmt::Debug for TestServer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestServer")
            .field("addr", &self.addr)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
