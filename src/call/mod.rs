//! The words that callers use: calls and their replies, deadlines and contexts, answers and errors.

mod answer;
mod attempt;
mod codec;
mod context;
mod error;
mod key;
mod message;
mod priority;
mod sharing;
mod tags;

pub use answer::{Answer, Origin};
pub use attempt::Attempt;
pub use codec::{Codec, CodecError, Decode, Encode};
pub use context::{Context, Trace, spawn, within};
pub use error::{CallError, Failed, FallbackFailed, Reason, Rejected, TimedOut};
pub use key::{Cacheable, KeyWriter};
pub use message::{Call, CallTraits};
pub use priority::Priority;
pub use sharing::Sharing;
pub use tags::TagWriter;

pub(crate) use error::chain;
pub(crate) use sharing::Shared;
