use std::{fmt, sync::Arc};

use serde::Serialize;

use super::kind::Owning;
use crate::{
    call::Reason,
    policy::{
        Mode,
        breaker::{Breaker, BreakerSnapshot},
        bulkhead::BulkheadSnapshot,
        throttle::ThrottleSnapshot,
    },
    service::{BreakerGuard, CallState, ScopePolicies},
    units::Tick,
};

/// Why a service's calls pass or do not, now.
#[derive(Clone, Debug, Serialize)]
pub struct Standing {
    /// The service.
    pub service: Arc<str>,
    /// Its kind.
    pub kind: &'static str,
    /// What would be refused now, and why: empty where all calls pass. Of keys whose breakers refuse, a hundred at most.
    pub refusals: Vec<Refusal>,
    /// The state of every policy that can refuse, the service's own first, then those of calls that differ from it.
    pub policies: Vec<PolicyState>,
    /// What is left of the retry budget, from 0 to 1: at 0 what fails is not tried again.
    pub retry_budget: Option<f64>,
}

/// What a refusal or a policy covers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// The whole service.
    Service,
    /// Calls of this name.
    Call(&'static str),
    /// Calls made on this thread.
    Thread(Arc<str>),
    /// What goes to this endpoint.
    Endpoint(Arc<str>),
    /// Calls of this key, as far as it is shown.
    Key(Arc<str>),
    /// Look-ups of other services, whose replies it keeps. Where it refuses them, their calls pass, and go without.
    Tier,
}

/// What would be refused now.
#[derive(Clone, Debug, Serialize)]
pub struct Refusal {
    /// What it covers.
    pub scope: Scope,
    /// The policy that refuses, as metrics name it.
    pub policy: &'static str,
    /// Whether it only counts, and lets pass.
    pub shadow: bool,
    /// Why, with the figures that it goes by.
    #[serde(flatten)]
    pub reason: Reason,
    /// The same for people.
    pub message: String,
}

/// One policy as it is now.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "policy", rename_all = "snake_case")]
#[non_exhaustive]
pub enum PolicyState {
    /// A circuit breaker.
    Breaker {
        /// What it covers.
        scope: Scope,
        /// How seriously it is taken.
        mode: Mode,
        /// The share of failures that opens it.
        error_threshold: f64,
        /// Failures in a row that open it; 0 for never.
        consecutive_limit: u32,
        /// Its state and figures.
        #[serde(flatten)]
        state: BreakerSnapshot,
    },
    /// A bulkhead.
    Bulkhead {
        /// What it covers.
        scope: Scope,
        /// How seriously it is taken.
        mode: Mode,
        /// Its figures.
        #[serde(flatten)]
        state: BulkheadSnapshot,
    },
    /// A rate limit.
    Rate {
        /// What it covers.
        scope: Scope,
        /// How seriously it is taken.
        mode: Mode,
        /// When the next call may come, in milliseconds; 0 for now.
        retry_after_ms: u64,
    },
    /// A throttle.
    Throttle {
        /// What it covers.
        scope: Scope,
        /// How seriously it is taken.
        mode: Mode,
        /// What it knows, and the shares that it refuses by chance.
        #[serde(flatten)]
        state: ThrottleSnapshot,
    },
}

impl Standing {
    /// Whether every call passes now, as far as policies go.
    pub fn passes(&self) -> bool {
        self.refusals.iter().all(|refusal| refusal.shadow)
    }
}

/// For people: who refuses what, a line each.
impl fmt::Display for Standing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { service, refusals, .. } = self;
        if refusals.is_empty() {
            return write!(f, "{service}: all calls pass");
        }
        write!(
            f,
            "{service}: {}",
            if self.passes() { "all calls pass, and would not" } else { "calls are refused" }
        )?;
        for Refusal { scope, policy, shadow, message, .. } in refusals {
            let shadow = if *shadow { ", in shadow" } else { "" };
            write!(f, "\n  {scope}, {policy}{shadow}: {message}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service => f.write_str("the service"),
            Self::Call(call) => write!(f, "call {call}"),
            Self::Thread(thread) => write!(f, "thread {thread}"),
            Self::Endpoint(endpoint) => write!(f, "endpoint {endpoint}"),
            Self::Key(key) => f.write_str(key),
            Self::Tier => f.write_str("look-ups in it as a tier"),
        }
    }
}

/// Collects what policies say.
struct Look {
    now: Tick,
    standing: Standing,
}

/// How a service stands.
pub(super) fn of(owned: &dyn Owning) -> Standing {
    let state = owned.state();
    let now = state.environment.now();
    let table = state.table();
    let standing = Standing {
        service: Arc::clone(&state.name),
        kind: owned.kind(),
        refusals: Vec::new(),
        policies: Vec::new(),
        retry_budget: table.budget.as_ref().map(|budget| budget.left(now)),
    };
    let mut look = Look { now, standing };
    if let Some(reason) = state.closed() {
        look.refuses(Scope::Service, false, reason);
    }
    for (thread, reason) in owned.refusals(now) {
        look.refuses(Scope::Thread(thread), false, reason);
    }
    look.at(&Scope::Service, &table.shared);
    let mut calls: Vec<_> = table.calls().collect();
    calls.sort_unstable_by_key(|call| call.name);
    for call in calls {
        look.at(&Scope::Call(call.name), &own(call, &table.shared));
    }
    for guard in table.endpoints.iter().flat_map(|endpoints| endpoints.breakers()) {
        look.breaker(&Scope::Endpoint(Arc::clone(&guard.scope)), guard);
    }
    if let Some(tier) = state.environment.tiers.find(&state.name).filter(|tier| tier.is_wanted()) {
        look.tier(tier.breaker());
    }
    for (guard, refusal) in state.keyring().iter().flat_map(|keys| keys.refusing(now, MOST_KEYS)) {
        look.would_refuse(
            &Scope::Key(Arc::clone(&guard.scope)),
            guard.mode(),
            Some(Reason::Breaker(refusal)),
        );
    }
    look.standing
}

/// Keys that are told of at most.
const MOST_KEYS: usize = 100;

/// What a call has for itself alone.
fn own(call: &CallState, shared: &ScopePolicies) -> ScopePolicies {
    let is_shared_throttle =
        |throttle: &Arc<_>| shared.throttle.as_ref().is_some_and(|shared| Arc::ptr_eq(shared, throttle));
    let is_shared = |rate: &Arc<_>| shared.rate.as_ref().is_some_and(|shared| Arc::ptr_eq(shared, rate));
    ScopePolicies {
        breaker: call.breaker.clone().filter(|_| call.has_own_breaker()),
        gate: call.gates[1].clone(),
        rate: call.rate.clone().filter(|rate| !is_shared(rate)),
        throttle: call.throttle.clone().filter(|throttle| !is_shared_throttle(throttle)),
        faults: None,
    }
}

impl Look {
    /// Asks the policies of one scope.
    fn at(&mut self, scope: &Scope, policies: &ScopePolicies) {
        let now = self.now;
        if let Some(guard) = &policies.breaker {
            self.breaker(scope, guard);
        }
        if let Some(gate) = &policies.gate {
            let (mode, state) = (gate.mode(), gate.snapshot());
            let full = state.in_flight >= state.max_in_flight && state.waiting >= state.max_queue;
            self.standing.policies.push(PolicyState::Bulkhead { scope: scope.clone(), mode, state });
            self.would_refuse(scope, mode, full.then(|| gate.full()));
        }
        if let Some(rate) = &policies.rate {
            let (mode, wait) = (rate.mode(), rate.next(now));
            self.standing.policies.push(PolicyState::Rate {
                scope: scope.clone(),
                mode,
                retry_after_ms: wait.unwrap_or_default().as_millis() as u64,
            });
            self.would_refuse(scope, mode, wait.map(|retry_after| Reason::Rate { retry_after }));
        }
        if let Some(throttle) = &policies.throttle {
            let (mode, state) = (throttle.mode(), throttle.snapshot(now));
            self.standing.policies.push(PolicyState::Throttle { scope: scope.clone(), mode, state });
        }
    }

    fn breaker(&mut self, scope: &Scope, guard: &BreakerGuard) {
        let now = self.now;
        let (mode, settings) = (guard.mode(), guard.breaker.settings());
        self.standing.policies.push(PolicyState::Breaker {
            scope: scope.clone(),
            mode,
            error_threshold: settings.error_threshold.get(),
            consecutive_limit: settings.consecutive_failures,
            state: guard.breaker.snapshot(now),
        });
        let refusal = guard.breaker.explain(now).map(Reason::Breaker);
        self.would_refuse(scope, mode, refusal);
    }

    fn tier(&mut self, breaker: &Breaker) {
        let settings = breaker.settings();
        self.standing.policies.push(PolicyState::Breaker {
            scope: Scope::Tier,
            mode: settings.mode,
            error_threshold: settings.error_threshold.get(),
            consecutive_limit: settings.consecutive_failures,
            state: breaker.snapshot(self.now),
        });
    }

    fn would_refuse(&mut self, scope: &Scope, mode: Mode, reason: Option<Reason>) {
        if let (Some(reason), Mode::Enforce | Mode::Shadow) = (reason, mode) {
            self.refuses(scope.clone(), mode == Mode::Shadow, reason);
        }
    }

    fn refuses(&mut self, scope: Scope, shadow: bool, reason: Reason) {
        let (policy, message) = (reason.policy(), reason.to_string());
        self.standing.refusals.push(Refusal { scope, policy, shadow, reason, message });
    }
}
