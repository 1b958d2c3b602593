//! What policies share their state by, in one place: the proof builds them with loom's in its stead, which runs their
//! threads in every order.

pub(crate) use parking_lot::Mutex;
pub(crate) use std::sync::{OnceLock, atomic};

use std::sync::atomic::{AtomicUsize, Ordering};

static THREADS: AtomicUsize = AtomicUsize::new(0);

std::thread_local! {
    static NUMBER: usize = THREADS.fetch_add(1, Ordering::Relaxed);
}

/// A number for this thread, counted up from one thread to the next: what is striped is striped by it. Which it is may
/// decide nothing else, since it is another one in each run.
pub(crate) fn thread_number() -> usize {
    NUMBER.try_with(|number| *number).unwrap_or(0)
}
