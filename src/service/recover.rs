use std::{error::Error, fmt, future::Future, pin::Pin};

use crate::call::CallError;

/// What a caller's fallback gives, or promises.
pub enum Recovery<R> {
    /// There is none.
    None,
    /// A value.
    Value(R),
    /// It failed.
    Failed(BoxError),
    /// A value to come.
    Later(Pin<Box<dyn Future<Output = Result<R, BoxError>> + Send>>),
}

type BoxError = Box<dyn Error + Send + Sync>;

/// A caller's fallback, made by [`Sending::fallback`](super::Sending::fallback).
pub trait Recover<R>: Send {
    /// Gives the fallback's answer to `error`.
    fn recover(self, error: &CallError) -> Recovery<R>;
}

/// No fallback.
#[derive(Clone, Copy, Debug)]
pub struct NoFallback;

impl<R> Recover<R> for NoFallback {
    fn recover(self, _: &CallError) -> Recovery<R> {
        Recovery::None
    }
}

/// A closure as a fallback.
pub struct Recovered<F, M> {
    closure: F,
    gives: std::marker::PhantomData<fn() -> M>,
}

impl<F, M> Recovered<F, M> {
    pub(crate) fn new(closure: F) -> Self {
        Self { closure, gives: std::marker::PhantomData }
    }
}

impl<F, M> fmt::Debug for Recovered<F, M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Recovered")
    }
}

impl<R, F, T, M> Recover<R> for Recovered<F, (T, M)>
where
    F: FnOnce(&CallError) -> T + Send,
    T: IntoRecovery<R, M>,
{
    fn recover(self, error: &CallError) -> Recovery<R> {
        (self.closure)(error).into_recovery()
    }
}

/// What a fallback may return: the reply, a result of it, or a future of either. `M` tells them apart, and is inferred.
pub trait IntoRecovery<R, M> {
    /// The recovery it stands for.
    fn into_recovery(self) -> Recovery<R>;
}

/// Marks a plain value.
#[derive(Debug)]
pub enum Plain {}
/// Marks a result.
#[derive(Debug)]
pub enum Fallible {}
/// Marks a future of a value.
#[derive(Debug)]
pub enum Eventual {}
/// Marks a future of a result.
#[derive(Debug)]
pub enum EventualFallible {}

impl<R> IntoRecovery<R, Plain> for R {
    fn into_recovery(self) -> Recovery<R> {
        Recovery::Value(self)
    }
}

impl<R, E: Into<BoxError>> IntoRecovery<R, Fallible> for Result<R, E> {
    fn into_recovery(self) -> Recovery<R> {
        match self {
            Ok(value) => Recovery::Value(value),
            Err(error) => Recovery::Failed(error.into()),
        }
    }
}

impl<R, F> IntoRecovery<R, Eventual> for F
where
    F: Future<Output = R> + Send + 'static,
{
    fn into_recovery(self) -> Recovery<R> {
        Recovery::Later(Box::pin(async move { Ok(self.await) }))
    }
}

impl<R, E, F> IntoRecovery<R, EventualFallible> for F
where
    E: Into<BoxError>,
    F: Future<Output = Result<R, E>> + Send + 'static,
{
    fn into_recovery(self) -> Recovery<R> {
        Recovery::Later(Box::pin(async move { self.await.map_err(Into::into) }))
    }
}

impl<R> fmt::Debug for Recovery<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Value(_) => "Value",
            Self::Failed(_) => "Failed",
            Self::Later(_) => "Later",
        })
    }
}
