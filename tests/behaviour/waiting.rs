//! What becomes of calls that wait: by when their attempts count, and who sends them away.

use futures_util::future::join_all;
use seawall::call::Reason;
use seawall_testkit::{Ask, Behaviour, Reaction, virtual_time};
use tokio::time::{Instant, sleep};

use crate::support::{down, end, ms, settle, slow, start};

/// An attempt's time begins when it is made, and not when its call came.
#[test]
fn an_attempt_has_its_whole_time_after_a_wait() {
    for waits in [
        "bulkhead = { max_in_flight = 1, queue_timeout = \"2s\" }",
        "calls.Ask.bulkhead = { max_in_flight = 1, queue_timeout = \"2s\" }",
        "rate = { limit = 11, burst = 1, max_wait = \"2s\" }",
        "keyed.bulkhead = { max_in_flight = 1, queue_timeout = \"2s\" }",
        "keyed.rate = { limit = 11, burst = 1, max_wait = \"2s\" }",
    ] {
        virtual_time(async move || {
            let settings = format!("attempt_timeout = \"100ms\"\nretry = false\n{waits}");
            let (runtime, users) = start(&settings, &slow(ms(90))).await;
            let began = Instant::now();
            let (first, second) =
                tokio::join!(users.keyed("one").send(Ask(1)), users.keyed("one").send(Ask(2)));
            first.expect("it is answered in time");
            second.unwrap_or_else(|error| panic!("{waits}: it had waited before: {error}"));
            assert!(began.elapsed() >= ms(179), "{waits}: {:?}", began.elapsed());
            let shown = runtime.metrics();
            let count = "seawall_attempt_duration_seconds_bucket{service=\"users\",call=\"Ask\",try=\"first\",result=\"success\",le=\"0.1\"} 2\n";
            assert!(shown.contains(count), "{waits}: nor is the wait of the attempt's duration");
            end(runtime).await;
        });
    }
}

/// The limit was lowered, so that the place of the one that opened the breaker is handed to nobody.
#[test]
fn who_waits_is_sent_away_when_a_call_opens_the_breaker() {
    for opens in ["error_threshold = \"50%\", minimum_calls = 2", "consecutive_failures = 2"] {
        virtual_time(async move || {
            let behaviour = Behaviour::new(|asked| match asked.id {
                0 => Reaction::Reply.after(ms(5_000)),
                _ => Reaction::Fail(down()).after(ms(100)),
            });
            let settings = format!(
                "timeout = \"20s\"\nretry = false\nbreaker = {{ {opens} }}\nbulkhead = {{ max_in_flight = 3, queue_timeout = \"10s\" }}"
            );
            let (runtime, users) = start(&settings, &behaviour).await;
            let began = Instant::now();
            let under_way = join_all((0..3).map(|id| users.send(Ask(id))));
            let waiting = async {
                settle().await;
                runtime.set("users.bulkhead.max_in_flight", 1).because("a test").expect("it is right");
                let ended = join_all((3..6).map(|id| users.send(Ask(id)))).await;
                (ended, began.elapsed())
            };
            let (_, (ended, after)) = tokio::join!(under_way, waiting);
            for ended in ended {
                let error = ended.expect_err("the breaker is open");
                assert!(matches!(error.reason(), Some(Reason::Breaker(_))), "{error}");
            }
            assert_eq!(after, ms(100), "{opens}: and nobody waits for a refusal");
            sleep(ms(10)).await;
            end(runtime).await;
        });
    }
}
