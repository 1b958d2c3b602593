//! The settings of a service and of its calls, as their policies need them. `CONFIG.md` names them all.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Deserializer, Serialize, de};

use crate::{
    call::Priority,
    downstream::{Blame, Failure, PoolSettings},
    policy::{
        balance::BalanceSettings, breaker::BreakerSettings, budget::BudgetSettings,
        bulkhead::BulkheadSettings, faults::FaultSettings, freshness::CacheSettings, hedge::HedgeSettings,
        keys::KeyedSettings, outlier::OutlierSettings, rate::RateSettings, restart::RestartSettings,
        retry::RetrySettings, throttle::ThrottleSettings,
    },
    units::{ByteSize, duration},
};

/// What is one for the whole runtime.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct RuntimeSettings {
    /// Threads that the runtime may own, for callers whose own cannot run a shard. Default as many as there are cores,
    /// four at most.
    pub arbiters: Arbiters,
    /// How long a drain waits for calls to end. Default 30 s.
    #[serde(with = "duration")]
    pub drain: Duration,
    /// What the memory tier may hold, over all services. Default 64 MiB.
    pub cache_max_bytes: ByteSize,
    /// Pools that may be reopened at once. Default 2.
    pub concurrent_reopens: usize,
    /// How long a thread may be blocked before it is named; `"0s"` for never. Default 1 s.
    #[serde(with = "duration")]
    pub watchdog: Duration,
    /// Events that a slow listener may be behind. Default 1,024.
    pub event_buffer: usize,
    /// Whose processes share what lies in a cache tier: programs that must not read each other's replies need different
    /// ones. Default `"seawall"`.
    pub fleet: String,
    /// Whether `faults` may be set: nowhere by default, so that a test's settings do no harm where they are not meant.
    /// Other than the rest it counts at each reload too.
    pub allow_faults: bool,
}

impl Default for RuntimeSettings {
    fn default() -> Self {
        Self {
            arbiters: Arbiters::Auto,
            drain: Duration::from_secs(30),
            cache_max_bytes: ByteSize::mib(64),
            concurrent_reopens: 2,
            watchdog: Duration::from_secs(1),
            event_buffer: 1024,
            fleet: "seawall".to_owned(),
            allow_faults: false,
        }
    }
}

/// How a runtime shows what it does. Read once, at the start.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct TelemetrySettings {
    /// Whether each change is a line of the log. Default true; the events come either way.
    pub log_transitions: bool,
    /// The buckets that the metrics page shows of a histogram.
    pub histogram: HistogramSettings,
    /// Labels that all metrics carry, such as `{ region = "eu" }`: 16 at most, none of them by default.
    pub labels: BTreeMap<String, String>,
    /// How often metrics are given to the recorder of the `metrics` crate; `"0s"`, the default, for never.
    #[serde(with = "duration")]
    pub publish: Duration,
}

impl Default for TelemetrySettings {
    fn default() -> Self {
        Self {
            log_transitions: true,
            histogram: HistogramSettings::default(),
            labels: BTreeMap::new(),
            publish: Duration::ZERO,
        }
    }
}

/// The buckets that the metrics page shows of a histogram: of 0.5 ms, 1 ms, 2.5 ms and so on to 60 s those in these bounds.
/// What is recorded is finer, and the same whatever they are.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HistogramSettings {
    /// The lowest bucket ends here or above. Default 500 us.
    #[serde(with = "duration")]
    pub lowest: Duration,
    /// The highest bucket ends here or below. Default 60 s.
    #[serde(with = "duration")]
    pub highest: Duration,
}

impl Default for HistogramSettings {
    fn default() -> Self {
        Self { lowest: Duration::from_micros(500), highest: Duration::from_secs(60) }
    }
}

/// How many threads the runtime may own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Arbiters {
    /// `"auto"`: as many as there are cores, four at most.
    #[default]
    Auto,
    /// This many.
    #[serde(untagged)]
    Count(usize),
}

impl Arbiters {
    pub(crate) fn count(self) -> usize {
        match self {
            Self::Auto => std::thread::available_parallelism().map_or(1, |cores| cores.get().min(4)),
            Self::Count(count) => count,
        }
    }
}

impl<'de> Deserialize<'de> for Arbiters {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl de::Visitor<'_> for Visitor {
            type Value = Arbiters;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("\"auto\", or a number of threads from 1 to 256")
            }

            fn visit_str<E: de::Error>(self, word: &str) -> Result<Arbiters, E> {
                match word {
                    "auto" => Ok(Arbiters::Auto),
                    _ => Err(E::invalid_value(de::Unexpected::Str(word), &self)),
                }
            }

            fn visit_u64<E: de::Error>(self, count: u64) -> Result<Arbiters, E> {
                match count {
                    1..=256 => Ok(Arbiters::Count(count as usize)),
                    _ => Err(E::invalid_value(de::Unexpected::Unsigned(count), &self)),
                }
            }

            fn visit_i64<E: de::Error>(self, count: i64) -> Result<Arbiters, E> {
                match u64::try_from(count) {
                    Ok(count) => self.visit_u64(count),
                    Err(_) => Err(E::invalid_value(de::Unexpected::Signed(count), &self)),
                }
            }
        }
        deserializer.deserialize_any(Visitor)
    }
}

/// What may differ from one call of a service to another.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct CallSettings {
    /// How long a call may take, queue and retries included, unless its caller says otherwise. Default 3 s.
    #[serde(with = "duration")]
    pub timeout: Duration,
    /// The cap on any deadline asked for. Default 60 s.
    #[serde(with = "duration")]
    pub max_timeout: Duration,
    /// How long one attempt may take; what remains of the call where `false`, the default.
    #[serde(with = "duration::option")]
    pub attempt_timeout: Option<Duration>,
    /// How important the calls are, unless call or caller says otherwise.
    pub priority: Priority,
    /// What becomes of an attempt whose caller goes away.
    pub on_cancel: OnCancel,
    /// The circuit breaker.
    pub breaker: Option<BreakerSettings>,
    /// Calls in flight and waiting.
    pub bulkhead: Option<BulkheadSettings>,
    /// Calls in a time; off unless written.
    pub rate: Option<RateSettings>,
    /// Calls refused because the downstream sheds load; off unless written.
    pub throttle: Option<ThrottleSettings>,
    /// Further attempts.
    pub retry: Option<RetrySettings>,
    /// Second attempts at what takes long; off unless written.
    pub hedge: Option<HedgeSettings>,
    /// Kept replies, of calls that opted in.
    pub cache: Option<CacheSettings>,
    /// Faults on purpose; off unless written, and refused unless `runtime.allow_faults` is on.
    pub faults: Option<FaultSettings>,
    /// Which answers are failures, in the kind's own words.
    pub classify: Classify,
}

impl Default for CallSettings {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(3),
            max_timeout: Duration::from_secs(60),
            attempt_timeout: None,
            priority: Priority::Normal,
            on_cancel: OnCancel::Auto,
            breaker: Some(BreakerSettings::default()),
            bulkhead: Some(BulkheadSettings::default()),
            rate: None,
            throttle: None,
            retry: Some(RetrySettings::default()),
            hedge: None,
            cache: Some(CacheSettings::default()),
            faults: None,
            classify: Classify::default(),
        }
    }
}

impl CallSettings {
    /// No policy at all but the timeout: what a guard or a mock without policies starts from.
    pub fn bare() -> Self {
        Self { breaker: None, bulkhead: None, rate: None, retry: None, cache: None, ..Self::default() }
    }
}

/// What is one for the whole service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServiceSettings {
    /// The kind of downstream.
    pub kind: String,
    /// How the service is opened when the runtime starts.
    pub startup: Startup,
    /// How long making one connection may take, resolving and TLS included. Default 2 s.
    #[serde(with = "duration")]
    pub connect_timeout: Duration,
    /// What retries may cost, over all calls of the service.
    pub retry_budget: Option<BudgetSettings>,
    /// What each key has for itself, of calls that are made with one.
    pub keyed: Option<KeyedSettings>,
    /// How attempts are spread over its endpoints, where it has several.
    pub balance: BalanceSettings,
    /// When one of them is left alone for a while.
    pub outlier: Option<OutlierSettings>,
    /// Its connections.
    pub pool: PoolSettings,
    /// Active checks.
    pub health: HealthSettings,
    /// How its shards are restarted.
    pub restart: RestartSettings,
}

impl Default for ServiceSettings {
    fn default() -> Self {
        Self {
            kind: String::new(),
            startup: Startup::default(),
            connect_timeout: Duration::from_secs(2),
            retry_budget: Some(BudgetSettings::default()),
            keyed: Some(KeyedSettings::default()),
            balance: BalanceSettings::default(),
            outlier: Some(OutlierSettings::default()),
            pool: PoolSettings::default(),
            health: HealthSettings::default(),
            restart: RestartSettings::default(),
        }
    }
}

/// How a service is opened when the runtime starts.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Startup {
    /// Whether the start fails when the service cannot be opened. Default no.
    pub required: bool,
    /// When it is opened. Default in the background.
    pub mode: StartupMode,
}

/// When a service is first opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum StartupMode {
    /// Before the start returns.
    Eager,
    /// From the start on, without waiting for it.
    #[default]
    Background,
    /// By its first call.
    Lazy,
}

/// Active health checks, once a service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct HealthSettings {
    /// Time from one check to the next; `"0s"`, the default, for none.
    #[serde(with = "duration")]
    pub interval: Duration,
    /// How long one check may take. Default 1 s.
    #[serde(with = "duration")]
    pub timeout: Duration,
    /// Checks that must fail in a row to reopen the pool. Default 3.
    pub failures: u32,
}

impl Default for HealthSettings {
    fn default() -> Self {
        Self { interval: Duration::ZERO, timeout: Duration::from_secs(1), failures: 3 }
    }
}

/// What becomes of an attempt whose caller goes away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnCancel {
    /// It is cancelled.
    Abort,
    /// Once its shard has begun it, it is finished within its deadline, and its outcome recorded.
    Finish,
    /// Finished if the call is not idempotent and has been sent, cancelled otherwise.
    #[default]
    Auto,
}

/// Lays the blame for failures anew, by the kind's own word for them: a status (`503`), an SQLSTATE (`53300`).
///
/// In a pattern an `x` stands for any one character, and `+retry-after` asks that the downstream said when to come
/// back. The first list with a match wins, in the order of the fields; a failure that none matches stays as its kind
/// classified it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Classify {
    /// The downstream's own failures.
    pub failure: Vec<Pattern>,
    /// The downstream asks for less.
    pub overload: Vec<Pattern>,
    /// The caller's own fault.
    pub ignore: Vec<Pattern>,
}

impl Classify {
    pub(crate) fn apply(&self, failure: Failure) -> Failure {
        let Some(code) = failure.get_code() else { return failure };
        let asked = failure.asked_retry_after().is_some();
        let lists = [
            (&self.failure, Blame::Downstream),
            (&self.overload, Blame::Overload),
            (&self.ignore, Blame::Caller),
        ];
        let blame = lists
            .iter()
            .find(|(patterns, _)| patterns.iter().any(|pattern| pattern.matches(code, asked)))
            .map(|(_, blame)| *blame);
        match blame {
            Some(blame) => failure.blamed_on(blame),
            None => failure,
        }
    }
}

/// One pattern of [`Classify`].
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Pattern(String);

const RETRY_AFTER: &str = "+retry-after";

impl Pattern {
    fn matches(&self, code: &str, asked_retry_after: bool) -> bool {
        let wanted = match self.0.strip_suffix(RETRY_AFTER) {
            Some(wanted) if asked_retry_after => wanted,
            Some(_) => return false,
            None => &self.0,
        };
        wanted.len() == code.len()
            && wanted.bytes().zip(code.bytes()).all(|(wanted, is)| wanted == b'x' || wanted == is)
    }
}

impl<'de> Deserialize<'de> for Pattern {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let code = text.strip_suffix(RETRY_AFTER).unwrap_or(&text);
        if code.is_empty() || !code.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return Err(de::Error::invalid_value(
                de::Unexpected::Str(&text),
                &"a code such as \"503\", with x for any character (\"5xx\"), and \"+retry-after\" behind it if wanted",
            ));
        }
        Ok(Self(text))
    }
}

/// Where a call's settings come from: the layers, its own derive, and its scope among them.
pub(crate) type SettingsSource =
    dyn Fn(&'static str, &'static str) -> Result<CallSettings, String> + Send + Sync;

#[cfg(test)]
mod tests {
    use super::*;

    fn classify(failure: &[&str], overload: &[&str], ignore: &[&str]) -> Classify {
        let list = |patterns: &[&str]| patterns.iter().map(|text| Pattern((*text).to_owned())).collect();
        Classify { failure: list(failure), overload: list(overload), ignore: list(ignore) }
    }

    #[test]
    fn blame_is_laid_by_code() {
        let classify = classify(&["404"], &["503+retry-after"], &["4xx"]);
        let answer = |code: &'static str| Failure::new(Blame::Downstream, "no").code(code);
        assert_eq!(classify.apply(answer("404")).blame(), Blame::Downstream);
        assert_eq!(classify.apply(answer("409")).blame(), Blame::Caller);
        assert_eq!(classify.apply(answer("503")).blame(), Blame::Downstream);
        let later = answer("503").retry_after(Duration::from_secs(1));
        assert_eq!(classify.apply(later).blame(), Blame::Overload);
    }
}
