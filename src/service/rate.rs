use std::{pin::pin, sync::Arc, time::Duration};

use arc_swap::ArcSwap;
use futures_util::future::{Either, select};
use tokio::{
    sync::{Notify, Semaphore},
    time::{sleep_until, timeout_at},
};

use super::{CallState, plan::Plan};
use crate::{
    call::{Context, Reason},
    policy::{
        Mode,
        rate::{Rate, RateSettings, Tenants, Turn},
    },
    units::Tick,
};

/// A rate limit in its place: the machines, their mode, and how callers wait for their turn.
pub(crate) struct RateGuard {
    settings: ArcSwap<RateSettings>,
    shared: Limit,
    tenants: Tenants<Limit>,
    /// Told when the settings change, to whoever is first in a line.
    changed: Notify,
}

/// One limit, and the line before it.
struct Limit {
    rate: Rate,
    /// Whoever has it is first in line. Those behind wait in the order in which they came.
    first: Semaphore,
}

/// A call's claim to a token.
pub(crate) struct Claim<'a> {
    guard: &'a RateGuard,
    /// Its tenant's own limit, if it goes by that.
    own: Option<Arc<Limit>>,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// It stands in line, and steps out if it goes away.
    Waits,
    /// It has a token, which goes back if it goes away.
    Taken,
    /// It has none to give back: it used it up, or needs none any more.
    Spent,
}

impl RateGuard {
    pub(crate) fn new(settings: RateSettings) -> Self {
        Self {
            shared: Limit::new(&settings),
            settings: ArcSwap::from_pointee(settings),
            tenants: Tenants::default(),
            changed: Notify::new(),
        }
    }

    /// Goes by these settings from now on; who waits does so by them.
    pub(crate) fn reload(&self, settings: &RateSettings, now: Tick) {
        if **self.settings.load() == *settings {
            return;
        }
        self.settings.store(Arc::new(settings.clone()));
        self.shared.rate.set(settings, now);
        for limit in self.tenants.all() {
            limit.rate.set(settings, now);
        }
        self.changed.notify_waiters();
    }

    /// Turns it off for good: the settings have it no more, and calls under way still pass here.
    pub(crate) fn retire(&self, now: Tick) {
        let settings = RateSettings::clone(&self.settings.load());
        self.reload(&RateSettings { mode: Mode::Off, ..settings }, now);
    }

    pub(crate) fn mode(&self) -> Mode {
        self.settings.load().mode
    }

    /// When there is a token next of the limit that all share, if there is none now.
    pub(crate) fn next(&self, now: Tick) -> Option<Duration> {
        self.shared.rate.next(now)
    }

    /// By when it is as if nothing had ever been taken of it, at the latest.
    pub(crate) fn rests_at(&self, now: Tick) -> Tick {
        if self.shared.rate.is_at_rest(now) { now } else { now.after(self.shared.rate.recovery()) }
    }

    /// Asks for a token; `None` where none is needed.
    pub(crate) fn ask<'a>(
        &'a self,
        call: &CallState,
        plan: &Plan,
        now: Tick,
    ) -> Result<Option<Claim<'a>>, Reason> {
        let (mode, max_wait, per_tenant) = {
            let RateSettings { mode, max_wait, per_tenant, .. } = **self.settings.load();
            (mode, max_wait, per_tenant)
        };
        if mode == Mode::Off {
            return Ok(None);
        }
        let own = if per_tenant { self.of_tenant(call, plan, now) } else { None };
        let limit = own.as_deref().unwrap_or(&self.shared);
        let patience = max_wait.min(call.environment.tick(plan.deadline).since(now));
        if mode == Mode::Shadow {
            // A token that would have been waited for is taken at once.
            if limit.rate.reserve(now, patience).is_err() {
                call.metrics_of_service().rejected("rate", true, plan.priority);
            }
            return Ok(None);
        }
        let turn = if patience.is_zero() {
            limit.rate.take(now).map_or_else(Turn::Refused, |()| Turn::Taken)
        } else {
            limit.rate.line_up(now, patience)
        };
        let stage = match turn {
            Turn::Taken => Stage::Taken,
            Turn::Waits => Stage::Waits,
            Turn::Refused(retry_after) => {
                return Err(call.refused(Reason::Rate { retry_after }, plan.priority));
            }
        };
        Ok(Some(Claim { guard: self, own, stage }))
    }

    /// The limit of the call's tenant, if it has one and there is room for its own.
    fn of_tenant(&self, call: &CallState, plan: &Plan, now: Tick) -> Option<Arc<Limit>> {
        let tenant = call.environment.tenant(plan.context.as_ref().and_then(Context::get_tenant)?);
        let rest = |limit: &Limit| limit.rate.is_at_rest(now);
        let make = || Limit::new(&self.settings.load());
        self.tenants.limit(tenant, now, self.shared.rate.recovery(), rest, make)
    }
}

impl Limit {
    fn new(settings: &RateSettings) -> Self {
        Self { rate: Rate::new(settings), first: Semaphore::new(1) }
    }
}

impl Claim<'_> {
    fn limit(&self) -> &Limit {
        self.own.as_deref().unwrap_or(&self.guard.shared)
    }

    /// Whether it is not its turn yet.
    pub(crate) fn waits(&self) -> bool {
        self.stage == Stage::Waits
    }

    /// Waits for its turn, and takes its token.
    pub(crate) async fn turn(&mut self, call: &CallState, plan: &Plan) -> Result<(), Reason> {
        let turn = pin!(timeout_at(plan.deadline, self.take(call)));
        let stopped = pin!(call.environment.stopped());
        let reason = match select(turn, stopped).await {
            Either::Left((Ok(()), _)) => return Ok(()),
            Either::Left((Err(_), _)) => Reason::DeadlinePassed,
            Either::Right(_) => Reason::Draining,
        };
        Err(call.refused(reason, plan.priority))
    }

    async fn take(&mut self, call: &CallState) {
        let environment = &call.environment;
        // It is never closed.
        let limit = self.own.as_deref().unwrap_or(&self.guard.shared);
        let _first = limit.first.acquire().await;
        let stage = loop {
            // Heard of from here on.
            let mut changed = pin!(self.guard.changed.notified());
            changed.as_mut().enable();
            if self.guard.mode() != Mode::Enforce {
                break Stage::Spent;
            }
            let now = environment.now();
            match limit.rate.take(now) {
                Ok(()) => break Stage::Taken,
                Err(wait) => {
                    let due = pin!(sleep_until(environment.instant(now.after(wait))));
                    select(due, changed).await;
                }
            }
        };
        limit.rate.step_out();
        self.stage = stage;
    }

    /// Uses it up.
    pub(crate) fn spend(mut self) {
        self.stage = Stage::Spent;
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        match self.stage {
            Stage::Waits => self.limit().rate.step_out(),
            Stage::Taken => self.limit().rate.give_back(),
            Stage::Spent => {}
        }
    }
}
