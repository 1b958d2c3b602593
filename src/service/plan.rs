use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use super::{CallState, invalidation::Invalidation, keyed::KeyPolicies};
use crate::{
    call::{Context, Priority, Reason},
    policy::EndpointSet,
    units::Tick,
};

/// What a call inherits and asks for, resolved once.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) started: Tick,
    pub(crate) deadline: Instant,
    /// Whether the deadline is earlier than the settings' own timeout.
    pub(crate) hurried: bool,
    /// Whether the caller wants the downstream's own answer, whatever is kept.
    pub(crate) refresh: bool,
    pub(crate) priority: Priority,
    pub(crate) context: Option<Context>,
    /// What the call voids when it ends.
    pub(crate) invalidation: Option<Arc<Invalidation>>,
    /// The policies of the key that the call is made with.
    pub(crate) key: Option<Arc<KeyPolicies>>,
    /// The endpoints that its attempts went to.
    pub(crate) tried: Tried,
}

/// Endpoints, of those that the call knew of when it began, that its attempts went to.
#[derive(Debug, Default)]
pub(crate) struct Tried(AtomicU64);

impl Clone for Tried {
    fn clone(&self) -> Self {
        Self(AtomicU64::new(self.get().bits()))
    }
}

impl Tried {
    pub(crate) fn add(&self, endpoint: usize) {
        self.0.fetch_or(EndpointSet::only(endpoint).bits(), Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> EndpointSet {
        EndpointSet::from_bits(self.0.load(Ordering::Relaxed))
    }
}

/// What the caller asked for at the call site.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options {
    pub(crate) deadline: Option<Duration>,
    pub(crate) priority: Option<Priority>,
    pub(crate) tenant: Option<Arc<str>>,
    pub(crate) refresh: bool,
    /// Whether it is made while the runtime drains, too.
    pub(crate) while_draining: bool,
    pub(crate) key: Option<Arc<KeyPolicies>>,
}

impl Plan {
    /// Resolves `options` against the current context and the call's settings.
    ///
    /// # Errors
    /// When the deadline has passed already.
    pub(crate) fn new(
        call: &CallState,
        priority: Option<Priority>,
        options: &Options,
        context: Option<&Context>,
        started: Tick,
    ) -> Result<Self, Reason> {
        let settings = &call.settings;
        let priority = options
            .priority
            .or(context.and_then(Context::get_priority))
            .or(priority)
            .unwrap_or(settings.priority);
        let asked = options.deadline.unwrap_or(settings.timeout).min(settings.max_timeout);
        let now = call.environment.instant(started);
        let own = now + asked;
        let inherited = context.and_then(Context::get_deadline);
        let deadline = inherited.map_or(own, |inherited| inherited.min(own));
        if deadline <= now {
            return Err(call.refused(Reason::DeadlinePassed, priority));
        }
        let hurried = deadline < now + settings.timeout;
        let context = match (&options.tenant, context) {
            (Some(tenant), context) => Some(context.cloned().unwrap_or_default().tenant(Arc::clone(tenant))),
            (None, context) => context.cloned(),
        };
        Ok(Self {
            started,
            deadline,
            hurried,
            refresh: options.refresh,
            priority,
            context,
            invalidation: None,
            key: options.key.clone(),
            tried: Tried::default(),
        })
    }

    /// The plan of a call whose deadline had passed before it began.
    pub(crate) fn passed(call: &CallState, started: Tick) -> Self {
        Self {
            started,
            deadline: call.environment.instant(started),
            hurried: true,
            refresh: false,
            priority: call.settings.priority,
            context: None,
            invalidation: None,
            key: None,
            tried: Tried::default(),
        }
    }

    /// The plan of a load that others wait for too: by the service's own timeout, not by its first caller's deadline.
    pub(crate) fn of_load(&self, call: &CallState, started: Tick) -> Self {
        let timeout = call.settings.timeout.min(call.settings.max_timeout);
        Self {
            started,
            deadline: call.environment.instant(started) + timeout,
            hurried: false,
            refresh: false,
            priority: self.priority,
            context: self.context.clone().map(Context::without_deadline),
            invalidation: None,
            key: self.key.clone(),
            tried: Tried::default(),
        }
    }
}
