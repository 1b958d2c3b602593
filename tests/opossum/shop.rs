//! A call with all that an opossum action has: arguments, a filter, a key of its own, a fallback.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use seawall::{
    Call, CallError, Failure, Runtime, Service,
    call::{Attempt, Cacheable, CallTraits, KeyWriter, Sharing},
    downstream::Blame,
    service::Func,
};

/// What an order costs. The downstream answers with a price below zero where it has no answer.
#[derive(Clone, Debug)]
pub(crate) struct Quote {
    pub(crate) order: u64,
    pub(crate) price: i64,
    /// Who asks. The price does not depend on it, so the key leaves it out.
    pub(crate) asker: &'static str,
    pub(crate) asked: Arc<AtomicU64>,
}

/// The price that is given while none can be had.
pub(crate) const LIST_PRICE: i64 = 100;

impl Quote {
    pub(crate) fn new(order: u64, price: i64) -> Self {
        Self { order, price, asker: "nobody", asked: Arc::default() }
    }
}

impl Call<Func> for Quote {
    type Reply = i64;
    const NAME: &'static str = "Quote";

    fn traits(&self) -> CallTraits {
        CallTraits::IDEMPOTENT
    }

    fn sharing() -> Option<Sharing<i64>> {
        Some(Sharing::new())
    }

    fn cache_key(&self, key: &mut KeyWriter<'_>) -> Cacheable {
        key.value(&self.order);
        Cacheable::Yes
    }

    fn judge(&self, price: &i64) -> Result<(), Failure> {
        match (self.order, *price) {
            (_, 0..) => Ok(()),
            (0, _) => Err(Failure::new(Blame::Caller, format!("{} has an order 0", self.asker))),
            _ => Err(Failure::new(Blame::Downstream, "there is no price")),
        }
    }

    fn fallback(&self, _: &CallError) -> Option<i64> {
        Some(LIST_PRICE)
    }

    async fn attempt(&self, _: &Func, _: &Attempt) -> Result<i64, Failure> {
        self.asked.fetch_add(1, Ordering::Relaxed);
        Ok(self.price)
    }
}

/// A runtime with one service `any`, for any code.
pub(crate) async fn guard(settings: &str) -> (Runtime, Service<Func>) {
    let runtime = Runtime::builder()
        .parse(format!("[services.any]\nkind = \"func\"\n{settings}"))
        .expect("the settings are TOML")
        .current_thread()
        .seed(7)
        .start()
        .await
        .unwrap_or_else(|error| panic!("{error}"));
    let any = runtime.guard("any").expect("it is there");
    (runtime, any)
}
