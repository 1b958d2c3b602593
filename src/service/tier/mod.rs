//! A service that keeps other services' replies: the shared tier, as the core asks it.
//!
//! What a tier must do is said where kinds implement it (`downstream/tier.rs`). Here is who asks it, and when:
//!
//! - [`calls`]: each question is a call of the tier's service, and goes its whole way: pool, bulkhead, breaker, metrics.
//! - [`client`]: one tier of this process: its own breaker, and what it knows of the services whose replies it keeps.
//! - [`outbox`]: what was invalidated here and the tier has not heard of yet.
//! - [`attend`]: listens to the tier's news, and tells it ours.
//! - [`through`]: a load by way of the tier: a look, a lease, the load itself, and the keeping.

mod attend;
mod calls;
mod client;
mod figures;
mod outbox;
mod place;
mod through;

pub(crate) use attend::attend;
pub(crate) use client::{Link, Tier, Tiers};
pub(crate) use figures::TierFigures;
pub(crate) use place::{CallTier, Mark, key_tag};
pub(crate) use through::{Keeping, Loaded, Wish, through};
