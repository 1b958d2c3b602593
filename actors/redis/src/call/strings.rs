use std::time::Duration;

use super::{Argument, Ask, calls};

/// `GET`: the value of a key as an `R`, or that there is none.
pub struct Get<R = Vec<u8>>(Ask<R>);

calls!(Get<R> => Option<R>, "Get", negative = Option::is_none);

impl<R> Get<R> {
    /// The value of this key.
    pub fn new(key: impl Argument) -> Self {
        Self(Ask::new("GET", true).arg(&key))
    }
}

/// `MGET`: the values of several keys, in their order.
pub struct MGet<R = Vec<u8>>(Ask<R>);

calls!(MGet<R> => Vec<Option<R>>, "MGet");

impl<R> MGet<R> {
    /// The values of these keys. Without any, the server refuses.
    pub fn new(keys: impl IntoIterator<Item = impl Argument>) -> Self {
        Self(keys.into_iter().fold(Ask::new("MGET", true), |ask, key| ask.arg(&key)))
    }
}

/// `SET`: gives a key a value. The reply is whether it was set: `false` where a condition did not hold.
pub struct Set(Ask<()>);

calls!(Set<> => bool, "Set");

impl Set {
    /// Sets this key to this value, for ever, whatever is there.
    pub fn new(key: impl Argument, value: impl Argument) -> Self {
        Self(Ask::new("SET", true).arg(&key).arg(&value))
    }

    /// For this long, a millisecond at least.
    #[must_use]
    pub fn ttl(self, ttl: Duration) -> Self {
        Self(self.0.arg("PX").arg(&milliseconds(ttl)))
    }

    /// Leaves the time to live as it is.
    #[must_use]
    pub fn keep_ttl(self) -> Self {
        Self(self.0.arg("KEEPTTL"))
    }

    /// Only if there is nothing. It may not be made twice: the second time would find what the first has set.
    #[must_use]
    pub fn if_absent(mut self) -> Self {
        self.0.idempotent = false;
        Self(self.0.arg("NX"))
    }

    /// Only if there is something.
    #[must_use]
    pub fn if_present(self) -> Self {
        Self(self.0.arg("XX"))
    }
}

/// `INCRBY`: adds to a number, and returns the sum. It may not be made twice.
pub struct Incr(Ask<()>);

calls!(Incr<> => i64, "Incr");

impl Incr {
    /// Adds one.
    pub fn new(key: impl Argument) -> Self {
        Self::by(key, 1)
    }

    /// Adds so much.
    pub fn by(key: impl Argument, step: i64) -> Self {
        Self(Ask::new("INCRBY", false).arg(&key).arg(&step))
    }
}

/// A time to live as it is sent: nothing at all would be an error, or delete.
pub(super) fn milliseconds(ttl: Duration) -> u64 {
    u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX).clamp(1, i64::MAX as u64 / 2)
}
