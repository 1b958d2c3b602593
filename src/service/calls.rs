//! The calls that a thread made last, so that most need not look theirs up.
//!
//! The table of a service's calls is swapped whole by a reload, and to borrow it costs two atomic operations and a look-up. So
//! a thread remembers a few calls, each with the version of the table that it is from. It gives one away for as long as it
//! is used: a call made in the midst of another of its kind finds none, and looks its own up.

use std::{
    any::TypeId,
    cell::Cell,
    hash::{BuildHasher, BuildHasherDefault},
    sync::Arc,
};

use super::{
    CallState, State,
    state::{AsIs, Version},
};
use crate::{
    call::{Call, Reason},
    downstream::Downstream,
};

/// How many calls a thread remembers, at one place each: a power of two. What is remembered outlives its service until
/// another takes its place.
const PLACES: usize = 32;

thread_local! {
    static CALLS: [Cell<Option<Known>>; PLACES] = const { [const { Cell::new(None) }; PLACES] };
}

/// A call of a service, as it was when the service's table had this version.
struct Known {
    service: u64,
    identity: TypeId,
    version: Version,
    call: Arc<CallState>,
}

/// Lends the state of a service's call `C`, which is made known to the service if it is not.
///
/// # Errors
/// Lends the reason why it cannot be known.
pub(crate) fn with<D: Downstream, C: Call<D>, T>(
    state: &State,
    lend: impl FnOnce(Result<&Arc<CallState>, Reason>) -> T,
) -> T {
    let identity = C::identity();
    let place = (BuildHasherDefault::<AsIs>::default().hash_one(identity) ^ state.id) as usize % PLACES;
    // A thread that ends remembers nothing any more.
    let known = CALLS.try_with(|calls| calls[place].take()).ok().flatten();
    let version = state.version();
    let known = match known {
        Some(known)
            if known.service == state.id && known.identity == identity && known.version == version =>
        {
            known
        }
        _ => match state.register::<D, C>() {
            Ok(call) => Known { service: state.id, identity, version, call },
            Err(reason) => return lend(Err(reason)),
        },
    };
    let lent = lend(Ok(&known.call));
    let _forgotten = CALLS.try_with(|calls| calls[place].replace(Some(known)));
    lent
}
