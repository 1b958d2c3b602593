//! Frequently read replies, kept in memory: one tier for the whole process, bounded by bytes.
//!
//! A hit costs one look-up and allocates nothing: the key is written into a reused buffer, and the reply is shared, not
//! copied or decoded. What the tier knows of calls is their bytes alone; when an entry may be served is the freshness
//! policy's to say, and whether it has been invalidated meanwhile is [`Generations`]'.

mod digest;
mod envelope;
mod flights;
mod generations;
mod key;
mod memory;

pub(crate) use digest::digest;
pub(crate) use envelope::{Envelope, MOST_ADDED};
pub(crate) use flights::{Flight, Flights, Joined};
pub(crate) use generations::{Generation, Generations};
pub(crate) use key::{Partition, with_key};
pub(crate) use memory::{Displaced, Entry, Memory};
