use std::{error::Error, marker::PhantomData};

use serde::de::DeserializeOwned;

/// What the body of a 4xx or 5xx is taken for.
pub trait ErrorBody {
    /// Whether the body is worth reading.
    const WANTED: bool;

    /// The error that the body says; `None` where it is none, and the status must speak for itself.
    fn parse(body: &[u8]) -> Option<Box<dyn Error + Send + Sync>>;
}

/// Nothing: the status says it all.
#[derive(Debug)]
pub struct Untyped(());

impl ErrorBody for Untyped {
    const WANTED: bool = false;

    fn parse(_: &[u8]) -> Option<Box<dyn Error + Send + Sync>> {
        None
    }
}

/// An error in JSON, which becomes the failure's source: `failure.source()` downcasts to it.
#[derive(Debug)]
pub struct Typed<E>(PhantomData<fn() -> E>);

impl<E: DeserializeOwned + Error + Send + Sync + 'static> ErrorBody for Typed<E> {
    const WANTED: bool = true;

    fn parse(body: &[u8]) -> Option<Box<dyn Error + Send + Sync>> {
        serde_json::from_slice::<E>(body).ok().map(|error| Box::new(error) as _)
    }
}
