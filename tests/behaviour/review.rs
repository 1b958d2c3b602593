//! How calls, drains and restarts behave where several parts meet: each was a bug once.

use seawall_testkit::{Ask, virtual_time};

use crate::support::{end, replies, start};

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
