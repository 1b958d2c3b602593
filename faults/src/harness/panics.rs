//! Counts panics: those that a scenario injects, by their text, and all others.

use std::panic;
use std::sync::atomic::{AtomicU64, Ordering};

/// What the panics say that a scenario injects.
pub(crate) const INJECTED: &str = "injected by the faults harness";

static EXPECTED: AtomicU64 = AtomicU64::new(0);
static OTHERS: AtomicU64 = AtomicU64::new(0);

/// Counts from now on. What was not injected is printed as ever.
pub(crate) fn count() {
    let print = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let payload = info.payload();
        let text = payload.downcast_ref::<&str>().copied();
        let text = text.or_else(|| payload.downcast_ref::<String>().map(String::as_str)).unwrap_or_default();
        if text.contains(INJECTED) || text == "the script says so" {
            EXPECTED.fetch_add(1, Ordering::SeqCst);
        } else if text.contains("`spawn_local` called from outside") {
            // How the runtime finds out whether a thread runs local tasks: by trying. It catches it.
        } else {
            OTHERS.fetch_add(1, Ordering::SeqCst);
            print(info);
        }
    }));
}

pub(crate) fn injected() -> u64 {
    EXPECTED.load(Ordering::SeqCst)
}

pub(crate) fn others() -> u64 {
    OTHERS.load(Ordering::SeqCst)
}
