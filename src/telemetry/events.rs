use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use serde::Serialize;
use tokio::sync::broadcast;

use super::Log;
use crate::{
    call::CallError,
    downstream::EndpointAddress,
    policy::{breaker::Transition, outlier::Ejection},
};

/// Something changed that an operator would want to know.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Event {
    /// When, by the wall clock: for people to read.
    pub at: SystemTime,
    /// The service it is about; `None` for the runtime's own.
    pub service: Option<Arc<str>>,
    /// What changed.
    pub what: What,
}

/// What changed.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum What {
    /// A breaker changed its state.
    Breaker {
        /// `service`, or the call or endpoint that has a breaker of its own.
        scope: Arc<str>,
        /// Whether it only observes.
        shadow: bool,
        /// From where to where, and the figures it went by.
        transition: Transition,
        /// The failure that tipped it.
        last_error: Option<Arc<str>>,
    },
    /// The bulkhead's queue is full: calls are refused from now on.
    Saturated,
    /// Calls are admitted again.
    Relieved,
    /// The bulkhead's limit, which is measured, has changed. Told once a second at most.
    LimitChanged {
        /// `service`, or the call that has a bulkhead of its own.
        scope: Arc<str>,
        /// Calls in flight that were allowed when it was last told.
        from: u32,
        /// Calls in flight that are allowed now.
        to: u32,
    },
    /// An endpoint is left alone for a while.
    Ejected {
        /// Which.
        endpoint: EndpointAddress,
        /// Whether that is only what would have been.
        shadow: bool,
        /// Why, and the figures it went by.
        ejection: Ejection,
    },
    /// An ejected endpoint is used again: its probe succeeded.
    Returned {
        /// Which.
        endpoint: EndpointAddress,
        /// Whether that is only what would have been.
        shadow: bool,
        /// How long it was out.
        after: Duration,
    },
    /// So many endpoints are ejected that all are used: `balance.panic_threshold`.
    AllEjected {
        /// How many are.
        ejected: usize,
        /// Of how many.
        endpoints: usize,
    },
    /// The retry budget is spent: until it refills, failures are not retried, and what is late is not hedged.
    BudgetExhausted,
    /// A thread's pool was opened.
    PoolOpened {
        /// The thread's name.
        thread: Arc<str>,
    },
    /// A thread's pool could not be opened.
    PoolFailed {
        /// The thread's name.
        thread: Arc<str>,
        /// Why.
        error: Arc<str>,
        /// When it is tried next.
        retry_in: Duration,
    },
    /// A shard ended and is restarted.
    ShardRestarted {
        /// The thread's name.
        thread: Arc<str>,
        /// Why it ended.
        cause: Cause,
    },
    /// The service failed more often than its restart intensity allows.
    ServiceFailed {
        /// The last error.
        error: Arc<str>,
        /// When the next probe is due.
        probe_in: Duration,
    },
    /// A failed service is up again.
    ServiceRecovered,
    /// A thread does not answer: something blocks it.
    ThreadStalled {
        /// The thread's name.
        thread: Arc<str>,
        /// For how long, so far.
        blocked: Duration,
    },
    /// A blocked thread answers again.
    ThreadRecovered {
        /// The thread's name.
        thread: Arc<str>,
        /// For how long it was blocked.
        blocked: Duration,
    },
    /// New settings are in force.
    Reloaded {
        /// How often settings were applied, the first time included.
        generation: u64,
    },
    /// New settings were refused; the old ones stay.
    ReloadRefused {
        /// What is wrong with them.
        errors: Arc<str>,
    },
    /// Code overrides a setting for a while.
    OverrideSet {
        /// The setting, in full.
        key: Arc<str>,
        /// What it is now, as TOML.
        value: Arc<str>,
        /// Who did it.
        by: Arc<str>,
        /// Why.
        because: Arc<str>,
        /// For how long.
        lasting: Duration,
    },
    /// An override has ended.
    OverrideExpired {
        /// The setting, in full.
        key: Arc<str>,
        /// Who had set it.
        by: Arc<str>,
        /// What ended it.
        cause: Ended,
    },
    /// Faults are injected from now on, or others than before.
    FaultsOn {
        /// `service`, or the call that has faults of its own.
        scope: Arc<str>,
        /// Which, and how many.
        faults: Arc<str>,
    },
    /// Faults are injected no more.
    FaultsOff {
        /// `service`, or the call that had faults of its own.
        scope: Arc<str>,
    },
    /// The runtime takes no new calls.
    DrainStarted,
    /// All calls have ended, or their time is up.
    DrainEnded {
        /// Calls that had to be cut off.
        cut_off: usize,
    },
    /// A call sent with `do_send` failed; nobody else is told.
    Unanswered(CallError),
    /// This listener was too slow, and lost events.
    Lagged(u64),
}

/// What ended an override.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Ended {
    /// Its time was up.
    Time,
    /// Somebody asked for it.
    Unset,
    /// The service is gone from the settings.
    ServiceRemoved,
    /// Another ended, without which it makes no sense.
    Contradicts,
}

impl Ended {
    /// The word for it in logs.
    pub fn word(self) -> &'static str {
        match self {
            Self::Time => "time",
            Self::Unset => "unset",
            Self::ServiceRemoved => "service_removed",
            Self::Contradicts => "contradicts",
        }
    }
}

/// Why a shard ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Its code panicked.
    Panic,
    /// It ended by itself.
    Stopped,
    /// Its thread went away under it.
    ThreadEnded,
    /// Its health checks failed.
    Unhealthy,
    /// Too many of its attempts panicked.
    AttemptPanics,
    /// Somebody asked for it.
    Requested,
}

impl Cause {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Panic,
        Self::Stopped,
        Self::ThreadEnded,
        Self::Unhealthy,
        Self::AttemptPanics,
        Self::Requested,
    ];

    /// The word for it in metrics and logs.
    pub fn word(self) -> &'static str {
        match self {
            Self::Panic => "panic",
            Self::Stopped => "stopped",
            Self::ThreadEnded => "thread_ended",
            Self::Unhealthy => "unhealthy",
            Self::AttemptPanics => "attempt_panics",
            Self::Requested => "requested",
        }
    }
}

/// Hands events to whoever listens, without ever waiting for them.
pub(crate) struct EventBus {
    sender: broadcast::Sender<Event>,
    dropped: Arc<AtomicU64>,
    log: Log,
    is_logged: AtomicBool,
}

impl EventBus {
    /// A bus that keeps `buffer` events for each listener.
    pub(crate) fn new(buffer: usize) -> Self {
        Self {
            sender: broadcast::Sender::new(buffer.max(1)),
            dropped: Arc::default(),
            log: Log::default(),
            is_logged: AtomicBool::new(true),
        }
    }

    /// Whether events are lines of the log, too.
    pub(crate) fn set_logged(&self, is_logged: bool) {
        self.is_logged.store(is_logged, Ordering::Relaxed);
    }

    pub(crate) fn emit(&self, service: Option<&Arc<str>>, what: What) {
        let event = Event { at: SystemTime::now(), service: service.cloned(), what };
        if self.is_logged.load(Ordering::Relaxed) {
            self.log.write(&event);
        }
        // Nobody listening is no error.
        let _ = self.sender.send(event);
    }

    pub(crate) fn listen(&self) -> EventStream {
        EventStream { receiver: self.sender.subscribe(), dropped: Arc::clone(&self.dropped) }
    }

    /// Events that slow listeners lost.
    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// The changes of a runtime as they come. A listener that is too slow loses the oldest, and is told how many.
pub struct EventStream {
    receiver: broadcast::Receiver<Event>,
    dropped: Arc<AtomicU64>,
}

impl EventStream {
    /// The next event; `None` once the runtime has ended.
    pub async fn next(&mut self) -> Option<Event> {
        match self.receiver.recv().await {
            Ok(event) => Some(event),
            Err(broadcast::error::RecvError::Lagged(lost)) => Some(self.lagged(lost)),
            Err(broadcast::error::RecvError::Closed) => None,
        }
    }

    /// An event that is there already.
    pub fn try_next(&mut self) -> Option<Event> {
        match self.receiver.try_recv() {
            Ok(event) => Some(event),
            Err(broadcast::error::TryRecvError::Lagged(lost)) => Some(self.lagged(lost)),
            Err(_) => None,
        }
    }

    fn lagged(&self, lost: u64) -> Event {
        self.dropped.fetch_add(lost, Ordering::Relaxed);
        Event { at: SystemTime::now(), service: None, what: What::Lagged(lost) }
    }
}

impl fmt::Debug for EventStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventStream").field("waiting", &self.receiver.len()).finish()
    }
}
