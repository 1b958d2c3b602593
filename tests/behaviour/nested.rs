//! Calls within calls.

use seawall::{Context, Failure, Runtime};
use seawall_testkit::virtual_time;
use tokio::time::Instant;

use crate::support::{end, ms};

/// A guard's closure ran outside of any context, so that what it called in turn knew neither the deadline nor the tenant
/// of the call that it was part of.
#[test]
fn what_a_guard_calls_has_the_guards_time_and_tenant() {
    virtual_time(async || {
        let runtime = Runtime::builder()
            .parse("[services]\nouter = { kind = \"func\" }\ninner = { kind = \"func\", timeout = \"10s\" }")
            .expect("TOML")
            .current_thread()
            .start()
            .await
            .unwrap_or_else(|error| panic!("{error}"));
        let (outer, inner) = (runtime.guard("outer").expect("there"), runtime.guard("inner").expect("there"));
        let until = Instant::now() + ms(300);
        let nested = move || {
            let inner = inner.clone();
            async move {
                tokio::time::sleep(ms(20)).await;
                inner.run(|| async { Ok::<_, Failure>(Context::current()) }).await.map(|seen| seen.clone())
            }
        };
        let seen = outer.run(nested).tenant("ann").deadline(ms(300)).await.expect("it answers");
        let seen = seen.as_ref().expect("it runs in a context");
        assert_eq!(seen.get_deadline(), Some(until));
        assert_eq!(seen.get_tenant().map(|tenant| &**tenant), Some("ann"));
        end(runtime).await;
    });
}
