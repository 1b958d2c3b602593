use std::{fmt, sync::Arc};

use parking_lot::Mutex;
use seawall::{Call, Downstream, Failure, Service, config::ConfigErrors, runtime, service::Rules};

/// A service without a network, for the unit tests of whoever calls it.
///
/// Rules answer calls by their type; a call without a rule fails with a text that says so. Either calls go straight to the
/// rules ([`mock`]), or through the real policies ([`Mock::with_policies`]), in virtual time if the test's clock is paused.
///
/// ```
/// use seawall_testkit::{Ask, Echo, Scripted, mock, virtual_time};
///
/// virtual_time(async || {
///     let users = mock::<Scripted>("users");
///     users.on(|ask: &Ask| Ok(Echo { id: ask.0, serial: 1, number: 1 }));
///     assert_eq!(users.service().send(Ask(7)).await.expect("there is a rule").id, 7);
///     assert_eq!(users.calls::<Ask>(), 1);
/// });
/// ```
pub struct Mock<D: Downstream> {
    service: Service<D>,
    rules: Arc<Rules>,
    seen: Arc<Mutex<Vec<std::any::TypeId>>>,
}

/// A mock without policies.
///
/// # Panics
/// Never: no settings can be wrong.
pub fn mock<D: Downstream>(name: &str) -> Mock<D> {
    Mock::new(name, None).unwrap_or_else(|errors| panic!("{errors}"))
}

impl<D: Downstream> Mock<D> {
    fn new(name: &str, settings: Option<&str>) -> Result<Self, ConfigErrors> {
        let rules = Arc::new(Rules::default());
        let service = runtime::mock(name, Arc::clone(&rules), settings)?;
        Ok(Self { service, rules, seen: Arc::default() })
    }

    /// A mock whose calls go through the real policies, by these settings: TOML at a service's level, `""` for the
    /// defaults.
    ///
    /// # Errors
    /// Everything that is wrong with the settings.
    pub fn with_policies(name: &str, settings: &str) -> Result<Self, ConfigErrors> {
        Self::new(name, Some(settings))
    }

    /// The service to give to the code under test.
    pub fn service(&self) -> Service<D> {
        self.service.clone()
    }

    /// Answers calls of type `C` by `answer`, from now on.
    pub fn on<C: Call<D>>(&self, answer: impl Fn(&C) -> Result<C::Reply, Failure> + Send + Sync + 'static) {
        let seen = Arc::clone(&self.seen);
        self.rules.set::<D, C>(move |call, _| {
            seen.lock().push(std::any::TypeId::of::<C>());
            let answer = answer(&call);
            Box::pin(async move { answer })
        });
    }

    /// Answers calls of type `C` by a future, from now on.
    pub fn on_async<C, F>(&self, answer: impl Fn(Arc<C>) -> F + Send + Sync + 'static)
    where
        C: Call<D>,
        F: Future<Output = Result<C::Reply, Failure>> + Send + 'static,
    {
        let seen = Arc::clone(&self.seen);
        self.rules.set::<D, C>(move |call, _| {
            seen.lock().push(std::any::TypeId::of::<C>());
            Box::pin(answer(call))
        });
    }

    /// How many attempts at calls of type `C` came to a rule.
    pub fn calls<C: Call<D>>(&self) -> usize {
        let wanted = std::any::TypeId::of::<C>();
        self.seen.lock().iter().filter(|seen| **seen == wanted).count()
    }
}

impl<D: Downstream> fmt::Debug for Mock<D> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Mock")
            .field("service", &self.service)
            .field("rules", &self.rules)
            .finish_non_exhaustive()
    }
}
