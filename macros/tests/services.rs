//! `derive(Services)`, against a runtime of this test's own: the expansion names `::seawall` and nothing else.

extern crate self as seawall;

/// What the expansion calls.
pub(crate) mod runtime {
    use std::{cell::RefCell, marker::PhantomData};

    pub(crate) trait Services {
        fn register(registry: &mut Registry);
        fn bind(binder: &Binder<'_>) -> Self;
    }

    pub(crate) trait Handle {
        type Kind: Kind;
    }

    pub(crate) trait Kind {
        const NAME: &'static str;
    }

    #[derive(Default)]
    pub(crate) struct Registry(pub(crate) Vec<String>);

    pub(crate) struct Registered<'a, K>(&'a mut Registry, PhantomData<K>);

    impl Registry {
        pub(crate) fn service<K: Kind>(&mut self, name: &str) -> Registered<'_, K> {
            self.0.push(format!("{name}: {}", K::NAME));
            Registered(self, PhantomData)
        }
    }

    impl<K: Kind> Registered<'_, K> {
        pub(crate) fn call<C>(self) -> Self {
            self.0.0.push(std::any::type_name::<C>().rsplit("::").next().unwrap_or_default().into());
            self
        }
    }

    pub(crate) struct Binder<'a>(pub(crate) &'a RefCell<Vec<String>>);

    impl Binder<'_> {
        pub(crate) fn service<H: From<&'static str>>(&self, name: &'static str) -> H {
            self.0.borrow_mut().push(name.into());
            H::from(name)
        }
    }
}

use std::{cell::RefCell, marker::PhantomData};

use runtime::{Binder, Handle, Kind, Registry, Services as _};
use seawall_macros::Services;

struct Http;

impl Kind for Http {
    const NAME: &'static str = "http";
}

struct Service<K>(&'static str, PhantomData<K>);

impl<K: Kind> Handle for Service<K> {
    type Kind = K;
}

impl<K> From<&'static str> for Service<K> {
    fn from(name: &'static str) -> Self {
        Self(name, PhantomData)
    }
}

struct GetUser;
struct PutUser;

#[derive(Services)]
struct Downstreams {
    #[service(calls(GetUser, PutUser))]
    users: Service<Http>,
    #[service(name = "orders-v2")]
    orders: Service<Http>,
    r#type: Service<Http>,
}

#[test]
fn services_are_registered_with_their_calls_and_bound_by_name() {
    let mut registry = Registry::default();
    Downstreams::register(&mut registry);
    assert_eq!(registry.0, ["users: http", "GetUser", "PutUser", "orders-v2: http", "type: http"]);
    let asked = RefCell::default();
    let downstreams = Downstreams::bind(&Binder(&asked));
    assert_eq!(asked.into_inner(), ["users", "orders-v2", "type"]);
    assert_eq!(
        (downstreams.users.0, downstreams.orders.0, downstreams.r#type.0),
        ("users", "orders-v2", "type")
    );
}

#[test]
fn mistakes_are_told_where_they_are() {
    trybuild::TestCases::new().compile_fail("tests/services/*.rs");
}
