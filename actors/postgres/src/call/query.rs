use std::{
    any::{TypeId, type_name},
    borrow::Cow,
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
    marker::PhantomData,
};

use seawall::{
    Priority,
    call::{Attempt, Cacheable, Call, CallTraits, KeyWriter, Sharing, TagWriter},
    downstream::Failure,
};
use serde::de::DeserializeOwned;
use tokio_postgres::types::ToSql;

use crate::{
    Access, Postgres,
    params::{Parameter, Value, Values},
};

/// A statement, its parameters, and what else is said of it.
#[derive(Debug)]
struct Statement {
    sql: Cow<'static, str>,
    values: Values,
    access: Access,
    idempotent: bool,
    cached: bool,
    priority: Option<Priority>,
    tags: Vec<String>,
    invalidates: Vec<String>,
}

impl Statement {
    fn new(sql: Cow<'static, str>) -> Self {
        Self {
            sql,
            values: Values::default(),
            access: Access::ReadWrite,
            idempotent: false,
            cached: false,
            priority: None,
            tags: Vec::new(),
            invalidates: Vec::new(),
        }
    }

    fn traits(&self) -> CallTraits {
        CallTraits { idempotent: self.idempotent, priority: self.priority }
    }

    fn write_key<T: 'static>(&self, key: &mut KeyWriter<'_>) -> Cacheable {
        if !self.cached {
            return Cacheable::No;
        }
        // Calls of one name share their entries, whatever they reply: so what is replied belongs to the key.
        let mut hasher = DefaultHasher::new();
        TypeId::of::<T>().hash(&mut hasher);
        key.value(&(type_name::<T>(), hasher.finish(), &*self.sql));
        if self.values.write_key(key) { Cacheable::Yes } else { Cacheable::No }
    }
}

fn write(tags: &[String], writer: &mut TagWriter) {
    for tag in tags {
        writer.tag(tag);
    }
}

macro_rules! statement {
    ($call:ident) => {
        impl<T> $call<T> {
            /// A call of this statement. Its parameters are `$1`, `$2` and so on, bound in their order: a value is never
            /// part of the text.
            pub fn new(sql: impl Into<Cow<'static, str>>) -> Self {
                Self { statement: Statement::new(sql.into()), reply: PhantomData }
            }

            common!();

            /// Says that the statement changes nothing: it may be made twice, and a replica may answer it.
            #[must_use]
            pub fn read_only(mut self) -> Self {
                self.statement.access = Access::ReadOnly;
                self.statement.idempotent = true;
                self
            }

            /// Lets the reply be kept, by the settings of `cache`. The statement's text and all values tell it from others.
            /// Only of calls that change nothing.
            #[must_use]
            pub fn cached(mut self) -> Self {
                self.statement.cached = true;
                self.read_only()
            }

            /// Names what the kept reply is about, so that a write can invalidate it.
            #[must_use]
            pub fn tag(mut self, tag: impl fmt::Display) -> Self {
                self.statement.tags.push(tag.to_string());
                self
            }
        }

        impl<T> fmt::Debug for $call<T> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_tuple(stringify!($call)).field(&self.statement).finish()
            }
        }
    };
}

macro_rules! common {
    () => {
        /// Binds the next parameter.
        #[must_use]
        pub fn bind(mut self, value: impl Parameter) -> Self {
            self.statement.values.0.push(Value::Keyed(Box::new(value)));
            self
        }

        /// Binds the next parameter, of a type that is no `Serialize`: the call's reply is never kept.
        #[must_use]
        pub fn bind_sql(mut self, value: impl ToSql + Send + Sync + 'static) -> Self {
            self.statement.values.0.push(Value::Plain(Box::new(value)));
            self
        }

        /// Says that making the call twice does no more than making it once.
        #[must_use]
        pub fn idempotent(mut self) -> Self {
            self.statement.idempotent = true;
            self
        }

        /// The call's own priority, in place of the settings'.
        #[must_use]
        pub fn priority(mut self, priority: Priority) -> Self {
            self.statement.priority = Some(priority);
            self
        }

        /// Names what the statement changes: kept replies with this tag are not served again.
        #[must_use]
        pub fn invalidates(mut self, tag: impl fmt::Display) -> Self {
            self.statement.invalidates.push(tag.to_string());
            self
        }
    };
}

macro_rules! call {
    ($call:ident, $name:literal, $reply:ty, $method:ident) => {
        impl<T: DeserializeOwned + Send + Sync + 'static> Call<Postgres> for $call<T> {
            type Reply = $reply;
            const NAME: &'static str = $name;

            fn traits(&self) -> CallTraits {
                self.statement.traits()
            }

            fn sharing() -> Option<Sharing<Self::Reply>> {
                Some(Sharing::new())
            }

            fn cache_key(&self, key: &mut KeyWriter<'_>) -> Cacheable {
                self.statement.write_key::<T>(key)
            }

            fn tags(&self, tags: &mut TagWriter) {
                write(&self.statement.tags, tags);
            }

            fn invalidates(&self, tags: &mut TagWriter) {
                write(&self.statement.invalidates, tags);
            }

            // One name in settings and metrics, whatever the rows.
            fn identity() -> TypeId {
                TypeId::of::<$call<()>>()
            }

            async fn attempt(&self, postgres: &Postgres, attempt: &Attempt) -> Result<Self::Reply, Failure> {
                let Statement { sql, values, access, .. } = &self.statement;
                let session = postgres.session(attempt, *access).await?;
                session.$method(sql, &values.as_sql()).await
            }
        }
    };
}

/// All rows of a statement, each a `T`.
///
/// ```
/// use seawall_postgres::Query;
///
/// #[derive(serde::Deserialize)]
/// struct User {
///     id: i64,
///     name: String,
/// }
///
/// let call = Query::<User>::new("select id, name from users where city = $1").bind("Berlin".to_owned()).read_only();
/// ```
pub struct Query<T> {
    statement: Statement,
    reply: PhantomData<fn() -> T>,
}

/// The one row of a statement; none, or several, are the call's failure.
pub struct QueryOne<T> {
    statement: Statement,
    reply: PhantomData<fn() -> T>,
}

/// The row of a statement, if there is one; several are the call's failure.
pub struct QueryOpt<T> {
    statement: Statement,
    reply: PhantomData<fn() -> T>,
}

statement!(Query);
statement!(QueryOne);
statement!(QueryOpt);
call!(Query, "Query", Vec<T>, query);
call!(QueryOne, "QueryOne", T, query_one);
call!(QueryOpt, "QueryOpt", Option<T>, query_opt);

/// A statement whose reply is the number of rows that it changed.
///
/// It may not be made twice unless [`idempotent`](Self::idempotent) says so: one whose answer did not come is reported as
/// such, and not repeated.
#[derive(Debug)]
pub struct Execute {
    statement: Statement,
}

impl Execute {
    /// A call of this statement. Its parameters are `$1`, `$2` and so on, bound in their order: a value is never part of
    /// the text.
    pub fn new(sql: impl Into<Cow<'static, str>>) -> Self {
        Self { statement: Statement::new(sql.into()) }
    }

    common!();
}

impl Call<Postgres> for Execute {
    type Reply = u64;
    const NAME: &'static str = "Execute";

    fn traits(&self) -> CallTraits {
        self.statement.traits()
    }

    fn invalidates(&self, tags: &mut TagWriter) {
        write(&self.statement.invalidates, tags);
    }

    async fn attempt(&self, postgres: &Postgres, attempt: &Attempt) -> Result<u64, Failure> {
        let session = postgres.session(attempt, Access::ReadWrite).await?;
        session.execute(&self.statement.sql, &self.statement.values.as_sql()).await
    }
}
