//! A service as its callers hold it: the handle, the way of a call, and the actor at its end.
//!
//! The pipeline decides, the actor does. The pipeline runs in the caller's own task on the caller's own thread; the actor,
//! a shard of the service, owns the connections of its thread and makes one attempt a message. What all threads share
//! (breaker, bulkhead, counts) is the service's state, which outlives every shard.

mod admission;
mod attempt;
mod calls;
mod carried;
mod endpoints;
mod environment;
mod exchange;
mod func;
mod gate;
mod guard;
mod handle;
mod hedge;
mod inject;
mod invalidation;
mod keyed;
mod load;
mod measure;
mod pipeline;
mod plan;
mod rate;
mod recover;
mod rules;
mod scope;
mod seat;
mod sending;
mod settings;
mod shard;
mod state;
mod threads;
mod throttling;

pub use endpoints::EndpointHealth;
pub use func::{Func, Run};
pub use guard::Forced;
pub use handle::Service;
pub use keyed::Keyed;
pub use recover::{NoFallback, Recover, Recovered, Recovery};
pub use rules::{Rule, Rules};
pub use sending::Sending;
pub use settings::{
    CallSettings, Classify, HealthSettings, HistogramSettings, OnCancel, RuntimeSettings, ServiceSettings,
    Startup, StartupMode, TelemetrySettings,
};

pub(crate) use endpoints::Endpoints;
pub(crate) use environment::{Environment, Phase, Pulse};
pub(crate) use guard::BreakerGuard;
pub(crate) use handle::{Opening, Shared};
pub(crate) use inject::Injector;
pub(crate) use scope::ScopePolicies;
pub(crate) use seat::{Closed, Occupancy, Request, Seat};
pub(crate) use settings::SettingsSource;
pub(crate) use shard::{Check, Shard, Vitals, panic_text};
pub(crate) use state::{CallState, State, Table};
pub(crate) use threads::{Lanes, Place, leave_seat, place, set_shard, thread_name};
