//! The runtime: joins everything below. It loads settings, starts services, binds their handles, reloads, and drains.

mod bind;
mod builder;
mod drain;
mod faults;
mod judge;
mod kind;
mod loader;
mod metrics;
mod mock;
mod overrides;
mod reload;
mod sense;
mod snapshot;
mod standing;
mod tier_snapshot;

use std::{fmt, sync::Arc};

use actix::Addr;
use parking_lot::{Mutex, RwLock};

pub use bind::{BindError, Binder, Handle, Registering, Registry, Services};
pub use builder::{Builder, StartError};
pub use drain::Drained;
pub use mock::mock;
pub use overrides::{LONGEST_OVERRIDE, MOST_OVERRIDES, Override, OverrideError, Setting};
pub use reload::{ReloadError, Reloaded};
pub use snapshot::{
    CacheSnapshot, CallSnapshot, HedgeSnapshot, InjectedSnapshot, LatencySnapshot, PoolSnapshot,
    ServiceSnapshot, ShardSnapshot, Snapshot,
};
pub use standing::{PolicyState, Refusal, Scope, Standing};
pub use tier_snapshot::{SharedSnapshot, TierSnapshot};

use crate::{
    config::Explanation,
    downstream::Downstream,
    service::{Environment, Func, Lanes, Phase, RuntimeSettings, Service, TelemetrySettings},
    supervise::Supervisor,
    telemetry::EventStream,
};
use kind::{Kinds, Owned, Owning};
use loader::Loader;

/// All services of a process, or of a part of it. Cloning gives another handle to the same; when the last is dropped
/// without a drain, calls under way are cut off.
#[derive(Clone)]
pub struct Runtime {
    inner: Arc<Inner>,
}

struct Inner {
    environment: Arc<Environment>,
    settings: RuntimeSettings,
    telemetry: TelemetrySettings,
    kinds: Kinds,
    loader: Loader,
    services: RwLock<Owned>,
    /// What the services' settings are made of. Whoever changes it holds `services` to write.
    in_force: Mutex<overrides::InForce>,
    supervisor: Addr<Supervisor>,
    published: Mutex<metrics::Published>,
    /// The thread that the supervisor is on, if it is the runtime's own.
    control: Lanes,
}

impl Runtime {
    /// Starts to build a runtime.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// The handles of all services that `S` names.
    ///
    /// # Errors
    /// All services that are missing, or of another kind, and calls that are not right.
    pub fn bind<S: Services>(&self) -> Result<S, BindError> {
        bind::bind(&self.inner.services.read())
    }

    /// The handle of one service.
    ///
    /// # Errors
    /// If there is none of this name, or it is of another kind.
    pub fn service<D: Downstream>(&self, name: &str) -> Result<Service<D>, BindError> {
        bind::service(&self.inner.services.read(), name)
    }

    /// The handle of a service that is no kind: its `run` puts any async code under the service's policies.
    ///
    /// # Errors
    /// If there is none of this name with `kind = "func"`.
    pub fn guard(&self, name: &str) -> Result<Service<Func>, BindError> {
        self.service(name)
    }

    /// The changes from now on, as they come.
    pub fn events(&self) -> EventStream {
        self.inner.environment.events.listen()
    }

    /// What every service is doing.
    pub fn snapshot(&self) -> Snapshot {
        snapshot::take(&self.inner)
    }

    /// All metrics in Prometheus' text format.
    pub fn metrics(&self) -> String {
        metrics::write(&self.inner)
    }

    /// Gives all metrics to the recorder of the `metrics` crate that is installed, if one is. `telemetry.publish` has it
    /// done again and again.
    pub fn publish_metrics(&self) {
        self.inner.published.lock().publish(&self.inner);
    }

    /// Why a service's calls pass or do not, now: the state of each of its policies, and what each would refuse, why and
    /// for how long. To ask changes nothing and counts nothing.
    ///
    /// # Errors
    /// If there is no service of this name.
    pub fn explain(&self, service: &str) -> Result<Standing, BindError> {
        self.inner.owned(service).map(|owned| standing::of(&*owned))
    }

    /// Every effective setting of a service, where it comes from, and which are doubtful.
    ///
    /// # Errors
    /// If there is no service of this name.
    pub fn explain_settings(&self, service: &str) -> Result<Explanation, BindError> {
        self.inner.owned(service).map(|owned| owned.explain())
    }

    /// Whether calls are taken.
    pub fn is_running(&self) -> bool {
        self.inner.environment.phase() == Phase::Running
    }
}

impl Inner {
    fn owned(&self, service: &str) -> Result<Arc<dyn Owning>, BindError> {
        let services = self.services.read();
        services.get(service).cloned().ok_or_else(|| bind::missing(&services, service))
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.environment.enter(Phase::Stopped);
        for owned in self.services.get_mut().values() {
            owned.retire();
        }
        self.environment.lanes.abandon();
        self.control.abandon();
    }
}

impl fmt::Debug for Runtime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runtime")
            .field("phase", &self.inner.environment.phase())
            .field("services", &self.inner.services.read().keys())
            .finish()
    }
}
