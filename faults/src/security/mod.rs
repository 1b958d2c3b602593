//! What strangers try.

mod proxies;
mod ssrf;

use crate::harness::Scenario;

pub(crate) fn all() -> Vec<Scenario> {
    vec![ssrf::X6, proxies::X15]
}
