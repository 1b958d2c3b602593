use redis::{Cmd, FromRedisValue};
use seawall::{
    Call, Failure,
    call::{Attempt, Cacheable, CallTraits, KeyWriter, Sharing, TagWriter},
};

use super::{
    Argument, Ask, Piped,
    ask::{decode, weight},
};
use crate::{Redis, downstream::How, failure};

/// Any command, its answer as an `R`. Whether it may be made twice is the caller's to say.
///
/// ```
/// use seawall_redis::Command;
///
/// let best: Command<Vec<String>> = Command::new("ZRANGE").arg("scores").arg(0).arg(9).idempotent().cached();
/// ```
///
/// One that waits (`BLPOP`, `XREAD BLOCK`) gets a connection to itself. What would change a connection for others (`SELECT`,
/// `SUBSCRIBE`, `MULTI`, ..) is refused.
pub struct Command<R>(Ask<R>);

impl<R> Command<R> {
    /// The command of this name, one word; a subcommand is its first argument.
    pub fn new(name: &str) -> Self {
        Self(Ask::new(name, false))
    }

    /// One more argument.
    #[must_use]
    pub fn arg(self, argument: impl Argument) -> Self {
        Self(self.0.arg(&argument))
    }

    /// Says that making it twice does no more than making it once.
    #[must_use]
    pub fn idempotent(mut self) -> Self {
        self.0.idempotent = true;
        self
    }

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

impl<R> std::fmt::Debug for Command<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl<R> Piped for Command<R> {
    fn command(&self) -> &Cmd {
        &self.0.command
    }

    fn is_idempotent(&self) -> bool {
        self.0.idempotent
    }
}

impl<R: FromRedisValue + Send + Sync + 'static> Call<Redis> for Command<R> {
    type Reply = R;
    const NAME: &'static str = "Command";

    fn traits(&self) -> CallTraits {
        CallTraits { idempotent: self.0.idempotent, priority: None }
    }

    fn sharing() -> Option<Sharing<R>> {
        Some(Sharing::new())
    }

    fn cache_key(&self, key: &mut KeyWriter<'_>) -> Cacheable {
        self.0.cache_key(key)
    }

    fn tags(&self, tags: &mut TagWriter) {
        self.0.tags(tags);
    }

    fn invalidates(&self, tags: &mut TagWriter) {
        self.0.invalidates(tags);
    }

    /// `Command<String>` and `Command<u64>` are one call to settings and metrics.
    fn identity() -> std::any::TypeId {
        std::any::TypeId::of::<Command<()>>()
    }

    async fn attempt(&self, redis: &Redis, attempt: &Attempt) -> Result<R, Failure> {
        let command = &self.0.command;
        let answer = match Manners::of(command) {
            Manners::Ordinary => redis.ask(command, How::whole(self.0.idempotent), attempt).await?,
            Manners::Scripted => redis.ask(command, How::partial(self.0.idempotent), attempt).await?,
            Manners::Waits => redis.ask_alone(command, attempt).await?,
            Manners::Stateful => return Err(stateful(command)),
        };
        attempt.set_reply_bytes(weight(&answer));
        decode(answer)
    }
}

/// How a command behaves on a connection that others share.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manners {
    Ordinary,
    /// It runs code, which may fail half way.
    Scripted,
    /// It has others wait.
    Waits,
    /// It changes the connection for others, or its answers do not match its questions.
    Stateful,
}

impl Manners {
    pub(super) fn of(command: &Cmd) -> Self {
        let mut words = command.args_iter().filter_map(|argument| match argument {
            redis::Arg::Simple(word) => Some(word),
            _ => None,
        });
        let name = words.next().unwrap_or_default();
        let is = |names: &[&str]| names.iter().any(|known| name.eq_ignore_ascii_case(known.as_bytes()));
        if is(&[
            "ASKING",
            "AUTH",
            "CLIENT",
            "DISCARD",
            "EXEC",
            "HELLO",
            "MONITOR",
            "MULTI",
            "PSUBSCRIBE",
            "PSYNC",
            "PUNSUBSCRIBE",
            "QUIT",
            "READONLY",
            "READWRITE",
            "RESET",
            "SELECT",
            "SSUBSCRIBE",
            "SUBSCRIBE",
            "SUNSUBSCRIBE",
            "SYNC",
            "UNSUBSCRIBE",
            "UNWATCH",
            "WATCH",
        ]) {
            return Self::Stateful;
        }
        if is(&[
            "BLMOVE",
            "BLMPOP",
            "BLPOP",
            "BRPOP",
            "BRPOPLPUSH",
            "BZMPOP",
            "BZPOPMAX",
            "BZPOPMIN",
            "WAIT",
            "WAITAOF",
        ]) {
            return Self::Waits;
        }
        if is(&["XREAD", "XREADGROUP"]) && words.any(|word| word.eq_ignore_ascii_case(b"BLOCK")) {
            return Self::Waits;
        }
        match is(&["EVAL", "EVALSHA", "FCALL"]) {
            true => Self::Scripted,
            false => Self::Ordinary,
        }
    }
}

pub(super) fn stateful(command: &Cmd) -> Failure {
    let name = match command.args_iter().next() {
        Some(redis::Arg::Simple(name)) => String::from_utf8_lossy(name).to_ascii_uppercase(),
        _ => String::new(),
    };
    failure::unsendable(format!(
        "{name} would change the connection for all who share it; see `Transaction`, and the service's settings"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_others_wait_is_told_from_what_does_not() {
        let manners = |words: &[&str]| {
            let mut command = Cmd::new();
            words.iter().for_each(|word| _ = command.arg(word));
            Manners::of(&command)
        };
        assert_eq!(manners(&["GET", "BLPOP"]), Manners::Ordinary);
        assert_eq!(manners(&["blpop", "queue", "0"]), Manners::Waits);
        assert_eq!(manners(&["XREAD", "STREAMS", "s", "0"]), Manners::Ordinary);
        assert_eq!(manners(&["XREAD", "block", "0", "STREAMS", "s", "0"]), Manners::Waits);
        assert_eq!(manners(&["EVALSHA", "x", "0"]), Manners::Scripted);
        assert_eq!(manners(&["Select", "1"]), Manners::Stateful);
        assert_eq!(manners(&[]), Manners::Ordinary);
    }
}
