use futures_util::future::join_all;
use seawall::call::Reason;
use seawall_testkit::{Ask, Reaction, virtual_time};
use tokio::time::Instant;

use crate::support::{down, end, ms, replies, settle, start};

/// Ten calls a second, one at a time.
const TEN: &str = "limit = 10, burst = 1";

#[test]
fn a_call_waits_for_its_turn_and_no_longer_than_it_may() {
    virtual_time(async || {
        let (runtime, users) = start(&format!("rate = {{ {TEN}, max_wait = \"250ms\" }}"), &replies()).await;
        users.send(Ask(0)).await.expect("the pool is opened for it");
        tokio::time::sleep(ms(1000)).await;
        let began = Instant::now();
        let calls = (0..6).map(async |call| {
            let result = users.send(Ask(call)).await;
            (result, began.elapsed().as_millis())
        });
        let mut results = join_all(calls).await.into_iter();
        for turn in [0, 100, 200] {
            let (result, after) = results.next().expect("it was sent");
            assert_eq!((result.is_ok(), after), (true, turn), "in the order in which they came");
        }
        for (result, after) in results {
            let error = result.expect_err("it would wait for 300 ms");
            assert!(matches!(error.reason(), Some(Reason::Rate { .. })), "{error}");
            assert_eq!((error.retry_after(), after), (Some(ms(300)), 0));
        }
        end(runtime).await;
    });
}

#[test]
fn who_goes_away_from_the_line_takes_no_token_along() {
    virtual_time(async || {
        let behaviour = replies();
        let (runtime, users) = start(&format!("rate = {{ {TEN}, max_wait = \"10s\" }}"), &behaviour).await;
        users.send(Ask(0)).await.expect("the first has its token");
        let began = Instant::now();
        let tasks: Vec<_> = (1..=20)
            .map(|call| {
                let users = users.clone();
                actix_rt::spawn(async move { users.send(Ask(call)).await.map(|_| began.elapsed()) })
            })
            .collect();
        settle().await;
        for task in &tasks[..19] {
            task.abort();
        }
        let last = tasks.into_iter().next_back().expect("there are 20").await.expect("it was not aborted");
        assert_eq!(last.expect("it is its turn").as_millis(), 100, "all before it have gone");
        assert_eq!(behaviour.attempts(), 2);
        end(runtime).await;
    });
}

#[test]
fn who_has_not_the_time_to_wait_is_told_at_once() {
    virtual_time(async || {
        let (runtime, users) = start(&format!("rate = {{ {TEN}, max_wait = \"10s\" }}"), &replies()).await;
        users.send(Ask(0)).await.expect("the first has its token");
        let began = Instant::now();
        let error = users.send(Ask(1)).deadline(ms(50)).await.expect_err("its turn is in 100 ms");
        assert!(matches!(error.reason(), Some(Reason::Rate { .. })), "{error}");
        assert_eq!(began.elapsed(), ms(0));
        users.send(Ask(2)).deadline(ms(150)).await.expect("it has the time");
        end(runtime).await;
    });
}

#[test]
fn each_tenant_has_a_rate_of_its_own() {
    virtual_time(async || {
        let (runtime, users) = start(&format!("rate = {{ {TEN}, per_tenant = true }}"), &replies()).await;
        users.send(Ask(0)).await.expect("nobody's");
        for tenant in ["one", "two"] {
            users.send(Ask(1)).tenant(tenant).await.expect("its first");
            let error = users.send(Ask(1)).tenant(tenant).await.expect_err("its second");
            assert_eq!(error.retry_after(), Some(ms(100)));
        }
        users.send(Ask(0)).await.expect_err("nobody's second");
        end(runtime).await;
    });
}

#[test]
fn tenants_that_are_made_up_get_no_more_than_one_together() {
    virtual_time(async || {
        let (runtime, users) = start(&format!("rate = {{ {TEN}, per_tenant = true }}"), &replies()).await;
        let mut answered = 0;
        for tenant in 0..2_000 {
            answered += u64::from(users.send(Ask(tenant)).tenant(tenant.to_string()).await.is_ok());
        }
        assert_eq!(answered, 1024 + 1, "what is in use is not forgotten for who is new");
        tokio::time::sleep(ms(100)).await;
        users.send(Ask(1)).tenant("another").await.expect("all are at rest");
        end(runtime).await;
    });
}

#[test]
fn a_rate_in_shadow_counts_what_it_would_have_refused_and_delays_nobody() {
    virtual_time(async || {
        let settings = format!("rate = {{ mode = \"shadow\", {TEN}, max_wait = \"250ms\" }}");
        let (runtime, users) = start(&settings, &replies()).await;
        let began = Instant::now();
        for result in join_all((0..6).map(|call| users.send(Ask(call)))).await {
            result.expect("it only observes");
        }
        assert_eq!(began.elapsed(), ms(0));
        let refused = "seawall_rejections_total{service=\"users\",policy=\"rate\",mode=\"shadow\",priority=\"normal\"} 3";
        assert!(runtime.metrics().contains(refused), "three would have waited: {}", runtime.metrics());
        end(runtime).await;
    });
}

#[test]
fn a_token_of_a_call_that_the_breaker_refuses_goes_back() {
    virtual_time(async || {
        let behaviour = replies();
        let settings = format!(
            "retry = false\nrate = {{ {TEN}, max_wait = \"1s\" }}\nbreaker = {{ consecutive_failures = 1 }}"
        );
        let (runtime, users) = start(&settings, &behaviour).await;
        users.send(Ask(0)).await.expect("the first has its token");
        behaviour.react(|_| Reaction::Fail(down()));
        // The first of them opens the breaker while the others stand in line.
        let began = Instant::now();
        let results = join_all((0..3).map(|call| users.send(Ask(call)))).await;
        let failed = results.iter().filter(|result| matches!(result, Err(error) if !error.is_rejection()));
        assert_eq!(failed.count(), 1);
        assert_eq!(behaviour.attempts(), 2);
        assert_eq!(began.elapsed(), ms(200), "the third has the token that the second gave back");
        end(runtime).await;
    });
}

#[test]
fn who_stands_in_line_is_sent_away_when_the_runtime_ends() {
    virtual_time(async || {
        let settings = format!("timeout = \"50s\"\nrate = {{ {TEN}, max_wait = \"50s\" }}");
        let (runtime, users) = start(&format!("{settings}\n[runtime]\ndrain = \"1s\""), &replies()).await;
        users.send(Ask(0)).await.expect("the first has its token");
        let tasks: Vec<_> = (0..100)
            .map(|call| {
                let users = users.clone();
                actix_rt::spawn(async move { users.send(Ask(call)).await.is_ok() })
            })
            .collect();
        settle().await;
        let began = Instant::now();
        runtime.drain().await;
        let mut answered = 0;
        for task in tasks {
            answered += u64::from(task.await.expect("it ends"));
        }
        assert!((9..=11).contains(&answered), "{answered}: those whose turn came within the drain");
        assert!(began.elapsed() < ms(2000));
    });
}
