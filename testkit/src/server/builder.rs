use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

use super::play::{OnConnect, OnRequest, Shared, accept};
use super::{IntoScript, Reply, Request, Script, ServerStats, TestServer, TlsIdentity};
use crate::port::Port;
use crate::worker::Worker;

/// What a [`TestServer`] is to do; made by [`TestServer::builder`].
#[must_use = "the server starts with `start`"]
pub struct TestServerBuilder {
    on_connect: OnConnect,
    on_request: OnRequest,
    tls: Option<TlsIdentity>,
    backlog: u32,
    accepting: bool,
}

impl TestServerBuilder {
    pub(super) fn new() -> Self {
        Self {
            on_connect: Box::new(|_| None),
            on_request: Box::new(|request| {
                Reply::text("this test server has no handler for requests\n")
                    .with_status(404)
                    .into_script(request)
            }),
            tls: None,
            backlog: 1024,
            accepting: true,
        }
    }

    /// What to do once a connection is there (over TLS: once the handshake is), before anything is read. The closure
    /// gets the connection's number, counted from 1; `None` goes straight to its requests.
    pub fn on_connect(mut self, handler: impl Fn(u64) -> Option<Script> + Send + Sync + 'static) -> Self {
        self.on_connect = Box::new(handler);
        self
    }

    /// What to answer to a request: a [`Reply`] or a [`Script`]. It is called on the server's thread, which it must
    /// not block; a panic in it ends that connection.
    pub fn on_request<A: IntoScript>(
        mut self,
        handler: impl Fn(&Request) -> A + Send + Sync + 'static,
    ) -> Self {
        self.on_request = Box::new(move |request| handler(request).into_script(request));
        self
    }

    /// Speaks TLS.
    pub fn tls(mut self, identity: TlsIdentity) -> Self {
        self.tls = Some(identity);
        self
    }

    /// How many connections the system completes ahead of their acceptance; 1,024 by default.
    pub fn backlog(mut self, connections: u32) -> Self {
        self.backlog = connections;
        self
    }

    /// Listens and never accepts: the system completes a backlog's worth of connections, and those after hang in
    /// their handshake.
    pub fn never_accept(mut self) -> Self {
        self.accepting = false;
        self
    }

    /// Starts it on a free port of the loopback interface.
    ///
    /// # Panics
    /// If there is no port, thread or certificate to be had.
    #[track_caller]
    pub fn start(self) -> TestServer {
        let worker = Worker::start("test-server");
        let port = Port::reserve().unwrap_or_else(|error| panic!("no free port for a test server: {error}"));
        let listener = worker
            .enter(|| port.listen(self.backlog))
            .unwrap_or_else(|error| panic!("the test server cannot listen on {}: {error}", port.addr()));
        let (tls, certificates) = match self.tls.map(|identity| identity.build()) {
            None => (None, None),
            Some(Ok(built)) => (Some(built.acceptor), Some((built.ca_pem, built.client))),
            Some(Err(error)) => panic!("no certificate for the test server: {error}"),
        };
        let shared = Arc::new(Shared {
            on_connect: self.on_connect,
            on_request: self.on_request,
            tls,
            stats: watch::Sender::new(ServerStats::default()),
            record: Mutex::default(),
        });
        let accepting = self.accepting;
        let task = shared.clone();
        worker.spawn(async move {
            if accepting {
                accept(listener, task).await;
            } else {
                let _listening = listener;
                std::future::pending::<()>().await;
            }
        });
        TestServer { addr: port.addr(), shared, certificates, worker }
    }
}
