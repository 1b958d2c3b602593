//! `examples/users.rs` is answered by what its lines say, whatever is killed.

mod support;

use support::example;

#[test]
fn each_call_is_answered_by_the_nearest_that_lives() {
    let ended = example("users").output().expect("it starts");
    let output = String::from_utf8(ended.stdout).expect("it prints text");
    let errors = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.success(), "{}\n{output}\n{errors}", ended.status);
    let told: Vec<_> = output.lines().collect();
    assert_eq!(
        told,
        [
            "at first: the first process has 3 users (fresh, from PostgreSQL)",
            "and again: the first process has 3 users (cached, in memory)",
            "elsewhere: a second process has 3 users (cached, in Redis)",
            "after a write: the first process has 4 users (fresh, from PostgreSQL)",
            "PostgreSQL is dead: the first process has 4 users (cached, in memory)",
            "PostgreSQL is dead: a third process has 4 users (cached, in Redis)",
            "both are dead: the first process has 4 users (cached, in memory)",
            "both are dead: a fourth process has 0 users (fallback)",
            "both are back: a fourth process has 4 users (fresh, from PostgreSQL)",
        ]
    );
}
