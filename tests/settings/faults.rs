//! Faults on purpose are refused where nobody allowed them, and where they make no sense.

use insta::assert_snapshot;

use crate::support::{USERS, explained, refused, users_refused};

const ALLOWED: &str = "[runtime]\nallow_faults = true\n";

#[test]
fn without_leave() {
    assert_snapshot!(users_refused("faults = { fail = \"10%\" }"), @r"
        the settings have an error
        error: faults make calls fail on purpose, so they are refused unless `allow_faults = true` stands in [runtime]; say that where they are meant, and nowhere else
          --> settings:5:1: services.users.faults
        ");
    assert_snapshot!(users_refused("[services.users.calls.Read]\nfaults.delay = \"1s\""), @r"
        the settings have an error
        error: faults make calls fail on purpose, so they are refused unless `allow_faults = true` stands in [runtime]; say that where they are meant, and nowhere else
          --> settings:6:1: services.users.calls.Read.faults
        ");
    assert_snapshot!(users_refused("[runtime]\nallow_faults = false\n[defaults]\nfaults.hang = \"1%\""), @r"
        the settings have an error
        error: faults make calls fail on purpose, so they are refused unless `allow_faults = true` stands in [runtime]; say that where they are meant, and nowhere else
          --> settings:8:1: defaults.faults
        ");
}

#[test]
fn more_than_all() {
    let faults = "faults = { fail = \"60%\", hang = \"30%\", reject = \"20%\" }";
    assert_snapshot!(refused(format!("{ALLOWED}{USERS}{faults}")), @r"
        the settings have an error
        error: faults.reject = 20%, hang = 30% and fail = 60% are shares of all attempts, and together more than all
          --> settings:7:40: services.users.faults.reject
        ");
    let taken = explained(
        &format!("faults = {{ fail = \"70%\", hang = \"20%\", reject = 0.1 }}\n{ALLOWED}"),
        &["users.faults"],
    );
    assert_snapshot!(taken, @r#"
        services.users.faults.delay = "0s"  # built-in default
        services.users.faults.fail = "70%"  # settings:5:12
        services.users.faults.hang = "20%"  # settings:5:26
        services.users.faults.reject = "10%"  # settings:5:40
        services.users.faults.seed = false  # built-in default
        "#);
}

#[test]
fn values_and_keys_that_are_wrong() {
    let faults = "faults = { fail = 10, delay = 5, hnag = \"1%\", seed = -1 }";
    assert_snapshot!(refused(format!("{ALLOWED}{USERS}{faults}")), @r#"
        the settings have 4 errors
        error: 10 could mean 10% or 10 times; write "10%"
          --> settings:7:12: services.users.faults.fail
        error: found the number 5, and a duration needs its unit: write "5s" or "5ms"
          --> settings:7:23: services.users.faults.delay
        error: unknown key `hnag`; did you mean `hang`? Known here: delay, fail, hang, reject, seed
          --> settings:7:34: services.users.faults.hnag
        error: found the integer -1; wanted an integer of 0 or more; `false` turns it off
          --> settings:7:47: services.users.faults.seed
        "#);
    assert_snapshot!(refused(format!("{ALLOWED}{USERS}faults = true")), @r"
        the settings have an error
        error: found true; wanted a table with fail, delay, hang, reject, seed; `false` turns it off
          --> settings:7:1: services.users.faults
        ");
}
