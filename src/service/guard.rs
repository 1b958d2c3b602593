use std::{sync::Arc, time::Duration};

use super::{CallState, Environment, State};
use crate::{
    call::{Priority, Reason, chain},
    downstream::Failure,
    policy::{
        Mode,
        blame::Verdict,
        breaker::{self, Breaker, BreakerSettings, Permit, Rejected, Transition},
        rate::Rate,
    },
    telemetry::{ServiceMetrics, What},
    units::Tick,
};

/// What breakers are told to do by hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forced {
    /// Refuse all calls, until told otherwise.
    Open,
    /// Let all calls pass and look at none, until told otherwise.
    Disabled,
    /// Begin anew: closed, and with nothing seen yet.
    Closed,
}

/// A breaker in its place: the machine, its mode, and who is told of its changes.
pub(crate) struct BreakerGuard {
    /// `service`, or the call or endpoint that it is for.
    pub(crate) scope: Arc<str>,
    pub(crate) breaker: Breaker,
    mode: Mode,
    /// How often changes are told, of breakers of which there may be very many; none for each.
    telling: Option<Arc<Rate>>,
}

impl BreakerGuard {
    pub(crate) fn new(scope: Arc<str>, settings: BreakerSettings, environment: &Environment) -> Self {
        let mode = settings.mode;
        Self {
            scope,
            breaker: Breaker::new(settings, environment.random(), environment.now()),
            mode,
            telling: None,
        }
    }

    /// The same, whose changes are told only as often as `telling` lets pass.
    pub(crate) fn telling_at(mut self, telling: &Arc<Rate>) -> Self {
        self.telling = Some(Arc::clone(telling));
        self
    }

    /// Whether a call would be admitted now. Takes no permit.
    pub(crate) fn look(&self, call: &CallState, priority: Priority, now: Tick) -> Result<(), Reason> {
        if self.mode != Mode::Enforce {
            return Ok(());
        }
        self.breaker.look(now).map_err(|open| call.refused(Reason::Breaker(open), priority))
    }

    /// Whether nothing is known against its downstream.
    pub(crate) fn is_closed(&self) -> bool {
        self.mode == Mode::Off || self.breaker.is_closed()
    }

    /// Admits an attempt, or not. A shadow that would refuse lets pass without a permit, so that its own state goes on
    /// as if it had refused.
    pub(crate) fn admit(
        &self,
        call: &CallState,
        priority: Priority,
        now: Tick,
    ) -> Result<Option<Permit>, Reason> {
        self.ask(call, priority, now).map_err(|open| call.refused(Reason::Breaker(open), priority))
    }

    /// The same, for somebody who goes elsewhere when refused: that refusal is none of a call.
    pub(crate) fn ask(
        &self,
        call: &CallState,
        priority: Priority,
        now: Tick,
    ) -> Result<Option<Permit>, Rejected> {
        if self.mode == Mode::Off {
            return Ok(None);
        }
        match self.breaker.admit(now) {
            Ok((permit, transition)) => {
                self.tell(call, transition, None);
                Ok(Some(permit))
            }
            Err(_) if self.mode == Mode::Shadow => {
                call.metrics_of_service().rejected("breaker", true, priority);
                Ok(None)
            }
            Err(open) => Err(open),
        }
    }

    /// Whether a call would be refused now. Counts nothing.
    pub(crate) fn refuses(&self, now: Tick) -> bool {
        self.mode == Mode::Enforce && self.breaker.refuses(now)
    }

    /// Records an attempt's outcome; whether the breaker opened by it.
    pub(crate) fn record(
        &self,
        call: &CallState,
        permit: Permit,
        verdict: Verdict,
        elapsed: Duration,
        now: Tick,
        failure: Option<&Failure>,
    ) -> bool {
        let transition = self.breaker.record(permit, verdict, elapsed, now);
        let opened = transition.as_ref().is_some_and(|transition| transition.to.refuses());
        self.tell(call, transition, failure);
        opened && self.mode == Mode::Enforce
    }

    pub(crate) fn mode(&self) -> Mode {
        self.mode
    }

    /// Whether it is open until a health check is well.
    pub(crate) fn waits_for_check(&self) -> bool {
        self.mode != Mode::Off
            && self.breaker.settings().health_gate
            && self.breaker.state() == breaker::State::Open
    }

    /// The service's health check came back, ill as often as is borne or well; whether calls that wait are to be sent away.
    pub(crate) fn checked(&self, of: &State, well: bool, failure: Option<&Failure>) -> bool {
        if self.mode == Mode::Off {
            return false;
        }
        let transition = self.breaker.checked(well, of.environment.now());
        let opened = transition.as_ref().is_some_and(|transition| transition.to.refuses());
        if let Some(transition) = transition {
            self.announce(&of.name, &of.metrics, &of.environment, transition, failure);
        }
        opened && self.mode == Mode::Enforce
    }

    /// Does as it is told; whether calls that wait are to be sent away.
    pub(crate) fn force(&self, of: &State, forced: Forced) -> bool {
        let now = of.environment.now();
        let transition = match forced {
            Forced::Open => self.breaker.force_open(now),
            Forced::Disabled => self.breaker.disable(now),
            Forced::Closed => self.breaker.reset(now),
        };
        let opened = transition.as_ref().is_some_and(|transition| transition.to.refuses());
        if let Some(transition) = transition {
            self.announce(&of.name, &of.metrics, &of.environment, transition, None);
        }
        opened && self.mode == Mode::Enforce
    }

    #[inline]
    fn tell(&self, call: &CallState, transition: Option<Transition>, failure: Option<&Failure>) {
        if let Some(transition) = transition {
            self.announce(&call.service, call.metrics_of_service(), &call.environment, transition, failure);
        }
    }

    #[cold]
    fn announce(
        &self,
        service: &Arc<str>,
        metrics: &ServiceMetrics,
        environment: &Environment,
        transition: Transition,
        failure: Option<&Failure>,
    ) {
        metrics.transition((transition.from.word(), transition.to.word(), transition.cause.word()));
        if self.telling.as_ref().is_some_and(|telling| telling.take(environment.now()).is_err()) {
            return;
        }
        environment.events.emit(
            Some(service),
            What::Breaker {
                scope: Arc::clone(&self.scope),
                shadow: self.mode == Mode::Shadow,
                transition,
                last_error: failure.map(|failure| chain(failure).into()),
            },
        );
    }
}
