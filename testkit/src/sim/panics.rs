//! Telling the panics that a run injects from those that it must not have.

use std::{cell::RefCell, panic, sync::Once};

thread_local! {
    /// What panicked on this thread that was not to, with its text and place, while a run is on it.
    static SEEN: RefCell<Option<Vec<String>>> = const { RefCell::new(None) };
}

/// How the text of an injected panic begins.
const MARK: &str = "injected: ";

static HOOK: Once = Once::new();

/// Keeps injected panics of this thread from being printed, and remembers all others of it, from now on.
pub(super) fn watch() {
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let expected = SEEN.with_borrow_mut(|seen| {
                let Some(seen) = seen else { return false };
                let injected =
                    info.payload().downcast_ref::<String>().is_some_and(|text| text.starts_with(MARK));
                if !injected {
                    seen.push(info.to_string());
                }
                injected
            });
            if !expected {
                before(info);
            }
        }));
    });
    SEEN.set(Some(Vec::new()));
}

/// What panicked since [`watch`] that was not to.
pub(super) fn seen() -> Vec<String> {
    SEEN.with_borrow(|seen| seen.clone().unwrap_or_default())
}

/// Panics on purpose.
pub(super) fn inject(what: &str) -> ! {
    // Its payload is a `String`, whatever `what` is: that is where the hook looks.
    panic::panic_any(format!("{MARK}{what}"))
}
