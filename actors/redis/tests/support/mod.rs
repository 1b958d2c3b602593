//! A runtime with one Redis service, for the tests of this kind.

#![allow(dead_code, reason = "each test uses a part of it")]

use seawall::{Failure, Runtime, Service};
use seawall_redis::Redis;

/// Runs a test on an actix system.
pub(crate) fn run(test: impl Future<Output = ()>) {
    actix_rt::System::new().block_on(test);
}

pub(crate) struct Subject {
    pub(crate) runtime: Runtime,
    pub(crate) cache: Service<Redis>,
}

impl Subject {
    /// A service `cache` with these settings, and without what would hide a failure.
    pub(crate) async fn start(settings: &str) -> Self {
        let settings =
            format!("[services.cache]\nkind = \"redis\"\nretry = false\nbreaker = false\n{settings}");
        let runtime = Runtime::builder()
            .kind::<Redis>()
            .parse(settings)
            .unwrap_or_else(|error| panic!("{error}"))
            .start()
            .await
            .unwrap_or_else(|error| panic!("{error}"));
        let cache = runtime.service("cache").unwrap_or_else(|error| panic!("{error}"));
        Self { runtime, cache }
    }

    pub(crate) async fn at(url: &str) -> Self {
        Self::start(&format!("url = \"{url}\"")).await
    }

    /// Ends it, and says that nothing was left.
    pub(crate) async fn end(self) {
        assert_eq!(self.runtime.drain().await.cut_off, 0, "calls were still under way");
    }
}

/// The failure that a call ended with.
pub(crate) fn failure<T>(result: Result<T, seawall::CallError>) -> Failure {
    match result {
        Ok(_) => panic!("it succeeded"),
        Err(error) => error.failure().unwrap_or_else(|| panic!("{error}: {error:?}")).clone(),
    }
}
