//! What goes wrong at the caller.

mod absurd_deadlines;
mod big_request;
mod blocking_code;
mod cancel_storm;
mod fairness;
mod fallbacks;
mod many_keys;
mod nested;
mod out_of_place;
mod overload;
mod past_deadlines;
mod retries_above;
mod short_of_backoff;

use crate::harness::Scenario;

pub(crate) fn all() -> Vec<Scenario> {
    vec![
        cancel_storm::C1,
        past_deadlines::C3,
        absurd_deadlines::C4,
        short_of_backoff::C5,
        nested::C6,
        many_keys::C7,
        big_request::C8,
        fallbacks::C10,
        blocking_code::C11,
        overload::C12,
        fairness::C13,
        fairness::C14,
        retries_above::C15,
        out_of_place::C16,
    ]
}
