use std::{any::type_name, fmt, marker::PhantomData};

use redis::{Cmd, FromRedisValue, Value};
use seawall::{
    call::{Cacheable, KeyWriter, TagWriter},
    downstream::Failure,
};
use serde::{Serialize, Serializer};

use super::Argument;
use crate::failure;

/// What all calls of one command are made of.
pub(crate) struct Ask<R> {
    pub(crate) command: Cmd,
    pub(crate) idempotent: bool,
    cached: bool,
    tags: Vec<String>,
    invalidates: Vec<String>,
    reply: PhantomData<fn() -> R>,
}

impl<R> Ask<R> {
    pub(crate) fn new(name: &str, idempotent: bool) -> Self {
        let mut command = Cmd::new();
        command.arg(name);
        Self {
            command,
            idempotent,
            cached: false,
            tags: Vec::new(),
            invalidates: Vec::new(),
            reply: PhantomData,
        }
    }

    pub(crate) fn arg(mut self, argument: &(impl Argument + ?Sized)) -> Self {
        self.command.arg(&*argument.bytes());
        self
    }

    pub(crate) fn cached(&mut self) {
        self.cached = true;
    }

    pub(crate) fn tag(&mut self, tag: &impl fmt::Display) {
        self.tags.push(tag.to_string());
    }

    pub(crate) fn invalidate(&mut self, tag: &impl fmt::Display) {
        self.invalidates.push(tag.to_string());
    }

    /// The command with all its arguments, and the type that its answer becomes: one command may be asked for as two types.
    pub(crate) fn cache_key(&self, key: &mut KeyWriter<'_>) -> Cacheable {
        if !self.cached {
            return Cacheable::No;
        }
        key.value(type_name::<R>());
        for argument in self.command.args_iter() {
            match argument {
                redis::Arg::Simple(bytes) => key.value(&Raw(bytes)),
                // No command of a call has a cursor or another stand-in.
                _ => return Cacheable::No,
            }
        }
        Cacheable::Yes
    }

    pub(crate) fn tags(&self, tags: &mut TagWriter) {
        self.tags.iter().for_each(|tag| tags.tag(tag));
    }

    pub(crate) fn invalidates(&self, tags: &mut TagWriter) {
        self.invalidates.iter().for_each(|tag| tags.tag(tag));
    }
}

impl<R> fmt::Debug for Ask<R> {
    /// Without arguments: they may be anything.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut arguments = self.command.args_iter();
        let name = arguments.next().map(|name| match name {
            redis::Arg::Simple(name) => String::from_utf8_lossy(name).into_owned(),
            _ => String::new(),
        });
        f.debug_struct("Ask")
            .field("command", &name.unwrap_or_default())
            .field("arguments", &arguments.len())
            .finish()
    }
}

struct Raw<'a>(&'a [u8]);

impl Serialize for Raw<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(self.0)
    }
}

/// Makes a reply of an answer.
///
/// # Errors
/// If it is not of this type.
pub(crate) fn decode<R: FromRedisValue>(answer: Value) -> Result<R, Failure> {
    R::from_redis_value(answer).map_err(|_| failure::undecodable(type_name::<R>()))
}

/// About how large an answer is: what it weighs in a cache.
pub(crate) fn weight(answer: &Value) -> usize {
    const FIXED: usize = 16;
    match answer {
        Value::BulkString(bytes) => bytes.len(),
        Value::SimpleString(text) => text.len(),
        Value::Array(items) | Value::Set(items) => items.iter().map(weight).sum::<usize>() + FIXED,
        Value::Map(entries) => {
            entries.iter().map(|(key, value)| weight(key) + weight(value)).sum::<usize>() + FIXED
        }
        Value::VerbatimString { text, .. } => text.len(),
        _ => FIXED,
    }
}

/// Gives a call of one command what they all have: options, and how it is sent.
macro_rules! calls {
    ($type:ident < $($generic:ident),* > => $reply:ty, $name:literal $(, negative = $negative:expr)?) => {
        impl<$($generic),*> $type<$($generic),*> {
            /// Keeps its reply in the cache of its service, as the service's `cache` settings say.
            #[must_use]
            pub fn cached(mut self) -> Self {
                self.0.cached();
                self
            }

            /// What its kept reply is about, so that a write can invalidate it.
            #[must_use]
            pub fn tagged(mut self, tag: impl std::fmt::Display) -> Self {
                self.0.tag(&tag);
                self
            }

            /// What this call changes: kept replies with this tag are not served again.
            #[must_use]
            pub fn invalidating(mut self, tag: impl std::fmt::Display) -> Self {
                self.0.invalidate(&tag);
                self
            }
        }

        impl<$($generic),*> std::fmt::Debug for $type<$($generic),*> {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }

        impl<$($generic),*> $crate::call::Piped for $type<$($generic),*> {
            fn command(&self) -> &redis::Cmd {
                &self.0.command
            }

            fn is_idempotent(&self) -> bool {
                self.0.idempotent
            }
        }

        impl<$($generic: redis::FromRedisValue + Send + Sync + 'static),*> seawall::Call<$crate::Redis>
            for $type<$($generic),*>
        {
            type Reply = $reply;
            const NAME: &'static str = $name;

            fn traits(&self) -> seawall::call::CallTraits {
                seawall::call::CallTraits { idempotent: self.0.idempotent, priority: None }
            }

            fn sharing() -> Option<seawall::call::Sharing<Self::Reply>> {
                Some(seawall::call::Sharing::new())
            }

            fn cache_key(&self, key: &mut seawall::call::KeyWriter<'_>) -> seawall::call::Cacheable {
                self.0.cache_key(key)
            }

            fn tags(&self, tags: &mut seawall::call::TagWriter) {
                self.0.tags(tags);
            }

            fn invalidates(&self, tags: &mut seawall::call::TagWriter) {
                self.0.invalidates(tags);
            }

            $(fn is_negative(&self, reply: &Self::Reply) -> bool {
                let negative: fn(&Self::Reply) -> bool = $negative;
                negative(reply)
            })?

            /// `Get<String>` and `Get<u64>` are one call to settings and metrics.
            fn identity() -> std::any::TypeId {
                struct Any;
                std::any::TypeId::of::<Any>()
            }

            async fn attempt(
                &self,
                redis: &$crate::Redis,
                attempt: &seawall::call::Attempt,
            ) -> Result<Self::Reply, seawall::Failure> {
                let answer = redis.ask(&self.0.command, $crate::downstream::How::whole(self.0.idempotent), attempt).await?;
                attempt.set_reply_bytes($crate::call::ask::weight(&answer));
                $crate::call::ask::decode(answer)
            }
        }
    };
}

pub(crate) use calls;
