//! Every policy that can refuse does so in earnest, in shadow, or not at all: one row for each.

use seawall::{Runtime, Service};
use seawall_testkit::{Ask, Behaviour, Scripted, virtual_time};

use crate::support::{end, fails, ms, replies, slow, start};

/// A policy, and what brings it to refuse.
struct Row {
    /// As metrics name it.
    policy: &'static str,
    /// With `MODE` where its mode stands.
    settings: &'static str,
    behaviour: fn() -> Behaviour,
    /// Whether it is a key's.
    keyed: bool,
}

const ROWS: [Row; 6] = [
    Row {
        policy: "breaker",
        settings: "breaker = { mode = \"MODE\", consecutive_failures = 3 }",
        behaviour: fails,
        keyed: false,
    },
    Row {
        policy: "bulkhead",
        settings: "breaker = false\nbulkhead = { mode = \"MODE\", max_in_flight = 1, max_queue = 0 }",
        behaviour: slow_one,
        keyed: false,
    },
    Row {
        policy: "rate",
        settings: "rate = { mode = \"MODE\", limit = 1, per = \"1h\", burst = 2 }",
        behaviour: replies,
        keyed: false,
    },
    Row {
        policy: "breaker",
        settings: "breaker = { mode = \"MODE\", consecutive_failures = 3 }",
        behaviour: fails,
        keyed: true,
    },
    Row {
        policy: "bulkhead",
        settings: "breaker = false\nkeyed.bulkhead = { mode = \"MODE\", max_in_flight = 1, max_queue = 0 }",
        behaviour: slow_one,
        keyed: true,
    },
    Row {
        policy: "rate",
        settings: "keyed.rate = { mode = \"MODE\", limit = 1, per = \"1h\", burst = 2 }",
        behaviour: replies,
        keyed: true,
    },
];

fn slow_one() -> Behaviour {
    slow(ms(10))
}

/// Ten calls one after the other, then ten at once. How many were refused.
async fn flood(users: &Service<Scripted>, keyed: bool) -> usize {
    let send = |id| if keyed { users.keyed("k").send(Ask(id)) } else { users.send(Ask(id)) };
    let mut results = Vec::new();
    for id in 0..10 {
        results.push(send(id).await);
    }
    results.extend(futures_util::future::join_all((0..10).map(send)).await);
    results.iter().filter(|result| result.as_ref().is_err_and(|error| error.is_rejection())).count()
}

/// How often this policy refused in this mode.
fn counted(runtime: &Runtime, policy: &str, mode: &str) -> u64 {
    let start = format!("seawall_rejections_total{{service=\"users\",policy=\"{policy}\",mode=\"{mode}\"");
    let metrics = runtime.metrics();
    let counts = metrics.lines().filter(|line| line.starts_with(&start));
    counts.filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok()).sum()
}

#[test]
fn each_refuses_counts_or_is_not_asked() {
    for Row { policy, settings, behaviour, keyed } in ROWS {
        for mode in ["enforce", "shadow", "off"] {
            virtual_time(async || {
                let settings = format!("retry = false\n{}", settings.replace("MODE", mode));
                let behaviour = behaviour();
                let (runtime, users) = start(&settings, &behaviour).await;
                let refused = flood(&users, keyed).await;
                let row = format!("{policy}, keyed {keyed}, {mode}");
                let (enforced, shadowed) =
                    (counted(&runtime, policy, "enforce"), counted(&runtime, policy, "shadow"));
                assert_eq!(refused > 0, mode == "enforce", "{row}: {refused} refused");
                assert_eq!(refused as u64, enforced, "{row}: all are counted");
                assert_eq!(shadowed > 0, mode == "shadow", "{row}: {shadowed} would have been");
                assert_eq!(behaviour.attempts() as usize + refused, 20, "{row}: all others were sent");
                let refusals = runtime.explain("users").expect("it is there").refusals;
                assert!(
                    refusals.iter().all(|refusal| refusal.shadow == (mode == "shadow")),
                    "{row}: {refusals:?}"
                );
                assert!(mode != "off" || refusals.is_empty(), "{row}: {refusals:?}");
                end(runtime).await;
            });
        }
    }
}
