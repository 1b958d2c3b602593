use std::{fmt, marker::PhantomData};

use redis::{Cmd, FromRedisValue, Value};
use seawall::{
    Call, Failure,
    call::{Attempt, CallTraits, TagWriter},
};

use super::{
    ask::{decode, weight},
    command::{Manners, stateful},
};
use crate::{
    Redis,
    failure::{self, Effect},
};

/// A command that may be one of several.
pub trait Piped {
    /// The command.
    #[doc(hidden)]
    fn command(&self) -> &Cmd;

    /// Whether making it twice does no more than making it once.
    #[doc(hidden)]
    fn is_idempotent(&self) -> bool;
}

macro_rules! batches {
    ($(#[$doc:meta])* $type:ident, $name:literal, $atomic:literal) => {
        $(#[$doc])*
        pub struct $type<R = Vec<Value>>(Batch, PhantomData<fn() -> R>);

        impl<R> $type<R> {
            /// One without commands.
            pub fn new() -> Self {
                let mut commands = redis::Pipeline::new();
                if $atomic {
                    commands.atomic();
                }
                Self(Batch { commands, idempotent: true, refused: None, invalidates: Vec::new() }, PhantomData)
            }

            /// And this command.
            #[must_use]
            pub fn and(mut self, command: impl Piped) -> Self {
                self.0.add(&command);
                self
            }

            /// What this call changes: kept replies with this tag are not served again.
            #[must_use]
            pub fn invalidating(mut self, tag: impl fmt::Display) -> Self {
                self.0.invalidates.push(tag.to_string());
                self
            }
        }

        impl<R> Default for $type<R> {
            fn default() -> Self {
                Self::new()
            }
        }

        impl<R> fmt::Debug for $type<R> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.debug_struct($name).field("commands", &self.0.commands.len()).finish()
            }
        }

        impl<R: FromRedisValue + Send + Sync + 'static> Call<Redis> for $type<R> {
            type Reply = R;
            const NAME: &'static str = $name;

            fn traits(&self) -> CallTraits {
                CallTraits { idempotent: self.0.idempotent, priority: None }
            }

            fn invalidates(&self, tags: &mut TagWriter) {
                self.0.invalidates.iter().for_each(|tag| tags.tag(tag));
            }

            /// Whatever its reply's type, one call to settings and metrics.
            fn identity() -> std::any::TypeId {
                std::any::TypeId::of::<$type<()>>()
            }

            async fn attempt(&self, redis: &Redis, attempt: &Attempt) -> Result<R, Failure> {
                let answers = self.0.attempt(redis, attempt).await?;
                let answer = Value::Array(answers);
                attempt.set_reply_bytes(weight(&answer));
                decode(answer)
            }
        }
    };
}

batches! {
    /// Several commands in one piece: one round trip, each carried out by itself. The reply is a tuple, or a list, of theirs.
    ///
    /// ```
    /// use seawall_redis::{Get, Incr, Pipeline};
    ///
    /// let both = Pipeline::<(Option<String>, i64)>::new().and(Get::<String>::new("name")).and(Incr::new("visits"));
    /// ```
    ///
    /// The first that is refused fails the call; the others have been carried out all the same.
    Pipeline, "Pipeline", false
}

batches! {
    /// Several commands as one: nobody else's come in between, and none is carried out if the server refuses to take one
    /// (`MULTI`, `EXEC`). One that fails when it is carried out, on a value of another type say, fails the call and undoes
    /// nothing: Redis has no rollback.
    Transaction, "Transaction", true
}

struct Batch {
    commands: redis::Pipeline,
    idempotent: bool,
    /// The first that must not be among them.
    refused: Option<Cmd>,
    invalidates: Vec<String>,
}

impl Batch {
    fn add(&mut self, piped: &impl Piped) {
        let command = piped.command();
        // Within MULTI nothing waits; a pipeline would have all after it wait.
        let waits = Manners::of(command) == Manners::Waits && !self.commands.is_transaction();
        if self.refused.is_none() && (waits || Manners::of(command) == Manners::Stateful) {
            self.refused = Some(command.clone());
        }
        self.idempotent &= piped.is_idempotent();
        self.commands.add_command(command.clone());
    }

    async fn attempt(&self, redis: &Redis, attempt: &Attempt) -> Result<Vec<Value>, Failure> {
        if let Some(refused) = &self.refused {
            return Err(match Manners::of(refused) {
                Manners::Waits => {
                    failure::unsendable("a command that waits has all after it wait; send it by itself")
                }
                _ => stateful(refused),
            });
        }
        if self.commands.is_empty() {
            return Ok(Vec::new());
        }
        let mut answers = redis.ask_all(&self.commands, self.idempotent, attempt).await?;
        if self.commands.is_transaction() {
            answers = match answers.pop() {
                Some(Value::Array(answers)) => answers,
                Some(Value::ServerError(error)) => {
                    return Err(redis.refused(failure::of_answer(&error, Effect::Whole)));
                }
                _ => return Err(failure::undecodable("answer of a transaction")),
            };
        }
        let refused = answers.iter().enumerate().find_map(|(index, answer)| match answer {
            Value::ServerError(error) => Some((index, error)),
            _ => None,
        });
        match refused {
            Some((index, error)) => Err(redis.refused(failure::of_one(index, error))),
            None => Ok(answers),
        }
    }
}
