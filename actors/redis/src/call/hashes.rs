use std::collections::HashMap;

use super::{Argument, Ask, calls};

/// `HGET`: the value of a hash's field, or that there is none.
pub struct HGet<R = Vec<u8>>(Ask<R>);

calls!(HGet<R> => Option<R>, "HGet", negative = Option::is_none);

impl<R> HGet<R> {
    /// The value of this field.
    pub fn new(key: impl Argument, field: impl Argument) -> Self {
        Self(Ask::new("HGET", true).arg(&key).arg(&field))
    }
}

/// `HGETALL`: a whole hash; an empty one where there is none.
pub struct HGetAll<R = Vec<u8>>(Ask<R>);

calls!(HGetAll<R> => HashMap<String, R>, "HGetAll", negative = HashMap::is_empty);

impl<R> HGetAll<R> {
    /// The hash of this key.
    pub fn new(key: impl Argument) -> Self {
        Self(Ask::new("HGETALL", true).arg(&key))
    }
}

/// `HSET`: sets fields of a hash. The reply is how many are new.
pub struct HSet(Ask<()>);

calls!(HSet<> => u64, "HSet");

impl HSet {
    /// Sets this field.
    pub fn new(key: impl Argument, field: impl Argument, value: impl Argument) -> Self {
        Self(Ask::new("HSET", true).arg(&key).arg(&field).arg(&value))
    }

    /// And this one.
    #[must_use]
    pub fn and(self, field: impl Argument, value: impl Argument) -> Self {
        Self(self.0.arg(&field).arg(&value))
    }
}

/// `HDEL`: deletes a field of a hash. The reply is how many there were.
pub struct HDel(Ask<()>);

calls!(HDel<> => u64, "HDel");

impl HDel {
    /// Deletes this field.
    pub fn new(key: impl Argument, field: impl Argument) -> Self {
        Self(Ask::new("HDEL", true).arg(&key).arg(&field))
    }

    /// And this one.
    #[must_use]
    pub fn and(self, field: impl Argument) -> Self {
        Self(self.0.arg(&field))
    }
}
