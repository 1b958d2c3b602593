//! How far the orders of threads are explored.

/// Runs `test` in every order of its threads in which none is interrupted more than thrice between two steps of its own:
/// most of what goes wrong at all does so with two. Without a bound some of them would take hours.
pub(crate) fn explore(test: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(test);
}
