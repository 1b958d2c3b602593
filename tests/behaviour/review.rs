//! How calls, drains and restarts behave where several parts meet: each was a bug once.

use futures_util::future::join_all;
use seawall_testkit::{Ask, virtual_time};

use crate::support::{end, ms, replies, slow, start};

#[test]
fn a_place_in_one_queue_is_not_taken_for_a_place_in_another() {
    virtual_time(async || {
        let behaviour = slow(ms(20));
        let settings = "retry = false\nbulkhead = { max_in_flight = 3 }\n\
                        [services.users.calls.Ask.bulkhead]\nmax_in_flight = 1\n";
        let (runtime, users) = start(settings, &behaviour).await;
        for result in join_all((0..20).map(|id| users.send(Ask(id)))).await {
            result.expect("it is answered");
        }
        users.send(Ask(1)).await.expect("the gates are as they were");
        end(runtime).await;
    });
}

#[test]
fn a_rate_in_shadow_rejects_nobody() {
    virtual_time(async || {
        let behaviour = replies();
        let (runtime, users) =
            start("rate = { mode = \"shadow\", limit = 1, per = \"10s\", burst = 1 }", &behaviour).await;
        for id in 0..5 {
            users.send(Ask(id)).await.expect("a shadow lets pass");
        }
        end(runtime).await;
    });
}

#[test]
fn a_rate_that_is_off_rejects_nobody() {
    virtual_time(async || {
        let behaviour = replies();
        let (runtime, users) =
            start("rate = { mode = \"off\", limit = 1, per = \"10s\", burst = 1 }", &behaviour).await;
        for id in 0..5 {
            users.send(Ask(id)).await.expect("it is off");
        }
        end(runtime).await;
    });
}
