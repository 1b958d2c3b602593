use std::{future::Future, pin::Pin, sync::Arc, time::Duration};

use super::Link;
use crate::{
    call::{Answer, Attempt, Call, CallError, CallTraits},
    downstream::{
        Blame, Downstream, Failure, Reached, TierFound, TierGet, TierInvalidate, TierKept, TierLease,
        TierLeased, TierPut, TierRelease, Tiering,
    },
    service::{Service, Shared},
};

/// An answer of a tier's, on its way.
pub(crate) type Asked<T> = Pin<Box<dyn Future<Output = Result<T, CallError>> + Send>>;

macro_rules! questions {
    ($($ask:ident => $method:ident: $reply:ty),+ $(,)?) => {$(
        impl<D: Downstream> Call<D> for $ask {
            type Reply = $reply;
            const NAME: &'static str = stringify!($ask);
            // It has a budget that a second try would overrun, and what is not heard at once is asked again later. The
            // tier's own breaker stands in for the service's, which waits for much longer before it tries again: what was
            // voided must be heard as soon as it can be.
            const SETTINGS: &'static str = "retry = false\nhedge = false\nbreaker = false\ncache = false";

            fn traits(&self) -> CallTraits {
                CallTraits::IDEMPOTENT
            }

            async fn attempt(&self, downstream: &D, attempt: &Attempt) -> Result<$reply, Failure> {
                attempt.mark_sent();
                (tiering::<D>()?.$method)(downstream, self, attempt.deadline()).await
            }
        }
    )+

        impl<D: Downstream> Link for Shared<D> {
            $(
                fn $method(self: Arc<Self>, ask: $ask, within: Duration) -> Asked<$reply> {
                    send(self, ask, within)
                }
            )+
        }
    };
}

questions! {
    TierGet => get: TierFound,
    TierLease => lease: TierLeased,
    TierPut => put: TierKept,
    TierRelease => release: (),
    TierInvalidate => invalidate: (),
}

fn tiering<D: Downstream>() -> Result<Tiering<D>, Failure> {
    D::tiering().ok_or_else(|| {
        let text = format!("kind \"{}\" cannot keep other services' replies", D::KIND);
        Failure::new(Blame::Local, text).reached(Reached::No)
    })
}

fn send<D: Downstream, C: Call<D>>(shared: Arc<Shared<D>>, ask: C, within: Duration) -> Asked<C::Reply>
where
    C::Reply: Clone + Send + Sync,
{
    let service = Service { shared };
    Box::pin(async move { service.send(ask).deadline(within).while_draining().await.map(Answer::into_inner) })
}
