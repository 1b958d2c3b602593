//! Whether replies are kept in a tier that processes share, and how long a tier may keep a caller.
//!
//! A tier is there to save a load, so it must never cost more than it saves. A look-up has a budget of its own, far below the
//! call's timeout; what the tier does not say in that time is a miss. A tier that fails again and again is not asked at all
//! for a while, by a breaker of its own ([`breaker`]): the service's would not open by look-ups that were cut short by
//! their askers, and should not, if commands of other uses have more time.

use std::{fmt, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, de};

use super::breaker::BreakerSettings;
use crate::units::duration;

/// A tier that replies are kept in, beside the memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TierSettings {
    /// The service that is the tier, of a kind that can be one.
    pub service: String,
    /// How long a look-up in it may take. Default 20 ms.
    #[serde(with = "duration")]
    pub budget: Duration,
    /// For how long one process loads a reply for all; half of the call's `timeout` at most. Default 2 s.
    #[serde(with = "duration")]
    pub lease: Duration,
}

impl TierSettings {
    /// The tier of this service, by default settings.
    pub fn of(service: impl Into<String>) -> Self {
        Self { service: service.into(), budget: default_budget(), lease: default_lease() }
    }
}

/// The settings of a tier's own breaker: it opens after five failures in a row or half of those in ten seconds, and is
/// tried again after a second, which grows to half a minute. A try costs one caller the budget.
pub fn breaker() -> BreakerSettings {
    BreakerSettings {
        reset_timeout: Duration::from_secs(1),
        reset_max: Duration::from_secs(30),
        ramp: Duration::ZERO,
        ..BreakerSettings::default()
    }
}

impl<'de> Deserialize<'de> for TierSettings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Visitor)
    }
}

struct Visitor;

impl<'de> de::Visitor<'de> for Visitor {
    type Value = TierSettings;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(
            "the name of a service, or { service = \"redis-main\", budget = \"20ms\", lease = \"2s\" }",
        )
    }

    fn visit_str<E: de::Error>(self, service: &str) -> Result<TierSettings, E> {
        Ok(TierSettings::of(service))
    }

    fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<TierSettings, A::Error> {
        let Table { service, budget, lease } =
            Table::deserialize(de::value::MapAccessDeserializer::new(map))?;
        Ok(TierSettings { service, budget, lease })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    service: String,
    #[serde(default = "default_budget", with = "duration")]
    budget: Duration,
    #[serde(default = "default_lease", with = "duration")]
    lease: Duration,
}

fn default_budget() -> Duration {
    Duration::from_millis(20)
}

fn default_lease() -> Duration {
    Duration::from_secs(2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tier_that_hangs_is_left_alone_and_tried_again_soon() {
        let settings = breaker();
        assert_eq!((settings.consecutive_failures, settings.reset_timeout), (5, Duration::from_secs(1)));
        assert_eq!(settings.reset_max, Duration::from_secs(30));
    }

    #[test]
    fn a_name_says_it_all() {
        let named: TierSettings =
            TierSettings::deserialize(de::value::StrDeserializer::<de::value::Error>::new("redis"))
                .expect("a name");
        assert_eq!(named, TierSettings::of("redis"));
        assert_eq!((named.budget, named.lease), (Duration::from_millis(20), Duration::from_secs(2)));
    }
}
