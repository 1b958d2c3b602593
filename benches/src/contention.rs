use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

/// Calls of each thread between two meetings.
const CALLS: u64 = 1_000;

/// The least that a call of `one` took while two threads made it without pause, in nanoseconds.
///
/// They meet before each round. On a machine that is busy otherwise one often runs while the other does not, which shows
/// nothing of what they cost each other: only rounds count in which both ran for nine tenths of the time. `None` if there was none.
pub(crate) fn two_threads(rounds: usize, one: impl Fn(u64) + Sync) -> Option<f64> {
    let (zero, arrived) = (Instant::now(), AtomicUsize::new(0));
    let run = || -> Vec<(Duration, Duration)> {
        (1..=rounds)
            .map(|round| {
                arrived.fetch_add(1, Ordering::SeqCst);
                while arrived.load(Ordering::SeqCst) < 2 * round {
                    std::hint::spin_loop();
                }
                let began = zero.elapsed();
                (0..CALLS).for_each(&one);
                (began, zero.elapsed())
            })
            .collect()
    };
    let (one, other) = std::thread::scope(|scope| {
        let other = scope.spawn(run);
        (run(), other.join().unwrap_or_default())
    });
    let both = one.iter().zip(&other).filter_map(|(one, other)| {
        let together = one.1.min(other.1).saturating_sub(one.0.max(other.0));
        let longest = (one.1 - one.0).max(other.1 - other.0);
        (together > longest.mul_f64(0.9)).then(|| longest.as_nanos() as f64 / CALLS as f64)
    });
    both.min_by(f64::total_cmp)
}
