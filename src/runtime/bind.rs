use std::{any::TypeId, collections::BTreeMap, error::Error, fmt, marker::PhantomData, sync::Arc};

use super::kind::{Owned, Owning};
use crate::{
    call::{Call, Reason},
    config::Names,
    downstream::Downstream,
    service::Service,
};

/// A struct whose fields are services, bound by name. Usually derived.
pub trait Services: Sized {
    /// Names the services and their calls.
    fn register(registry: &mut Registry);

    /// Makes the struct; every service that was registered is there.
    fn bind(binder: &Binder<'_>) -> Self;
}

/// A field's type that is a service's handle.
pub trait Handle {
    /// The service's kind.
    type Kind: Downstream;
}

impl<D: Downstream> Handle for Service<D> {
    type Kind = D;
}

/// The services that code wants, and their calls.
#[derive(Clone, Default)]
pub struct Registry {
    services: BTreeMap<&'static str, Wanted>,
}

#[derive(Clone)]
struct Wanted {
    kind: &'static str,
    calls: Vec<WantedCall>,
}

#[derive(Clone, Copy)]
struct WantedCall {
    name: &'static str,
    derived: &'static str,
    identity: TypeId,
    register: fn(&dyn Owning) -> Result<(), Reason>,
}

/// A service that is being registered.
pub struct Registering<'a, D> {
    wanted: &'a mut Wanted,
    kind: PhantomData<fn(D)>,
}

impl Registry {
    /// Registers a service of kind `D`.
    pub fn service<D: Downstream>(&mut self, name: &'static str) -> Registering<'_, D> {
        let wanted = self.services.entry(name).or_insert(Wanted { kind: D::KIND, calls: Vec::new() });
        Registering { wanted, kind: PhantomData }
    }

    /// The names of the calls of a service, and their own settings.
    pub(super) fn calls<'a>(
        &'a self,
        service: &str,
    ) -> impl Iterator<Item = (&'static str, &'static str)> + 'a {
        let calls = self.services.get(service).map_or(&[][..], |wanted| &wanted.calls);
        calls.iter().map(|call| (call.name, call.derived))
    }

    pub(super) fn names(&self) -> Names {
        let mut names = Names::default();
        for (service, wanted) in &self.services {
            names.service(service);
            for call in &wanted.calls {
                names.call(service, call.name);
            }
        }
        names
    }
}

impl<D: Downstream> Registering<'_, D> {
    /// Registers a call of the service: settings and metrics then know it before it is first made.
    pub fn call<C: Call<D>>(self) -> Self {
        let identity = C::identity();
        if !self.wanted.calls.iter().any(|known| known.identity == identity) {
            self.wanted.calls.push(WantedCall {
                name: C::NAME,
                derived: C::SETTINGS,
                identity,
                register: |owned| match owned.handle().downcast_ref::<Service<D>>() {
                    Some(service) => service.shared.state.register::<D, C>().map(drop),
                    None => Ok(()),
                },
            });
        }
        self
    }
}

/// Gives out the handles that were registered.
pub struct Binder<'a> {
    services: &'a Owned,
}

impl Binder<'_> {
    /// The handle of a service.
    ///
    /// # Panics
    /// If it was not registered by the same [`Services::register`]: derives always do.
    pub fn service<D: Downstream>(&self, name: &str) -> Service<D> {
        service(self.services, name)
            .unwrap_or_else(|error| panic!("{error}: it was bound without being registered"))
    }
}

pub(super) fn bind<S: Services>(services: &Owned) -> Result<S, BindError> {
    let mut registry = Registry::default();
    S::register(&mut registry);
    let mut problems = Vec::new();
    for (name, wanted) in &registry.services {
        let Some(owned) = services.get(*name) else {
            problems.extend(missing(services, name).problems);
            continue;
        };
        if owned.kind() != wanted.kind {
            problems.push(wrong_kind(name, owned.kind(), wanted.kind));
            continue;
        }
        for call in &wanted.calls {
            if let Err(reason) = (call.register)(&**owned) {
                problems.push(format!("{name} {}: {reason}", call.name));
            }
        }
    }
    if problems.is_empty() { Ok(S::bind(&Binder { services })) } else { Err(BindError { problems }) }
}

pub(super) fn service<D: Downstream>(services: &Owned, name: &str) -> Result<Service<D>, BindError> {
    let owned = services.get(name).ok_or_else(|| missing(services, name))?;
    match owned.handle().downcast_ref::<Service<D>>() {
        Some(service) => Ok(service.clone()),
        None => Err(BindError { problems: vec![wrong_kind(name, owned.kind(), D::KIND)] }),
    }
}

pub(super) fn missing(services: &Owned, name: &str) -> BindError {
    let known = services.keys().map(Arc::as_ref);
    let problem =
        format!("{}; add [services.{name}] to the settings", crate::config::unknown("service", name, known));
    BindError { problems: vec![problem] }
}

fn wrong_kind(name: &str, is: &str, wanted: &str) -> String {
    format!(
        "the settings say that service `{name}` is of kind \"{is}\", and code wants one of kind \"{wanted}\""
    )
}

/// Services that code wants and the settings do not have, all at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BindError {
    problems: Vec<String>,
}

impl fmt::Display for BindError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.problems.join("\n"))
    }
}

impl Error for BindError {}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("services", &self.services.keys()).finish()
    }
}

impl<D> fmt::Debug for Registering<'_, D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registering").field("kind", &self.wanted.kind).finish_non_exhaustive()
    }
}

impl fmt::Debug for Binder<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Binder").field("services", &self.services.keys()).finish()
    }
}
