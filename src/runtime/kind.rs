use std::{
    any::Any,
    collections::{BTreeMap, BTreeSet},
    future::Future,
    marker::PhantomData,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::time::timeout;

use super::{
    faults::{self, InForce},
    loader::Loader,
    sense,
};
use crate::{
    call::Reason,
    config::{ConfigErrors, Diagnostic, Explanation, Layers, Scope},
    downstream::{Blame, Downstream, EndpointAddress, Failure, OpenContext, OpenError, PoolFigures, Stage},
    service::{
        CallSettings, Check, Environment, Occupancy, Opening, Request, Seat, Service, ServiceSettings,
        SettingsSource, Startup, State,
    },
    supervise::{Supervised, keep},
    telemetry::Cause,
    units::Tick,
};

/// The kinds that are known, by name.
pub(super) type Kinds = BTreeMap<&'static str, Arc<dyn Kind>>;

/// The services of a runtime, by name.
pub(super) type Owned = BTreeMap<Arc<str>, Arc<dyn Owning>>;

/// A call that code knows: its name, and the settings of its derive.
pub(super) type KnownCall = (&'static str, &'static str);

/// A kind of downstream, whatever its type.
pub(super) trait Kind: Send + Sync {
    /// Judges a service's settings; `None` if they are wrong, and `errors` then say why. `made` are calls of it that code
    /// has made without registering them, and what their derives say.
    fn judge(
        &self,
        layers: &Layers,
        name: &str,
        loader: &Loader,
        made: &[KnownCall],
        errors: &mut ConfigErrors,
    ) -> Option<Settings>;

    /// Judges what the kind's section, `[kinds.K]`, says for all services of it, be there any or not.
    fn judge_section(&self, layers: &Layers, errors: &mut ConfigErrors);

    /// Makes a service.
    fn create(&self, environment: &Arc<Environment>, settings: Settings) -> Arc<dyn Owning>;
}

/// A service's settings, judged.
pub(super) struct Settings {
    name: Arc<str>,
    service: ServiceSettings,
    defaults: CallSettings,
    /// Of each call that has settings of its own, or is registered.
    calls: Vec<OneCall>,
    source: Arc<SettingsSource>,
    scope: Scope,
    context: OpenContext,
    /// The kind's own.
    own: Box<dyn Any + Send + Sync>,
}

/// A call that code or settings name, and what its settings are.
struct OneCall {
    name: String,
    scope: Scope,
    settings: CallSettings,
}

impl Settings {
    pub(super) fn name(&self) -> &Arc<str> {
        &self.name
    }

    pub(super) fn is_of_kind(&self, kind: &str) -> bool {
        self.service.kind == kind
    }
}

/// A service, whatever its kind.
pub(super) trait Owning: Send + Sync {
    fn name(&self) -> &Arc<str>;
    fn kind(&self) -> &'static str;
    fn state(&self) -> &Arc<State>;
    /// The `Service<D>`.
    fn handle(&self) -> &dyn Any;
    fn startup(&self) -> Startup;
    fn endpoints(&self) -> Vec<EndpointAddress>;
    /// What its connections are doing.
    fn pool(&self) -> Option<PoolFigures>;
    /// Threads that have a seat, and who sits there.
    fn seats(&self) -> Vec<(Arc<str>, &'static str)>;
    /// Threads whose shard takes no call now, and why.
    fn refusals(&self, now: Tick) -> Vec<(Arc<str>, Reason)>;
    fn explain(&self) -> Explanation;
    /// The calls that code or settings know.
    fn known_calls(&self) -> Vec<String>;
    /// Opens a pool for this thread's calls, in the background.
    fn open_here(&self);
    /// Waits until it is open.
    fn opened_here<'a>(&'a self) -> Pin<Box<dyn Future<Output = Result<(), OpenError>> + 'a>>;
    /// Puts new settings in force.
    fn reload(&self, settings: Settings);
    fn retire(&self);
    /// Retires for good: calls are refused from now on.
    fn remove(&self);
    /// Waits until all shards have ended.
    fn retired<'a>(&'a self) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>>;
    fn supervised(self: Arc<Self>) -> Arc<dyn Supervised>;
}

/// The kind of type `D`.
pub(super) struct KindOf<D>(PhantomData<fn(D)>);

impl<D: Downstream> KindOf<D> {
    pub(super) fn new() -> Self {
        Self(PhantomData)
    }
}

/// One service of kind `D`.
struct One<D: Downstream> {
    service: Service<D>,
    current: Mutex<Current<D>>,
    /// Checks that failed in a row.
    failed_checks: AtomicU32,
}

/// What is in force.
struct Current<D: Downstream> {
    scope: Scope,
    service: ServiceSettings,
    defaults: CallSettings,
    calls: Vec<OneCall>,
    own: D::Settings,
}

impl<D: Downstream> Current<D> {
    /// What these settings should not say, though they may.
    fn doubts(&self) -> Vec<Diagnostic> {
        let of_calls = self.calls.iter().map(|call| (&call.scope, &call.settings));
        let all = [(&self.scope, &self.defaults)].into_iter().chain(of_calls);
        let doubts = all.flat_map(|(scope, settings)| {
            sense::doubts(settings).into_iter().map(|(key, message)| scope.diagnose(key, message))
        });
        // What a call inherits is said once.
        doubts.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// Tells the log of them.
    fn warn(&self) {
        for Diagnostic { origin, key, message } in self.doubts() {
            tracing::warn!(target: "seawall", key, %origin, message, "doubtful setting");
        }
    }

    fn faults(&self) -> InForce {
        let calls = self.calls.iter().map(|call| (call.name.as_str(), &call.settings));
        faults::in_force(&self.defaults, calls)
    }
}

impl<D: Downstream> Kind for KindOf<D> {
    fn judge(
        &self,
        layers: &Layers,
        name: &str,
        loader: &Loader,
        made: &[KnownCall],
        errors: &mut ConfigErrors,
    ) -> Option<Settings> {
        let scope = match layers.service(name, D::KIND, D::DEFAULTS) {
            Ok(scope) => scope,
            Err(wrong) => {
                errors.extend(wrong);
                return None;
            }
        };
        let mut reader = scope.reader(errors);
        let service = reader.read::<ServiceSettings>();
        let defaults = reader.read::<CallSettings>();
        let own = reader.read::<D::Settings>();
        reader.finish(&["calls"]);
        if let Some(service) = &service {
            sense::service(service, &scope, errors);
        }
        if let Some(defaults) = &defaults {
            sense::call(defaults, &scope, errors);
            sense::faults(defaults, layers, &scope, errors);
        }
        // Of calls whose service has errors, what is theirs is judged all the same.
        let pooled = service.as_ref().filter(|_| D::POOLED).map(|service| service.pool.max);
        let registered: Vec<_> = loader.registry.calls(name).collect();
        let known = || registered.iter().map(|(known, _)| *known);
        let configured = layers.calls(name);
        for call in
            configured.iter().filter(|call| !registered.is_empty() && known().all(|known| known != *call))
        {
            let message = crate::config::unknown("call", call, known());
            layers.error(errors, &["services", name, "calls", call], message);
        }
        let of_code = made.iter().chain(&registered).copied();
        let of_files = configured.iter().map(|call| (call.as_str(), ""));
        let mut calls = BTreeMap::new();
        // The derive of a call that code knows, if the files have it too.
        for (call, derived) in of_files.chain(of_code) {
            calls.insert(call, derived);
        }
        let calls = calls
            .into_iter()
            .filter_map(|(call, derived)| {
                let (scope, settings) = read_call(layers, &scope, name, call, derived, pooled, errors)?;
                Some(OneCall { name: call.to_owned(), scope, settings })
            })
            .collect::<Vec<_>>();
        let (service, mut defaults, own) = (service?, defaults?, own?);
        let interval = service.health.interval;
        let of_calls = calls.iter().map(|call| (&call.scope, &call.settings));
        for (scope, settings) in [(&scope, &defaults)].into_iter().chain(of_calls) {
            sense::health_gate(settings, interval, scope, errors);
        }
        sense::endpoints(&D::endpoints(&own), &scope, errors);
        fit_to_pool(&mut defaults, &scope, pooled);
        let source: Arc<SettingsSource> = {
            let (layers, scope, name) = (layers.clone(), scope.clone(), name.to_owned());
            Arc::new(move |call, derived| {
                let mut errors = ConfigErrors::new();
                let settings = read_call(&layers, &scope, &name, call, derived, pooled, &mut errors);
                if let Some((scope, settings)) = &settings {
                    sense::health_gate(settings, interval, scope, &mut errors);
                }
                match settings {
                    Some((_, settings)) if errors.is_empty() => Ok(settings),
                    _ => Err(errors.to_string()),
                }
            })
        };
        let extensions = loader.extensions.get(name).cloned().unwrap_or_default();
        let context =
            OpenContext::new(name, service.connect_timeout, service.pool.clone()).with_extensions(extensions);
        let (name, own) = (name.into(), Box::new(own));
        Some(Settings { name, service, defaults, calls, source, scope, context, own })
    }

    fn judge_section(&self, layers: &Layers, errors: &mut ConfigErrors) {
        // Where the defaults that a kind brings are no TOML, its services say so.
        let Ok(scope) = layers.kind(D::KIND, D::DEFAULTS) else { return };
        let mut reader = scope.reader(errors).partial();
        let service = reader.read::<ServiceSettings>();
        let calls = reader.read::<CallSettings>();
        reader.read::<D::Settings>();
        // Of what is a service's own, `shape` says that it is.
        reader.finish(&["calls"]);
        sense::inherited(service.as_ref(), calls.as_ref(), layers, &scope, errors);
    }

    fn create(&self, environment: &Arc<Environment>, settings: Settings) -> Arc<dyn Owning> {
        let own = own::<D>(settings.own);
        let state = State::new(
            settings.name,
            Arc::clone(environment),
            settings.service.clone(),
            settings.defaults.clone(),
            D::endpoints(&own),
            settings.source,
        );
        let opening = Opening { settings: own.clone(), context: settings.context };
        let current = Current {
            scope: settings.scope,
            service: settings.service,
            defaults: settings.defaults,
            calls: settings.calls,
            own,
        };
        current.warn();
        faults::tell(&state, &BTreeMap::new(), &current.faults());
        Arc::new(One {
            service: Service::<D>::new(Arc::new(state), opening, keep::<D>),
            current: Mutex::new(current),
            failed_checks: AtomicU32::new(0),
        })
    }
}

fn own<D: Downstream>(settings: Box<dyn Any + Send + Sync>) -> D::Settings {
    *settings.downcast().expect("a service's settings were judged by its own kind")
}

/// Kinds with a pool have one queue: as many calls are in flight as there are connections, unless somebody says otherwise.
fn fit_to_pool(settings: &mut CallSettings, scope: &Scope, pooled: Option<usize>) {
    let (Some(max), Some(bulkhead)) = (pooled, &mut settings.bulkhead) else { return };
    let max = u32::try_from(max).unwrap_or(u32::MAX);
    if !scope.is_written("bulkhead.max_in_flight") {
        bulkhead.max_in_flight = max;
    }
    // A limit that is measured would otherwise take its own pool's queue for the downstream's.
    if let Some(adaptive) = &mut bulkhead.adaptive
        && !scope.is_written("bulkhead.adaptive.max")
    {
        adaptive.max = adaptive.max.min(max).max(adaptive.min);
    }
}

pub(super) fn read_call(
    layers: &Layers,
    service: &Scope,
    service_name: &str,
    call: &str,
    derived: &str,
    pooled: Option<usize>,
    errors: &mut ConfigErrors,
) -> Option<(Scope, CallSettings)> {
    let scope = match layers.call(service, service_name, call, derived) {
        Ok(scope) => scope,
        Err(wrong) => {
            errors.extend(wrong);
            return None;
        }
    };
    let mut reader = scope.reader(errors);
    let settings = reader.read::<CallSettings>();
    reader.finish(&[]);
    let mut settings = settings?;
    sense::call(&settings, &scope, errors);
    sense::faults(&settings, layers, &scope, errors);
    fit_to_pool(&mut settings, &scope, pooled);
    Some((scope, settings))
}

impl<D: Downstream> Owning for One<D> {
    fn name(&self) -> &Arc<str> {
        &self.state().name
    }

    fn kind(&self) -> &'static str {
        D::KIND
    }

    fn state(&self) -> &Arc<State> {
        &self.service.shared.state
    }

    fn handle(&self) -> &dyn Any {
        &self.service
    }

    fn startup(&self) -> Startup {
        self.current.lock().service.startup.clone()
    }

    fn endpoints(&self) -> Vec<EndpointAddress> {
        D::endpoints(&self.current.lock().own)
    }

    fn pool(&self) -> Option<PoolFigures> {
        D::pool(&self.service.shared.opening()?.context)
    }

    fn seats(&self) -> Vec<(Arc<str>, &'static str)> {
        let seats = self.service.shared.seats();
        seats.iter().map(|seat| (Arc::clone(&seat.thread), seat.with(Occupancy::word))).collect()
    }

    fn refusals(&self, now: Tick) -> Vec<(Arc<str>, Reason)> {
        let refusing = |seat: &Arc<Seat<D>>| Some((Arc::clone(&seat.thread), seat.refusal(now)?));
        self.service.shared.seats().iter().filter_map(refusing).collect()
    }

    fn explain(&self) -> Explanation {
        let current = self.current.lock();
        let mut explanation = Explanation::default();
        explanation.add(&current.scope, &current.service);
        explanation.add(&current.scope, &current.defaults);
        explanation.add(&current.scope, &D::explain(&current.own));
        explanation.add_written(&current.scope);
        for call in &current.calls {
            explanation.add_own(&call.scope, &call.settings);
        }
        explanation.doubts = current.doubts();
        explanation
    }

    fn known_calls(&self) -> Vec<String> {
        let made = self.state().made().into_iter().map(|(call, _)| call.to_owned());
        let mut known: Vec<String> =
            made.chain(self.current.lock().calls.iter().map(|call| call.name.clone())).collect();
        known.sort_unstable();
        known.dedup();
        known
    }

    fn open_here(&self) {
        // What stands against it, the first call is told.
        let _ = self.service.shared.bring_keeper();
    }

    fn opened_here<'a>(&'a self) -> Pin<Box<dyn Future<Output = Result<(), OpenError>> + 'a>> {
        Box::pin(async {
            let Some(seat) = self.service.shared.seat() else {
                return Err(OpenError::new("this thread can have no shard"));
            };
            seat.settled().await;
            seat.with(|occupancy| match occupancy {
                Occupancy::Closed(closed) => Err(closed.error.clone()),
                _ => Ok(()),
            })
        })
    }

    fn reload(&self, settings: Settings) {
        let own = own::<D>(settings.own);
        let (renew, before, after) = {
            let mut current = self.current.lock();
            let before = current.faults();
            let same = current.own == own
                && current.service.pool == settings.service.pool
                && current.service.connect_timeout == settings.service.connect_timeout;
            *current = Current {
                scope: settings.scope,
                service: settings.service.clone(),
                defaults: settings.defaults.clone(),
                calls: settings.calls,
                own: own.clone(),
            };
            current.warn();
            (!same, before, current.faults())
        };
        let addresses = D::endpoints(&own);
        self.state().reload(settings.service, settings.defaults, addresses, settings.source);
        faults::tell(self.state(), &before, &after);
        if renew {
            self.service.shared.renew(Opening { settings: own, context: settings.context });
        }
    }

    fn retire(&self) {
        self.state().flush();
        self.service.shared.ask(Request::Retire);
    }

    fn remove(&self) {
        self.state().remove();
        self.retire();
    }

    fn retired<'a>(&'a self) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(async {
            for seat in self.service.shared.seats() {
                seat.vacated().await;
            }
        })
    }

    fn supervised(self: Arc<Self>) -> Arc<dyn Supervised> {
        self
    }
}

impl<D: Downstream> Supervised for One<D> {
    fn name(&self) -> &Arc<str> {
        Owning::name(self)
    }

    fn check_interval(&self) -> Duration {
        self.current.lock().service.health.interval
    }

    fn check(self: Arc<Self>) -> Pin<Box<dyn Future<Output = ()> + Send>> {
        Box::pin(async move {
            let health = self.current.lock().service.health.clone();
            let environment = &self.service.shared.state.environment;
            // A blocked thread says nothing about the downstream.
            let awake = |seat: &Arc<Seat<D>>| !environment.is_stalled(&seat.thread);
            let open = self.service.shared.seats().into_iter().filter(awake).find_map(|seat| {
                let shard = seat.with(|occupancy| match occupancy {
                    Occupancy::Open(shard) => Some(shard.clone()),
                    _ => None,
                });
                shard.map(|shard| (shard, seat))
            });
            let Some((shard, seat)) = open else {
                // Without a shard there is nothing to check: who opens one finds out by himself. But nobody would, where
                // no call is let through before a check is well.
                if self.state().waits_for_check() {
                    self.open_here();
                }
                return;
            };
            let failure = match timeout(health.timeout, shard.send(Check)).await {
                Ok(Ok(Ok(()))) => None,
                Ok(Ok(Err(failure))) => Some(failure),
                Ok(Err(_)) => Some(Failure::new(Blame::Downstream, "its shard died while it was checked")),
                Err(_) => Some(Failure::timeout(Stage::Attempt)),
            };
            // Nor does one who was asked in the midst of leaving.
            let replaced =
                || seat.with(|occupancy| !matches!(occupancy, Occupancy::Open(current) if *current == shard));
            if failure.is_some() && (!awake(&seat) || replaced()) {
                return;
            }
            if failure.is_none() {
                self.failed_checks.store(0, Ordering::Relaxed);
                self.state().checked(true, None);
            } else if self.failed_checks.fetch_add(1, Ordering::Relaxed) + 1 >= health.failures.max(1) {
                self.failed_checks.store(0, Ordering::Relaxed);
                self.state().checked(false, failure.as_ref());
                self.service.shared.ask(Request::Reopen(Cause::Unhealthy));
            }
        })
    }
}
