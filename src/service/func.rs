use std::{error::Error, fmt, future::Future};

use serde::Deserialize;

use super::{Sending, Service};
use crate::{
    call::{Attempt, Call, CallTraits},
    downstream::{Blame, Downstream, EndpointAddress, Failure, OpenContext, OpenError, Symptom},
};

/// The kind of what is no kind: any async code, an SDK's client say, under a service's policies.
///
/// `runtime.guard("s3")?.run(|| client.get_object(..))`; in the settings `kind = "func"`.
#[derive(Debug)]
pub struct Func;

/// `kind = "func"` has no settings of its own.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct FuncSettings {}

impl Downstream for Func {
    const KIND: &'static str = "func";
    type Settings = FuncSettings;

    async fn open(_: &Self::Settings, _: &OpenContext) -> Result<Self, OpenError> {
        Ok(Self)
    }

    fn endpoints(_: &Self::Settings) -> Vec<EndpointAddress> {
        Vec::new()
    }
}

/// A closure as a call: run once for each attempt, on the shard's thread, in the context of its call.
pub struct Run<F> {
    closure: F,
    idempotent: bool,
}

impl<F> Run<F> {
    /// A call that runs `closure`. Its error is the downstream's fault, unless it is a [`Failure`] that says otherwise.
    pub fn new(closure: F) -> Self {
        Self { closure, idempotent: false }
    }

    /// Running it twice does no more than running it once: it may be retried.
    #[must_use]
    pub fn idempotent(mut self) -> Self {
        self.idempotent = true;
        self
    }
}

impl<F> fmt::Debug for Run<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run").field("idempotent", &self.idempotent).finish_non_exhaustive()
    }
}

impl<F, W, T, E> Call<Func> for Run<F>
where
    F: Fn() -> W + Send + Sync + 'static,
    W: Future<Output = Result<T, E>>,
    T: Send + 'static,
    E: Into<Box<dyn Error + Send + Sync>>,
{
    type Reply = T;
    const NAME: &'static str = "run";

    fn traits(&self) -> CallTraits {
        CallTraits { idempotent: self.idempotent, priority: None }
    }

    fn identity() -> std::any::TypeId {
        std::any::TypeId::of::<Func>()
    }

    async fn attempt(&self, _: &Func, attempt: &Attempt) -> Result<T, Failure> {
        attempt.mark_sent();
        // Calls that the closure makes in turn inherit what is left of this one's time, and on whose account it is.
        let context = attempt.context().cloned().unwrap_or_default().deadline(attempt.deadline());
        let closure = &self.closure;
        context.in_scope(async move { closure().await }).await.map_err(|error| {
            match error.into().downcast::<Failure>() {
                Ok(failure) => *failure,
                Err(error) => {
                    Failure::new(Blame::Downstream, "it failed").symptom(Symptom::Response).caused_by(error)
                }
            }
        })
    }
}

impl Service<Func> {
    /// Runs any async code under this service's policies. The closure runs once for each attempt.
    pub fn run<F>(&self, closure: F) -> Sending<'_, Func, Run<F>>
    where
        Run<F>: Call<Func>,
    {
        self.send(Run::new(closure))
    }
}
