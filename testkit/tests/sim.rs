//! A few seeds of the simulation, so that `cargo test` knows when it breaks; `cargo xtask sim` runs a thousand.

use std::time::Duration;

use seawall_testkit::sim::{self, Plan};

#[test]
fn a_few_seeds_hold_all_rules_and_replay_to_the_byte() {
    for seed in 0..3 {
        let plan = Plan::of(seed);
        let report = sim::run(&plan, false);
        assert!(report.violations.is_empty(), "{plan}{:#?}", report.violations);
        assert!(report.calls > 1_000 && report.virtual_time > Duration::from_secs(30));
        assert_eq!(sim::run(&plan, false).hash, report.hash, "seed {seed} does not replay");
    }
}

#[test]
fn another_seed_is_another_run() {
    let hash = |seed| sim::run(&Plan::lasting(seed, Duration::from_secs(3)), false).hash;
    assert_ne!(hash(1), hash(2));
}

#[test]
fn the_whole_log_is_kept_where_it_is_asked_for() {
    let plan = Plan::lasting(1, Duration::from_secs(3));
    let (whole, last) = (sim::run(&plan, true), sim::run(&plan, false));
    assert_eq!((whole.hash, whole.steps), (last.hash, last.steps));
    assert_eq!(whole.log.len() as u64, whole.steps);
    assert!(whole.log.ends_with(&last.log) && last.log.len() < whole.log.len());
}
