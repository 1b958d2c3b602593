use std::{
    collections::{BTreeMap, BTreeSet},
    future::Future,
    pin::Pin,
    sync::Arc,
    time::Duration,
};

use actix::{Actor, AsyncContext, Context, Handler, Message, SpawnHandle};

use super::Watchdog;
use crate::service::Environment;

/// What the supervisor needs of a service, whatever its kind.
pub(crate) trait Supervised: Send + Sync {
    /// The service's name.
    fn name(&self) -> &Arc<str>;

    /// How often the service wants to be checked; zero for never, or never again.
    fn check_interval(&self) -> Duration;

    /// Checks the service's health once, and reopens its pools if it was ill often enough.
    fn check(self: Arc<Self>) -> Pin<Box<dyn Future<Output = ()> + Send>>;
}

/// The actor that owns all services of a runtime.
pub(crate) struct Supervisor {
    services: BTreeMap<Arc<str>, Arc<dyn Supervised>>,
    /// Those whose next check is on its way.
    checked: BTreeSet<Arc<str>>,
    watchdog: Option<Watchdog>,
    alarm: Option<SpawnHandle>,
}

impl Supervisor {
    /// A supervisor of no service yet. `watchdog` is the time after which a silent thread counts as blocked.
    pub(crate) fn new(environment: &Arc<Environment>, watchdog: Option<Duration>) -> Self {
        let watchdog = watchdog.map(|interval| Watchdog::new(environment, interval));
        Self { services: BTreeMap::new(), checked: BTreeSet::new(), watchdog, alarm: None }
    }
}

impl Actor for Supervisor {
    type Context = Context<Self>;

    fn started(&mut self, _: &mut Self::Context) {
        if let Some(watchdog) = self.watchdog.take() {
            drop(actix_rt::spawn(watchdog.watch()));
        }
    }
}

/// Takes a service under supervision.
pub(crate) struct Adopt(pub(crate) Arc<dyn Supervised>);

impl Message for Adopt {
    type Result = ();
}

impl Handler<Adopt> for Supervisor {
    type Result = ();

    fn handle(&mut self, Adopt(service): Adopt, context: &mut Self::Context) {
        let name = Arc::clone(service.name());
        self.services.insert(Arc::clone(&name), service);
        if self.checked.insert(Arc::clone(&name)) {
            context.notify(Check(name));
        }
    }
}

/// Checks a service now, and again after its interval.
struct Check(Arc<str>);

impl Message for Check {
    type Result = ();
}

impl Handler<Check> for Supervisor {
    type Result = ();

    fn handle(&mut self, Check(name): Check, context: &mut Self::Context) {
        let Some(service) = self.services.get(&name) else { return };
        let interval = service.check_interval();
        // Without checks nothing ticks, nor is what has ended kept alive; a reload that turns them on adopts the service
        // again.
        if interval.is_zero() {
            self.checked.remove(&name);
            self.services.remove(&name);
            return;
        }
        drop(actix_rt::spawn(Arc::clone(service).check()));
        context.notify_later(Check(name), interval);
    }
}

/// Does something after a while, in place of what was to be done before: there is one timer, whatever waits for it.
pub(crate) struct Alarm {
    pub(crate) after: Duration,
    pub(crate) work: Box<dyn FnOnce() + Send>,
}

impl Message for Alarm {
    type Result = ();
}

impl Handler<Alarm> for Supervisor {
    type Result = ();

    fn handle(&mut self, Alarm { after, work }: Alarm, context: &mut Self::Context) {
        if let Some(before) = self.alarm.take() {
            context.cancel_future(before);
        }
        self.alarm = Some(context.run_later(after, |_, _| work()));
    }
}
