//! The kind holds to what the policies rely on: a real Redis that is frozen and woken, behind a port that refuses.

use seawall_redis::{Get, Redis};
use seawall_testkit::{FaultProxy, RedisServer, Subject, kind_conformance};

struct Proxied {
    _server: RedisServer,
    proxy: FaultProxy,
}

impl Subject<Redis> for Proxied {
    type Call = Get<String>;

    fn settings(&self) -> String {
        format!("kind = \"redis\"\nurl = \"redis://{}\"\nconnect_timeout = \"500ms\"", self.proxy.addr())
    }

    fn call(&self) -> Get<String> {
        Get::new("user")
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
fn redis_conforms_behind_a_proxy() {
    actix_rt::System::new().block_on(async {
        let server = RedisServer::start().await;
        let proxy = FaultProxy::start(server.addr());
        kind_conformance(&Proxied { _server: server, proxy }).await;
    });
}

/// A process that dies, hangs and comes back.
struct Killed(RedisServer);

impl Subject<Redis> for Killed {
    type Call = Get<String>;

    fn settings(&self) -> String {
        format!("kind = \"redis\"\nurl = \"{}\"\nconnect_timeout = \"500ms\"", self.0.url())
    }

    fn call(&self) -> Get<String> {
        Get::new("user")
    }

    async fn stop(&self) {
        self.0.kill();
    }

    async fn freeze(&self) {
        self.0.freeze();
    }

    async fn heal(&self) {
        self.0.restart().await;
    }
}

#[test]
fn redis_conforms_when_killed() {
    actix_rt::System::new().block_on(async {
        kind_conformance(&Killed(RedisServer::start().await)).await;
    });
}
