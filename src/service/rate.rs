use std::{ops::Deref, pin::pin, sync::Arc, time::Duration};

use futures_util::future::{Either, select};
use tokio::{
    sync::Semaphore,
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
    settings: RateSettings,
    shared: Limit,
    tenants: Option<Tenants<Limit>>,
}

/// One limit, and the line before it.
struct Limit {
    rate: Rate,
    /// Whoever has it is first in line. Those behind wait in the order in which they came.
    first: Semaphore,
}

/// The limit that a call goes by: the one that all share, or its tenant's own.
enum Chosen<'a> {
    Shared(&'a Limit),
    Own(Arc<Limit>),
}

/// A call's claim to a token.
pub(crate) struct Claim<'a> {
    limit: Chosen<'a>,
    stage: Stage,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// It stands in line, and steps out if it goes away.
    Waits,
    /// It has a token, which goes back if it goes away.
    Taken,
    Spent,
}

impl RateGuard {
    pub(crate) fn new(settings: RateSettings) -> Self {
        let tenants = settings.per_tenant.then(Tenants::default);
        Self { shared: Limit::new(&settings), tenants, settings }
    }

    pub(crate) fn mode(&self) -> Mode {
        self.settings.mode
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
        let RateSettings { mode, max_wait, .. } = self.settings;
        if mode == Mode::Off {
            return Ok(None);
        }
        let limit = self.choose(call, plan, now);
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
        Ok(Some(Claim { limit, stage }))
    }

    fn choose(&self, call: &CallState, plan: &Plan, now: Tick) -> Chosen<'_> {
        let own = self.tenants.as_ref().and_then(|tenants| {
            let tenant = call.environment.tenant(plan.context.as_ref().and_then(Context::get_tenant)?);
            let rest = |limit: &Limit| limit.rate.is_at_rest(now);
            tenants.limit(tenant, now, self.shared.rate.recovery(), rest, || Limit::new(&self.settings))
        });
        own.map_or(Chosen::Shared(&self.shared), Chosen::Own)
    }
}

impl Limit {
    fn new(settings: &RateSettings) -> Self {
        Self { rate: Rate::new(settings), first: Semaphore::new(1) }
    }
}

impl Claim<'_> {
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
        let _first = self.limit.first.acquire().await;
        loop {
            let now = environment.now();
            match self.limit.rate.take(now) {
                Ok(()) => break,
                Err(wait) => sleep_until(environment.instant(now.after(wait))).await,
            }
        }
        self.limit.rate.step_out();
        self.stage = Stage::Taken;
    }

    /// Uses it up.
    pub(crate) fn spend(mut self) {
        self.stage = Stage::Spent;
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        match self.stage {
            Stage::Waits => self.limit.rate.step_out(),
            Stage::Taken => self.limit.rate.give_back(),
            Stage::Spent => {}
        }
    }
}

impl Deref for Chosen<'_> {
    type Target = Limit;

    fn deref(&self) -> &Limit {
        match self {
            Self::Shared(limit) => limit,
            Self::Own(limit) => limit,
        }
    }
}
