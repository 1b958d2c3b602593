use futures_util::future::join_all;
use seawall_testkit::{Ask, virtual_time};

use crate::support::{end, ms, slow, start};

/// How many calls the bulkhead would have refused.
fn would_be_refused(metrics: &str) -> u64 {
    let counter = "seawall_rejections_total{service=\"users\",policy=\"bulkhead\",mode=\"shadow\",priority=\"normal\"} ";
    metrics
        .lines()
        .find_map(|line| line.strip_prefix(counter))
        .map_or(0, |count| count.parse().expect("a count"))
}

#[test]
fn a_bulkhead_in_shadow_fills_as_it_would_and_delays_nobody() {
    virtual_time(async || {
        let settings = "bulkhead = { mode = \"shadow\", max_in_flight = 2, max_queue = 3 }";
        let (runtime, users) = start(settings, &slow(ms(100))).await;
        let calls = join_all((0..10).map(|call| users.send(Ask(call))));
        let (results, snapshot) = tokio::join!(calls, async {
            tokio::time::sleep(ms(50)).await;
            runtime.snapshot().services[0].bulkhead.expect("it has one")
        });
        for result in results {
            result.expect("it only observes");
        }
        assert_eq!((snapshot.in_flight, snapshot.waiting), (2, 3), "though ten are under way");
        assert_eq!(would_be_refused(&runtime.metrics()), 5);
        end(runtime).await;
    });
}

#[test]
fn who_would_have_waited_too_long_in_the_shadow_is_counted() {
    virtual_time(async || {
        let settings = "bulkhead = { mode = \"shadow\", max_in_flight = 1, queue_timeout = \"50ms\" }";
        let (runtime, users) = start(settings, &slow(ms(100))).await;
        for result in join_all((0..3).map(|call| users.send(Ask(call)))).await {
            result.expect("it only observes");
        }
        assert_eq!(would_be_refused(&runtime.metrics()), 2);
        end(runtime).await;
    });
}
