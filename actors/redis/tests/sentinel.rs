//! The primary is whom the sentinels name, and another one soon after it is.

#![allow(clippy::unwrap_used, reason = "a helper of tests may fail as a test does")]

mod support;

use std::time::Duration;

use seawall::downstream::Blame;
use seawall_redis::{Get, Incr, Set};
use seawall_testkit::RedisSentinels;
use support::{Subject, failure, run};
use tokio::time::{Instant, timeout};

fn settings(set: &RedisSentinels) -> String {
    let urls = set.urls().join("\", \"");
    let master = RedisSentinels::MASTER;
    format!(
        "urls = [\"{urls}\"]\nconnect_timeout = \"500ms\"\n\
         redis = {{ topology = \"sentinel\", master = \"{master}\", check = \"400ms\" }}"
    )
}

const DEADLINE: Duration = Duration::from_millis(500);

/// Writes until one is taken; each ends in its time.
async fn written(subject: &Subject) {
    let trying = async {
        loop {
            let began = Instant::now();
            let result = subject.cache.send(Set::new("user", "ann")).deadline(DEADLINE).await;
            assert!(began.elapsed() < DEADLINE + Duration::from_millis(200), "{:?}", began.elapsed());
            if result.is_ok() {
                return;
            }
        }
    };
    timeout(Duration::from_secs(15), trying).await.expect("a write is taken");
}

/// After this, none may meet what was the primary before.
async fn all_well(subject: &Subject) {
    for _ in 0..100 {
        subject.cache.send(Incr::new("count")).deadline(DEADLINE).await.unwrap();
    }
}

#[test]
fn writes_go_on_within_two_seconds_of_a_promotion() {
    run(async {
        let set = RedisSentinels::start().await;
        set.freeze_sentinel(0);
        let subject = Subject::start(&settings(&set)).await;
        written(&subject).await;
        assert_eq!(set.primary().cli(&["GET", "user"]), "ann");
        set.primary().kill();
        // A sentinel that is frozen is no sentinel: two of three are left, who agree.
        let promoted = async {
            set.wait_for_promotion().await;
            Instant::now()
        };
        let (promoted, ()) = tokio::join!(promoted, async {
            while subject.cache.send(Incr::new("count")).deadline(DEADLINE).await.is_err() {}
        });
        assert!(promoted.elapsed() < Duration::from_secs(2), "{:?}", promoted.elapsed());
        all_well(&subject).await;
        subject.end().await;
    });
}

#[test]
fn a_primary_that_hands_over_is_left_though_it_lives() {
    run(async {
        let set = RedisSentinels::start().await;
        let subject = Subject::start(&settings(&set)).await;
        written(&subject).await;
        set.fail_over();
        set.wait_for_promotion().await;
        let began = Instant::now();
        written(&subject).await;
        assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
        assert_eq!(set.replica().cli(&["GET", "user"]), "ann");
        subject.end().await;
    });
}

/// Cut off from its sentinels, it would go on taking writes that are lost when it is back.
#[test]
fn a_primary_that_was_replaced_while_it_hung_gets_no_more_writes() {
    run(async {
        let set = RedisSentinels::start().await;
        let subject = Subject::start(&settings(&set)).await;
        written(&subject).await;
        set.primary().freeze();
        set.wait_for_promotion().await;
        written(&subject).await;
        set.primary().thaw();
        all_well(&subject).await;
        assert_eq!(set.replica().cli(&["GET", "count"]), "100");
        subject.end().await;
    });
}

#[test]
fn who_is_not_known_says_which_name() {
    run(async {
        let set = RedisSentinels::start().await;
        let wrong = settings(&set).replace("\"main\"", "\"other\"");
        let subject = Subject::start(&wrong).await;
        let failed = failure(subject.cache.send(Get::<String>::new("user")).await);
        assert_eq!((failed.blame(), failed.get_code()), (Blame::Downstream, Some("sentinel")));
        assert!(
            failed.to_string().contains("\"other\"") && failed.to_string().contains("`redis.master`"),
            "{failed}"
        );
        subject.end().await;
    });
}
