use std::{error::Error, fmt, sync::Arc, time::Duration};

use serde::{Serialize, Serializer};

use crate::{
    downstream::{Blame, Failure, OpenError, Reached, Stage},
    policy::{breaker, throttle::Throttled},
    units::duration,
};

/// Why a call has no answer. Cloning is cheap, since all who waited for one load get the same error.
///
/// Its text names the service, the call, and what can be done; the cause goes through [`source`](Error::source).
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum CallError {
    /// It was not sent: something between here and the downstream refused it.
    Rejected(Rejected),
    /// Its time ran out.
    TimedOut(TimedOut),
    /// The downstream, or the way to it, failed.
    Failed(Failed),
    /// The call failed, and then its fallback did; the source is the first error.
    FallbackFailed(FallbackFailed),
}

/// A call that was refused before it was sent.
#[derive(Clone, Debug)]
pub struct Rejected {
    pub(crate) service: Arc<str>,
    pub(crate) call: &'static str,
    pub(crate) reason: Reason,
}

/// What refused a call, and the figures it went by.
///
/// Serialized, it is `{"reason": "rate", "figures": {"retry_after_ms": 20}}`: a word for each kind of refusal, and its
/// figures, durations in milliseconds. The words are as stable as the names of metrics.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "reason", content = "figures", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reason {
    /// The service's circuit breaker is open.
    Breaker(breaker::Rejected),
    /// As many calls as allowed are in flight, and as many wait.
    BulkheadFull {
        /// Calls allowed in flight.
        max_in_flight: usize,
        /// Calls allowed to wait.
        max_queue: usize,
    },
    /// The call waited as long as a call may, and none before it ended.
    QueueTimeout(#[serde(serialize_with = "duration::millis")] Duration),
    /// The call waited, and its place went to one that is more important, or whose tenant has less of them.
    Shed,
    /// The call waited for so long while calls have been waiting for too long for a while: newer ones, which have more
    /// time left, go first.
    Delayed(Duration),
    /// More calls than the rate allows.
    Rate {
        /// When the next one is due.
        #[serde(rename = "retry_after_ms", serialize_with = "duration::millis")]
        retry_after: Duration,
    },
    /// The downstream sheds load, and the call was among those that are not sent to it.
    Throttled(Throttled),
    /// The settings have it refused on purpose: `faults.reject`.
    Injected,
    /// The caller's deadline had passed before anything was sent.
    DeadlinePassed,
    /// The service's pool cannot be opened; it is tried again.
    Unavailable {
        /// How often in a row it could not be opened, or died soon.
        failures: u32,
        /// When it is tried next.
        #[serde(rename = "retry_after_ms", serialize_with = "duration::millis")]
        retry_after: Duration,
        /// Why it could not be opened.
        #[serde(serialize_with = "text")]
        error: OpenError,
    },
    /// The service failed more often than its restart intensity allows; slow probes go on.
    ServiceFailed {
        /// How often in a row it could not be opened, or died soon.
        failures: u32,
        /// When the next probe is due.
        #[serde(rename = "retry_after_ms", serialize_with = "duration::millis")]
        retry_after: Duration,
        /// The last error.
        #[serde(serialize_with = "text")]
        error: OpenError,
    },
    /// The service is gone from the settings.
    Removed,
    /// The runtime is shutting down.
    Draining,
    /// The runtime has ended, or is not started.
    NotRunning,
    /// The thread that the call was made on has no async runtime.
    NoRuntime,
    /// The runtime could not start a thread of its own.
    NoThread(Arc<str>),
    /// The call itself is not right: its own settings, or its name.
    BadCall(Arc<str>),
    /// More calls were sent with `do_send` than may wait unanswered.
    TooManyUnanswered {
        /// How many may.
        max: usize,
    },
}

/// A call whose time ran out.
#[derive(Clone, Debug)]
pub struct TimedOut {
    pub(crate) service: Arc<str>,
    pub(crate) call: &'static str,
    pub(crate) stage: Stage,
    pub(crate) after: Duration,
    pub(crate) reached: Reached,
    pub(crate) cause: Option<Failure>,
}

/// A call whose attempts failed.
#[derive(Clone, Debug)]
pub struct Failed {
    pub(crate) service: Arc<str>,
    pub(crate) call: &'static str,
    pub(crate) attempts: u32,
    pub(crate) failure: Failure,
}

/// A call that failed, and whose fallback failed too.
#[derive(Clone, Debug)]
pub struct FallbackFailed {
    pub(crate) first: Arc<CallError>,
    pub(crate) message: Arc<str>,
}

impl CallError {
    /// An error as if `failure` ended a call's only attempt: for tests of code that handles errors.
    pub fn failed(service: impl Into<Arc<str>>, call: &'static str, failure: Failure) -> Self {
        Self::Failed(Failed { service: service.into(), call, attempts: 1, failure })
    }

    /// An error as if the call had been refused for `reason`: for tests of code that handles errors.
    pub fn rejected(service: impl Into<Arc<str>>, call: &'static str, reason: Reason) -> Self {
        Self::Rejected(Rejected { service: service.into(), call, reason })
    }

    /// An error as if the call's time had run out at `stage`: for tests of code that handles errors.
    pub fn timed_out(
        service: impl Into<Arc<str>>,
        call: &'static str,
        stage: Stage,
        after: Duration,
    ) -> Self {
        let reached = Failure::timeout(stage).has_reached();
        Self::TimedOut(TimedOut { service: service.into(), call, stage, after, reached, cause: None })
    }

    /// Whether time ran out: the call's own, or that of its last attempt.
    pub fn is_timeout(&self) -> bool {
        match self {
            Self::TimedOut(_) => true,
            Self::Failed(failed) => {
                matches!(failed.failure.looked_like(), crate::downstream::Symptom::Timeout(_))
            }
            Self::Rejected(rejected) => {
                matches!(rejected.reason, Reason::QueueTimeout(_) | Reason::DeadlinePassed)
            }
            Self::FallbackFailed(failed) => failed.first.is_timeout(),
        }
    }

    /// Whether the call was refused without being sent.
    pub fn is_rejection(&self) -> bool {
        match self {
            Self::Rejected(_) => true,
            Self::FallbackFailed(failed) => failed.first.is_rejection(),
            _ => false,
        }
    }

    /// When it makes sense to try again, where that is known.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Rejected(rejected) => match &rejected.reason {
                Reason::Breaker(open) => Some(open.retry_after),
                Reason::Throttled(throttled) => Some(throttled.retry_after),
                Reason::Rate { retry_after }
                | Reason::Unavailable { retry_after, .. }
                | Reason::ServiceFailed { retry_after, .. } => Some(*retry_after),
                _ => None,
            },
            Self::Failed(failed) => failed.failure.asked_retry_after(),
            Self::TimedOut(timed_out) => timed_out.cause.as_ref().and_then(Failure::asked_retry_after),
            Self::FallbackFailed(failed) => failed.first.retry_after(),
        }
    }

    /// The service that was called.
    pub fn service(&self) -> &str {
        match self {
            Self::Rejected(rejected) => &rejected.service,
            Self::TimedOut(timed_out) => &timed_out.service,
            Self::Failed(failed) => &failed.service,
            Self::FallbackFailed(failed) => failed.first.service(),
        }
    }

    /// The call's name.
    pub fn call(&self) -> &'static str {
        match self {
            Self::Rejected(rejected) => rejected.call,
            Self::TimedOut(timed_out) => timed_out.call,
            Self::Failed(failed) => failed.call,
            Self::FallbackFailed(failed) => failed.first.call(),
        }
    }

    /// What refused the call, if it was refused.
    pub fn reason(&self) -> Option<&Reason> {
        match self {
            Self::Rejected(rejected) => Some(&rejected.reason),
            Self::FallbackFailed(failed) => failed.first.reason(),
            _ => None,
        }
    }

    /// The failure of the last attempt, if one was made.
    pub fn failure(&self) -> Option<&Failure> {
        match self {
            Self::Failed(failed) => Some(&failed.failure),
            Self::TimedOut(timed_out) => timed_out.cause.as_ref(),
            Self::FallbackFailed(failed) => failed.first.failure(),
            Self::Rejected(_) => None,
        }
    }

    /// Whether the call may have reached the downstream: for a write, whether its outcome is unknown.
    pub fn reached(&self) -> Reached {
        match self {
            Self::Rejected(_) => Reached::No,
            Self::TimedOut(timed_out) => timed_out.reached,
            Self::Failed(failed) => failed.failure.has_reached(),
            Self::FallbackFailed(failed) => failed.first.reached(),
        }
    }

    /// Whose fault it was: ours, where the call was refused here.
    pub fn blame(&self) -> Blame {
        match self {
            Self::Rejected(rejected) => rejected.reason.blame(),
            Self::TimedOut(timed_out) => timed_out.cause.as_ref().map_or(Blame::Local, Failure::blame),
            Self::Failed(failed) => failed.failure.blame(),
            Self::FallbackFailed(failed) => failed.first.blame(),
        }
    }
}

impl Reason {
    fn blame(&self) -> Blame {
        match self {
            Self::Breaker(_) | Self::Unavailable { .. } | Self::ServiceFailed { .. } => Blame::Downstream,
            Self::Throttled(_) => Blame::Overload,
            _ => Blame::Local,
        }
    }

    /// The policy that refused, as metrics name it.
    pub fn policy(&self) -> &'static str {
        match self {
            Self::Breaker(_) => "breaker",
            Self::BulkheadFull { .. }
            | Self::QueueTimeout(_)
            | Self::Shed
            | Self::Delayed(_)
            | Self::TooManyUnanswered { .. } => "bulkhead",
            Self::Rate { .. } => "rate",
            Self::Throttled(_) => "throttle",
            Self::Injected => "faults",
            Self::DeadlinePassed => "deadline",
            Self::Removed
            | Self::Draining
            | Self::NotRunning
            | Self::NoRuntime
            | Self::NoThread(_)
            | Self::BadCall(_) => "drain",
            Self::Unavailable { .. } | Self::ServiceFailed { .. } => "failed",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Breaker(open) => write!(f, "{open}"),
            Self::BulkheadFull { max_in_flight, max_queue } => write!(
                f,
                "{max_in_flight} calls are in flight and {max_queue} wait, which is all that its bulkhead allows; \
                 call less often, or raise bulkhead.max_in_flight if the downstream can take more"
            ),
            Self::QueueTimeout(waited) => write!(
                f,
                "it waited {waited:?} in the bulkhead's queue and no call ended; the downstream is slower than it \
                 is called"
            ),
            Self::Shed => f.write_str(
                "its bulkhead is full, and its place in the queue went to a call that is more important, or of a tenant \
                 that has less of them",
            ),
            Self::Delayed(waited) => write!(
                f,
                "it waited {waited:?} in the bulkhead's queue, where calls have waited for longer than \
                 bulkhead.codel.target for a while; the downstream is slower than it is called, and newer calls go first"
            ),
            Self::Rate { retry_after } => {
                write!(f, "it is called more often than its rate allows; the next call is due in {retry_after:?}")
            }
            Self::Throttled(throttled) => write!(f, "{throttled}"),
            Self::Injected => f.write_str("injected: `faults.reject` has it refused on purpose"),
            Self::DeadlinePassed => f.write_str(
                "the caller's deadline had passed before it could be sent; nothing was asked of the downstream",
            ),
            Self::Unavailable { retry_after, .. } => {
                write!(f, "its pool cannot be opened; the next try is in {retry_after:?}")
            }
            Self::ServiceFailed { retry_after, .. } => write!(
                f,
                "it failed more often than its restart intensity allows; the next probe is in {retry_after:?}"
            ),
            Self::Removed => f.write_str("it is gone from the settings since they were reloaded"),
            Self::Draining => f.write_str("the runtime is shutting down and takes no new calls"),
            Self::NotRunning => {
                f.write_str("its runtime has ended; keep the `Runtime` alive as long as its services are called")
            }
            Self::NoRuntime => f.write_str(
                "this thread has no async runtime; call from a tokio runtime, an actix arbiter, or an actix-web handler",
            ),
            Self::NoThread(error) => write!(
                f,
                "a thread to serve it could not be started ({error}); raise the process' limit of threads"
            ),
            Self::BadCall(error) => f.write_str(error),
            Self::TooManyUnanswered { max } => {
                write!(f, "{max} calls sent with do_send are unanswered, which is all that may be")
            }
        }
    }
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (service, call) = (self.service(), self.call());
        match self {
            Self::Rejected(rejected) => write!(f, "{service} {call} was not sent: {}", rejected.reason),
            Self::TimedOut(TimedOut { stage, after, .. }) => {
                write!(f, "{service} {call} timed out after {after:?}, {stage}")
            }
            Self::Failed(Failed { attempts: 0 | 1, .. }) => write!(f, "{service} {call} failed"),
            Self::Failed(Failed { attempts, .. }) => {
                write!(f, "{service} {call} failed, {attempts} times in a row")
            }
            Self::FallbackFailed(failed) => {
                write!(f, "{service} {call} failed, and so did its fallback: {}", failed.message)
            }
        }
    }
}

impl Error for CallError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Rejected(rejected) => match &rejected.reason {
                Reason::Unavailable { error, .. } | Reason::ServiceFailed { error, .. } => Some(error),
                _ => None,
            },
            Self::TimedOut(timed_out) => timed_out.cause.as_ref().map(|cause| cause as _),
            Self::Failed(failed) => Some(&failed.failure),
            Self::FallbackFailed(failed) => Some(&*failed.first),
        }
    }
}

impl Rejected {
    /// What refused it, and the figures it went by.
    pub fn reason(&self) -> &Reason {
        &self.reason
    }
}

/// For machines: service, call, policy, reason and its figures, and in words what people are told.
impl Serialize for Rejected {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Written<'a> {
            service: &'a str,
            call: &'a str,
            policy: &'static str,
            #[serde(flatten)]
            reason: &'a Reason,
            message: String,
        }
        let Self { service, call, reason } = self;
        Written { service, call, policy: reason.policy(), reason, message: reason.to_string() }
            .serialize(serializer)
    }
}

/// Writes an error and its causes as text.
fn text<S: Serializer>(error: &OpenError, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&chain(error))
}

/// An error and its causes on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
