use futures_util::future::join_all;
use seawall::call::Reason;
use seawall_testkit::{Ask, Change, Reaction, virtual_time};

use crate::support::{ms, replies, slow, start};

#[test]
fn a_drain_lets_calls_end_and_takes_no_new_ones() {
    virtual_time(async || {
        let behaviour = slow(ms(500));
        let (runtime, users) = start("bulkhead = { max_in_flight = 5 }", &behaviour).await;
        let calls: Vec<_> = (0..20)
            .map(|id| {
                let users = users.clone();
                actix_rt::spawn(async move { users.send(Ask(id)).deadline(ms(10_000)).await.map(drop) })
            })
            .collect();
        users.do_send(Change(1));
        tokio::time::sleep(ms(100)).await;
        let draining = actix_rt::spawn({
            let runtime = runtime.clone();
            async move { runtime.drain().await }
        });
        tokio::time::sleep(ms(1)).await;
        let error = users.send(Ask(1)).await.expect_err("it takes no new calls");
        assert!(matches!(error.reason(), Some(Reason::Draining)), "{error:?}");
        for call in join_all(calls).await {
            let _ = call.expect("it does not panic");
        }
        assert_eq!(draining.await.expect("it ends").cut_off, 0);
        assert_eq!(behaviour.finished(), behaviour.attempts());
        assert_eq!(behaviour.closed(), 1);
        let error = users.send(Ask(1)).await.expect_err("it has ended");
        assert!(matches!(error.reason(), Some(Reason::NotRunning)), "{error:?}");
    });
}

#[test]
fn what_does_not_end_in_time_is_cut_off_and_answered() {
    virtual_time(async || {
        let behaviour = replies();
        behaviour.react(|_| Reaction::Hang);
        let settings = "timeout = \"50s\"\nbulkhead = { max_in_flight = 5, queue_timeout = \"50s\" }";
        let (runtime, users) = start(settings, &behaviour).await;
        let calls: Vec<_> = (0..20)
            .map(|id| {
                let users = users.clone();
                actix_rt::spawn(async move { users.send(Ask(id)).await.map(drop) })
            })
            .collect();
        tokio::time::sleep(ms(10)).await;
        let began = tokio::time::Instant::now();
        assert_eq!(runtime.drain_within(ms(2_000)).await.cut_off, 20);
        assert!(began.elapsed() < ms(2_100), "{:?}", began.elapsed());
        for call in join_all(calls).await {
            call.expect("it does not panic").expect_err("it was cut off");
        }
        assert_eq!(runtime.snapshot().active, 0);
    });
}

#[test]
fn a_drain_waits_for_what_was_sent_just_before_it() {
    virtual_time(async || {
        let behaviour = slow(ms(500));
        let (runtime, users) = start("", &behaviour).await;
        users.do_send(Change(1));
        assert_eq!(runtime.drain().await.cut_off, 0);
        assert_eq!(behaviour.finished(), 1);
    });
}
