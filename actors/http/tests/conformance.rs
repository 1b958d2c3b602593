//! The HTTP kind holds to what the policies rely on.

use seawall_http::{Http, HttpCall};
use seawall_testkit::{FaultProxy, Reply, Subject, TestServer, kind_conformance};

#[derive(Clone, HttpCall)]
#[http(get = "/users/{id}", reply = String)]
struct GetUser {
    id: u64,
}

/// A real server behind a proxy of faults.
struct Server {
    _server: TestServer,
    proxy: FaultProxy,
}

impl Subject<Http> for Server {
    type Call = GetUser;

    fn settings(&self) -> String {
        format!("kind = \"http\"\nurl = \"http://{}\"", self.proxy.addr())
    }

    fn call(&self) -> GetUser {
        GetUser { id: 7 }
    }

    async fn stop(&self) {
        self.proxy.refuse().await;
        self.proxy.reset_open().await;
    }

    async fn freeze(&self) {
        self.proxy.hang();
    }

    async fn heal(&self) {
        self.proxy.heal().await;
    }
}

#[test]
fn http_conforms() {
    actix_rt::System::new().block_on(async {
        let server = TestServer::start(|_| Reply::text("ann"));
        let proxy = FaultProxy::start(server.addr());
        kind_conformance(&Server { _server: server, proxy }).await;
    });
}
