//! The PostgreSQL kind holds to what the policies rely on.

mod support;

use seawall_postgres::{Postgres, QueryOne};
use seawall_testkit::{FaultProxy, Subject, kind_conformance, servers::postgres};

/// A real server behind a proxy of faults.
struct Server {
    _server: postgres::Postgres,
    proxy: FaultProxy,
}

impl Subject<Postgres> for Server {
    type Call = QueryOne<i32>;

    fn settings(&self) -> String {
        format!(
            "kind = \"postgres\"\nurl = \"postgres://{}/postgres\"\npostgres = {{ user = \"app\", \
             password = {{ file = \"{}\" }}, ssl_mode = \"disable\" }}",
            self.proxy.addr(),
            support::password_file()
        )
    }

    fn call(&self) -> Self::Call {
        QueryOne::new("select 7").read_only()
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
fn postgres_conforms() {
    actix_rt::System::new().block_on(async {
        let server = postgres::Postgres::start().await;
        let proxy = FaultProxy::start(server.addr());
        kind_conformance(&Server { _server: server, proxy }).await;
    });
}
