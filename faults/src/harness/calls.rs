//! The calls that scenarios make.

use seawall_http::HttpCall;
use serde::{Deserialize, Serialize};

/// What a server answers: the nonce that it was asked with, and how many requests it had seen by then.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Echo {
    pub(crate) nonce: u64,
    pub(crate) serial: u64,
}

/// A read.
#[derive(HttpCall)]
#[http(get = "/echo/{nonce}", reply = Echo)]
pub(crate) struct Get {
    pub(crate) nonce: u64,
}

/// A write: made twice it does more than once.
#[derive(HttpCall)]
#[http(post = "/write/{nonce}", reply = Echo)]
pub(crate) struct Write {
    pub(crate) nonce: u64,
}

/// A read whose reply is kept under its key.
#[derive(HttpCall)]
#[http(get = "/keyed/{key}", reply = Echo, cache(ttl = "5s", stale_if_error = "60s"))]
pub(crate) struct Keyed {
    pub(crate) key: u64,
}

/// A read whose reply is kept for other processes, too, where settings say so.
#[derive(HttpCall)]
#[http(get = "/keyed/{key}", reply = Echo, cache(shared, tags("key:{key}")))]
pub(crate) struct Shared {
    pub(crate) key: u64,
}

/// A write that voids it.
#[derive(HttpCall)]
#[http(post = "/write/{key}", reply = Echo, invalidates("key:{key}"))]
pub(crate) struct Change {
    pub(crate) key: u64,
}
