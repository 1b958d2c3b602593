//! Calls for the same that are made at once.

use futures_util::future::join_all;
use seawall_testkit::{Behaviour, Lookup, Reaction, virtual_time};

use crate::{
    support::{down, end, ms, slow, start},
    watch::{breaker, call},
};

#[test]
fn case_42_three_at_once_are_one_attempt() {
    virtual_time(async || {
        let behaviour = slow(ms(100));
        let (runtime, users) = start("", &behaviour).await;
        let answers = join_all((0..3).map(|_| users.send(Lookup(1)))).await;
        assert!(answers.iter().all(Result::is_ok));
        let lookup = call(&runtime, "Lookup");
        assert_eq!((behaviour.attempts(), lookup.coalesced, lookup.total()), (1, 2, 3));
        assert_eq!(breaker(&runtime).calls, 1);
        end(runtime).await;
    });
}

#[test]
fn case_43_other_arguments_share_nothing_nor_does_anybody_where_it_is_off() {
    virtual_time(async || {
        let behaviour = slow(ms(100));
        let (runtime, users) = start("", &behaviour).await;
        join_all((0..3).map(|id| users.send(Lookup(id)))).await;
        assert_eq!((behaviour.attempts(), call(&runtime, "Lookup").coalesced), (3, 0));
        end(runtime).await;

        let behaviour = slow(ms(100));
        let (runtime, users) = start("cache.coalesce = false", &behaviour).await;
        join_all((0..3).map(|_| users.send(Lookup(1)))).await;
        assert_eq!((behaviour.attempts(), call(&runtime, "Lookup").coalesced), (3, 0));
        end(runtime).await;
    });
}

/// In opossum for a time of its own, `coalesceTTL`; here while the load is under way.
#[test]
fn case_44_once_a_load_has_ended_nobody_shares_it() {
    virtual_time(async || {
        let behaviour = slow(ms(100));
        let settings = "cache = { ttl = \"1ms\", jitter = \"0%\", stale_if_error = \"0s\" }";
        let (runtime, users) = start(settings, &behaviour).await;
        for attempts in 1..=2 {
            users.send(Lookup(1)).await.expect("it is well");
            assert_eq!(behaviour.attempts(), attempts);
            tokio::time::sleep(ms(2)).await;
        }
        assert_eq!(call(&runtime, "Lookup").coalesced, 0);
        end(runtime).await;
    });
}

/// In opossum only with `coalesceResetOn`; without, an error is shared with those who come later, too.
#[test]
fn case_45_a_failure_is_shared_with_those_who_waited_and_with_nobody_else() {
    virtual_time(async || {
        let behaviour = Behaviour::new(|asked| {
            let reaction = if asked.serial == 1 { Reaction::Fail(down()) } else { Reaction::Reply };
            reaction.after(ms(100))
        });
        let (runtime, users) = start("retry = false", &behaviour).await;
        let answers = join_all((0..3).map(|_| users.send(Lookup(1)))).await;
        assert!(answers.iter().all(Result::is_err));
        assert_eq!((behaviour.attempts(), breaker(&runtime).failures), (1, 1));
        users.send(Lookup(1)).await.expect("it is asked for anew");
        assert_eq!(behaviour.attempts(), 2);
        end(runtime).await;
    });
}

#[test]
fn difference_a_load_outlives_the_caller_who_began_it() {
    virtual_time(async || {
        let behaviour = slow(ms(100));
        let (runtime, users) = start("", &behaviour).await;
        let (gone, waited) =
            tokio::join!(tokio::time::timeout(ms(50), users.send(Lookup(1))), users.send(Lookup(1)));
        gone.expect_err("its caller went away");
        waited.expect("the other waited for it");
        assert_eq!(behaviour.attempts(), 1);
        end(runtime).await;
    });
}
