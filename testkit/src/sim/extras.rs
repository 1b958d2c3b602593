use std::time::Duration;

use super::random::Random;

/// What only some services have: what makes the way of a call longer, and is off by default.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extras {
    /// Endpoints; one where it is less than two.
    pub endpoints: u64,
    /// When a first try is hedged.
    pub hedge: Option<Duration>,
    /// Calls a second that are let through; those beyond wait for a while.
    pub rate: Option<u64>,
    /// Whether tenants have rates and turns of their own.
    pub per_tenant: bool,
}

impl Extras {
    pub(super) fn of(random: &mut Random, per_second: f64) -> Self {
        Self {
            endpoints: random.pick(&[1, 1, 2, 3]),
            hedge: random.happens(0.4).then(|| random.millis(10, 80)),
            // Wide enough for who retries by himself, and not for a flood.
            rate: random.happens(0.4).then(|| per_second as u64 * random.between(3, 6)),
            per_tenant: random.happens(0.5),
        }
    }

    /// Its address or addresses, and what else the settings say.
    pub(super) fn toml(&self, address: u64) -> String {
        let mut text = format!("address = \"{address}\"\n");
        if self.endpoints > 1 {
            text += &format!("endpoints = {}\n", self.endpoints);
        }
        if let Some(delay) = self.hedge {
            text += &format!("hedge = {{ delay = \"{}ms\" }}\n", delay.as_millis());
        }
        if let Some(limit) = self.rate {
            text += &format!(
                "rate = {{ limit = {limit}, burst = {limit}, max_wait = \"100ms\", per_tenant = {} }}\n",
                self.per_tenant
            );
        }
        text
    }
}
