//! Parameters of a call: what a statement gets beside its text, and what tells the call from others in a cache.

use std::{error::Error, fmt};

use bytes::BytesMut;
use seawall::call::KeyWriter;
use serde::Serialize;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

/// A value that a call binds.
///
/// Implemented for whatever is both [`ToSql`] and `Serialize`: the first gives the value to the server, the second tells
/// the call from others of the same statement in a cache. A value that is no `Serialize` is bound by
/// [`bind_sql`](crate::Query::bind_sql), and its call is never kept.
pub trait Parameter: ToSql + Send + Sync + 'static {
    #[doc(hidden)]
    fn write_key(&self, key: &mut KeyWriter<'_>);
    #[doc(hidden)]
    fn as_sql(&self) -> &(dyn ToSql + Sync);
}

impl<T: ToSql + Serialize + Send + Sync + 'static> Parameter for T {
    fn write_key(&self, key: &mut KeyWriter<'_>) {
        key.value(self);
    }

    fn as_sql(&self) -> &(dyn ToSql + Sync) {
        self
    }
}

/// One that was bound.
pub(crate) enum Value {
    Keyed(Box<dyn Parameter>),
    Plain(Box<dyn ToSql + Send + Sync>),
}

/// All that were, in their order.
#[derive(Default)]
pub(crate) struct Values(pub(crate) Vec<Value>);

impl Values {
    /// As the client takes them.
    pub(crate) fn as_sql(&self) -> Vec<&(dyn ToSql + Sync)> {
        fn as_sql(value: &Value) -> &(dyn ToSql + Sync) {
            match value {
                Value::Keyed(value) => value.as_sql(),
                Value::Plain(value) => value.as_ref(),
            }
        }
        self.0.iter().map(as_sql).collect()
    }

    /// Writes them to a key; `false` if one of them cannot be.
    pub(crate) fn write_key(&self, key: &mut KeyWriter<'_>) -> bool {
        self.0.iter().all(|value| match value {
            Value::Keyed(value) => {
                value.write_key(key);
                true
            }
            Value::Plain(_) => false,
        })
    }
}

impl fmt::Debug for Values {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{} values]", self.0.len())
    }
}

/// A value on its way: the client would write it to its log.
pub(crate) struct Bound<'a>(pub(crate) &'a (dyn ToSql + Sync));

impl fmt::Debug for Bound<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("..")
    }
}

impl ToSql for Bound<'_> {
    fn to_sql(&self, kind: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        self.0.to_sql_checked(kind, out)
    }

    /// The value itself is asked when it is written.
    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}
