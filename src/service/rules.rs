use std::{
    any::{Any, TypeId},
    collections::HashMap,
    fmt,
    future::Future,
    pin::Pin,
    sync::Arc,
};

use parking_lot::RwLock;

use crate::{
    call::{Attempt, Call},
    downstream::{Blame, Downstream, Failure, Reached},
};

/// What makes an attempt in place of a downstream, by the call's type: the one seam that mocks use.
#[derive(Default)]
pub struct Rules {
    by_call: RwLock<HashMap<TypeId, Arc<dyn Any + Send + Sync>>>,
}

/// One rule: how calls of one type are answered.
pub type Rule<C, R> = dyn Fn(Arc<C>, &Attempt) -> Answering<R> + Send + Sync;

type Answering<R> = Pin<Box<dyn Future<Output = Result<R, Failure>> + Send>>;

impl Rules {
    /// Answers calls of type `C` by `rule`, from now on.
    pub fn set<D, C>(&self, rule: impl Fn(Arc<C>, &Attempt) -> Answering<C::Reply> + Send + Sync + 'static)
    where
        D: Downstream,
        C: Call<D>,
    {
        let rule: Box<Rule<C, C::Reply>> = Box::new(rule);
        self.by_call.write().insert(C::identity(), Arc::new(rule));
    }

    pub(crate) fn answer<D, C>(&self, call: Arc<C>, attempt: &Attempt) -> Answering<C::Reply>
    where
        D: Downstream,
        C: Call<D>,
    {
        let rule = self.by_call.read().get(&C::identity()).cloned();
        match rule.as_deref().and_then(|rule| rule.downcast_ref::<Box<Rule<C, C::Reply>>>()) {
            Some(rule) => rule(call, attempt),
            None => {
                let unknown = Failure::new(
                    Blame::Caller,
                    format!("the mock has no rule for {}: add one with `on`", C::NAME),
                )
                .reached(Reached::No);
                Box::pin(async { Err(unknown) })
            }
        }
    }
}

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rules").field("calls", &self.by_call.read().len()).finish()
    }
}
