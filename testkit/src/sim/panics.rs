//! Telling the panics that a run injects from those that it must not have.

use std::{cell::RefCell, panic, sync::Once};

thread_local! {
    /// What panicked on this thread, while a run is on it.
    static SEEN: RefCell<Option<Seen>> = const { RefCell::new(None) };
}

/// The panics of a run.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    /// Those that were injected.
    pub(super) injected: u64,
    /// The others, each with its text and place.
    pub(super) others: Vec<String>,
}

/// How the text of an injected panic begins.
const MARK: &str = "injected: ";

static HOOK: Once = Once::new();

/// Counts this thread's panics from now on, in place of printing them. Other threads' are printed as before.
pub(super) fn watch() {
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let watched = SEEN.with_borrow_mut(|seen| match seen {
                None => false,
                Some(seen) => {
                    if info.payload().downcast_ref::<String>().is_some_and(|text| text.starts_with(MARK)) {
                        seen.injected += 1;
                    } else {
                        seen.others.push(info.to_string());
                    }
                    true
                }
            });
            if !watched {
                before(info);
            }
        }));
    });
    SEEN.set(Some(Seen::default()));
}

/// What panicked since [`watch`].
pub(super) fn seen() -> Seen {
    SEEN.with_borrow(|seen| seen.clone().unwrap_or_default())
}

/// Panics on purpose.
pub(super) fn inject(what: &str) -> ! {
    // Its payload is a `String`, whatever `what` is: that is where the hook looks.
    panic::panic_any(format!("{MARK}{what}"))
}
