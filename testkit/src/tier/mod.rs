//! A shared cache tier without a server: in memory, in virtual time, and as bad as a test wants it.

mod conformance;
mod kind;
mod store;

pub use conformance::tier_conformance;
pub use kind::{ScriptedTier, ScriptedTierSettings};
pub use store::{TierAsked, TierFault, TierStore};
