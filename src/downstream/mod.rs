//! What a kind of downstream implements, and how it speaks of failure.
//!
//! A kind (HTTP, Redis, ...) is a crate that implements [`Downstream`] for the type that holds its pool. It only
//! classifies: each error becomes a [`Failure`] that says whose fault it was, whether the request may have reached the
//! other side, and how long that side asked to be left alone. What follows from that is the policies' to judge.

mod extensions;
mod failure;
mod figures;
mod kind;
mod open;
mod pool;
mod tier;

pub use extensions::Extensions;
pub use failure::{Failure, Stage, Symptom};
pub use figures::PoolFigures;
pub use kind::{Downstream, EndpointAddress};
pub use open::{OpenContext, OpenError};
pub use pool::{PoolSettings, Shards};
pub use tier::{
    SharedTier, Stamp, TierEntry, TierFound, TierGet, TierInvalidate, TierKept, TierLease, TierLeased,
    TierNews, TierPlace, TierPut, TierRelease, Tiering,
};

pub(crate) use tier::Heard;

pub use crate::policy::blame::{Blame, Reached};
