use std::time::Duration;

use super::{Argument, Ask, calls, strings::milliseconds};

/// `DEL`: deletes keys. The reply is how many there were; made twice, the second time finds none.
pub struct Del(Ask<()>);

calls!(Del<> => u64, "Del");

impl Del {
    /// Deletes this key.
    pub fn new(key: impl Argument) -> Self {
        Self::all([key])
    }

    /// Deletes these keys. Without any, the server refuses.
    pub fn all(keys: impl IntoIterator<Item = impl Argument>) -> Self {
        Self(keys.into_iter().fold(Ask::new("DEL", true), |ask, key| ask.arg(&key)))
    }
}

/// `PEXPIRE`: gives a key a time to live. The reply is whether there is such a key.
pub struct Expire(Ask<()>);

calls!(Expire<> => bool, "Expire");

impl Expire {
    /// Lets this key live for so long, a millisecond at least.
    pub fn new(key: impl Argument, ttl: Duration) -> Self {
        Self(Ask::new("PEXPIRE", true).arg(&key).arg(&milliseconds(ttl)))
    }
}
