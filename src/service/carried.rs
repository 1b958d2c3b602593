use std::{mem, sync::Arc};

use super::exchange::{Exchange, Message};

/// A call on its way through the pipeline.
///
/// Most calls need one attempt, and most attempts are alone: so a call is put into its first exchange, where the shard finds
/// it, and costs no allocation and no reference count of its own. A retry's exchange refers to the former one.
pub(crate) enum Carried<C, R> {
    /// By itself: no attempt was made yet.
    Alone(C),
    /// For several who make attempts at the same time.
    Shared(Arc<C>),
    /// Within the exchange of its last attempt.
    Within(Arc<Exchange<C, R>>),
    /// Nowhere: something panicked while an exchange was made of it.
    Lost,
}

impl<C, R> Carried<C, R> {
    /// The call; `None` if it was lost.
    pub(crate) fn get(&self) -> Option<&C> {
        match self {
            Self::Alone(call) => Some(call),
            Self::Shared(call) => Some(call),
            Self::Within(exchange) => Some(exchange.call()),
            Self::Lost => None,
        }
    }

    /// Makes it one that several can hold; `None` if it was lost, or is an exchange's own already.
    pub(crate) fn share(&mut self) -> Option<Arc<C>> {
        *self = match mem::replace(self, Self::Lost) {
            Self::Alone(call) => Self::Shared(Arc::new(call)),
            other => other,
        };
        match self {
            Self::Shared(call) => Some(Arc::clone(call)),
            Self::Within(exchange) => exchange.shared_call(),
            Self::Alone(_) | Self::Lost => None,
        }
    }

    /// Leaves the exchange of an attempt that ended, and its span with it; unless somebody still holds that.
    pub(crate) fn leave(&mut self) {
        *self = match mem::replace(self, Self::Lost) {
            Self::Within(exchange) => match Arc::try_unwrap(exchange).map(Exchange::into_message) {
                Ok(Message::Own(call)) => Self::Alone(call),
                Ok(Message::Shared(call)) => Self::Shared(call),
                Ok(Message::Of(first)) => Self::Within(first),
                Err(held) => Self::Within(held),
            },
            other => other,
        };
    }

    /// Makes an exchange of it, and lends that; `None` if it was lost.
    pub(crate) fn enclose(
        &mut self,
        exchange: impl FnOnce(Message<C, R>) -> Exchange<C, R>,
    ) -> Option<&Arc<Exchange<C, R>>> {
        let message = match mem::replace(self, Self::Lost) {
            Self::Alone(call) => Message::Own(call),
            Self::Shared(call) => Message::Shared(call),
            Self::Within(former) => former.message_again(),
            Self::Lost => return None,
        };
        *self = Self::Within(Arc::new(exchange(message)));
        match self {
            Self::Within(exchange) => Some(exchange),
            _ => None,
        }
    }
}
