//! What the tests of this kind share: a server of their own, and a runtime that calls it.
// Not every test uses all of it.
#![allow(dead_code)]

use std::{future::Future, sync::OnceLock};

use seawall::{CallError, Failure, Runtime, Service, runtime::ServiceSnapshot};
use seawall_postgres::Postgres;
use seawall_testkit::servers::postgres::{self, PASSWORD, USER};

/// Where the tests' password lies.
pub(crate) fn password_file() -> &'static str {
    static FILE: OnceLock<String> = OnceLock::new();
    FILE.get_or_init(|| {
        let file = std::env::temp_dir().join(format!("seawall-postgres-password-{}", std::process::id()));
        std::fs::write(&file, PASSWORD).expect("it is written");
        file.display().to_string()
    })
}

/// Settings of a service `orders` at this server, with more of the table `postgres` and of the service.
pub(crate) fn settings(server: &str, table: &str, more: &str) -> String {
    format!(
        "[services.orders]\nkind = \"postgres\"\nurl = \"postgres://{server}/postgres\"\n{more}\n\
         [services.orders.postgres]\nuser = \"{USER}\"\npassword = {{ file = \"{}\" }}\n{table}",
        password_file()
    )
}

pub(crate) const PLAIN: &str = "ssl_mode = \"disable\"";

pub(crate) async fn start(settings: String) -> (Runtime, Service<Postgres>) {
    let runtime = Runtime::builder()
        .kind::<Postgres>()
        .parse(settings)
        .unwrap_or_else(|errors| panic!("{errors}"))
        .start()
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    let orders = runtime.service("orders").unwrap_or_else(|error| panic!("{error}"));
    (runtime, orders)
}

/// Runs a test against a server of its own and a service with these settings; and sees to it that nothing is left.
pub(crate) fn with<F: Future<Output = ()>>(
    more: &str,
    test: impl FnOnce(std::rc::Rc<postgres::Postgres>, Service<Postgres>, Runtime) -> F,
) {
    actix_rt::System::new().block_on(async {
        let server = std::rc::Rc::new(postgres::Postgres::start().await);
        let (runtime, orders) = start(settings(&server.addr().to_string(), PLAIN, more)).await;
        test(std::rc::Rc::clone(&server), orders, runtime.clone()).await;
        assert_eq!(runtime.drain().await.cut_off, 0, "nothing was under way");
    });
}

pub(crate) fn failure(error: CallError) -> Failure {
    match error.failure() {
        Some(failure) => failure.clone(),
        None => panic!("no attempt failed: {error:?}"),
    }
}

pub(crate) fn snapshot(runtime: &Runtime) -> ServiceSnapshot {
    runtime.snapshot().services.into_iter().next().expect("it is there")
}

/// Whether any text of an error holds this.
pub(crate) fn says(error: &CallError, part: &str) -> bool {
    let mut text = format!("{error} {error:?}");
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text.push_str(&format!(" {cause} {cause:?}"));
        source = cause.source();
    }
    text.contains(part)
}
