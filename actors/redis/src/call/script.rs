use std::{fmt, marker::PhantomData};

use redis::{Cmd, FromRedisValue};
use seawall::{
    Call, Failure,
    call::{Attempt, CallTraits, TagWriter},
};

use super::{
    Argument,
    ask::{decode, weight},
};
use crate::{Redis, downstream::How};

/// A script of Lua, which the server runs with nobody else's commands in between. It is sent by its hash, and in full where
/// the server does not know it: once after it started.
///
/// ```
/// use seawall_redis::Script;
///
/// let take = Script::<i64>::new("return redis.call('DECRBY', KEYS[1], ARGV[1])").key("stock:7").arg(2);
/// ```
pub struct Script<R> {
    script: redis::Script,
    source: String,
    keys: Vec<Vec<u8>>,
    arguments: Vec<Vec<u8>>,
    idempotent: bool,
    invalidates: Vec<String>,
    reply: PhantomData<fn() -> R>,
}

impl<R> Script<R> {
    /// A script of this source. What differs from call to call is a key or an argument, never a part of the source.
    pub fn new(source: &str) -> Self {
        Self {
            script: redis::Script::new(source),
            source: source.to_owned(),
            keys: Vec::new(),
            arguments: Vec::new(),
            idempotent: false,
            invalidates: Vec::new(),
            reply: PhantomData,
        }
    }

    /// One more of `KEYS`: all that it touches belongs there.
    #[must_use]
    pub fn key(mut self, key: impl Argument) -> Self {
        self.keys.push(key.bytes().into_owned());
        self
    }

    /// One more of `ARGV`.
    #[must_use]
    pub fn arg(mut self, argument: impl Argument) -> Self {
        self.arguments.push(argument.bytes().into_owned());
        self
    }

    /// Says that running it twice does no more than running it once.
    #[must_use]
    pub fn idempotent(mut self) -> Self {
        self.idempotent = true;
        self
    }

    /// What it changes: kept replies with this tag are not served again.
    #[must_use]
    pub fn invalidating(mut self, tag: impl fmt::Display) -> Self {
        self.invalidates.push(tag.to_string());
        self
    }

    fn command(&self, name: &str, script: &str) -> Cmd {
        let mut command = Cmd::new();
        command.arg(name).arg(script).arg(self.keys.len());
        self.keys.iter().chain(&self.arguments).for_each(|argument| _ = command.arg(&**argument));
        command
    }
}

impl<R> fmt::Debug for Script<R> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Script").field("hash", &self.script.get_hash()).finish_non_exhaustive()
    }
}

impl<R: FromRedisValue + Send + Sync + 'static> Call<Redis> for Script<R> {
    type Reply = R;
    const NAME: &'static str = "Script";

    fn traits(&self) -> CallTraits {
        CallTraits { idempotent: self.idempotent, priority: None }
    }

    fn invalidates(&self, tags: &mut TagWriter) {
        self.invalidates.iter().for_each(|tag| tags.tag(tag));
    }

    /// Whatever its reply's type, one call to settings and metrics.
    fn identity() -> std::any::TypeId {
        std::any::TypeId::of::<Script<()>>()
    }

    async fn attempt(&self, redis: &Redis, attempt: &Attempt) -> Result<R, Failure> {
        let by_hash = self.command("EVALSHA", self.script.get_hash());
        let how = How::partial(self.idempotent);
        let answer = match redis.ask(&by_hash, how, attempt).await {
            Err(failure) if failure.get_code() == Some("NOSCRIPT") => {
                redis.ask(&self.command("EVAL", &self.source), how, attempt).await
            }
            answer => answer,
        }?;
        attempt.set_reply_bytes(weight(&answer));
        decode(answer)
    }
}
