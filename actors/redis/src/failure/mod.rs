//! Errors of Redis and of the connections to it, classified for the policies. The table of what becomes of which is the
//! one of this crate's own documentation, `table.md`.

use std::{borrow::Cow, fmt, io};

use redis::{ErrorKind, RedisError, ServerError};
use seawall::downstream::{Blame, Failure, Reached, Stage, Symptom};

/// What of an error's text is shown at most: a script's own error may hold anything.
const SHOWN: usize = 200;

/// Bytes of a code.
const LONGEST_CODE: usize = 64;

/// How much may have happened when a server says no.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// One command, which is done or refused.
    Whole,
    /// Several, or a script: some of it may be done.
    Partial,
}

/// No connection of ours came free.
pub(crate) fn no_connection() -> Failure {
    Failure::timeout(Stage::Pool).code("pool")
}

/// No connection was made in time.
pub(crate) fn connect_timeout() -> Failure {
    Failure::timeout(Stage::Connect).code("connect_timeout")
}

/// A host has no address.
pub(crate) fn of_name(error: &io::Error, whom: &impl fmt::Display) -> Failure {
    unconnected(Blame::Downstream, "dns", format!("{whom} has a host without an address"), error)
}

/// A connection could not be made.
pub(crate) fn of_connecting(error: &io::Error, whom: &impl fmt::Display) -> Failure {
    let (blame, code, what) = match error.kind() {
        io::ErrorKind::ConnectionRefused => (Blame::Downstream, "refused", "refuses connections"),
        _ if is_local_limit(error) => (Blame::Local, "local", "is not reached for a limit of this machine"),
        _ => (Blame::Downstream, "network", "cannot be reached"),
    };
    unconnected(blame, code, format!("{whom} {what}"), error)
}

fn unconnected(blame: Blame, code: &'static str, what: String, error: &io::Error) -> Failure {
    Failure::new(blame, what)
        .symptom(Symptom::Connect)
        .reached(Reached::No)
        .code(code)
        .caused_by(Said(error.to_string()))
}

/// No descriptor left for the process or the system, no local port, no memory.
fn is_local_limit(error: &io::Error) -> bool {
    const ENFILE: i32 = 23;
    const EMFILE: i32 = 24;
    matches!(error.kind(), io::ErrorKind::AddrNotAvailable | io::ErrorKind::OutOfMemory)
        || cfg!(unix) && matches!(error.raw_os_error(), Some(ENFILE | EMFILE))
}

/// TLS was not agreed upon.
pub(crate) fn of_tls(error: &io::Error, whom: &impl fmt::Display) -> Failure {
    let what = format!("{whom} agrees to no TLS; see `tls.ca`, `tls.server_name`, and the port");
    unconnected(Blame::Downstream, "tls", what, error)
}

/// The first words with a new connection failed: nothing of any call was sent.
pub(crate) fn of_handshake(error: &RedisError, whom: &impl fmt::Display) -> Failure {
    let refused = |code: &'static str, what: String| {
        Failure::new(Blame::Local, what).symptom(Symptom::Response).reached(Reached::No).code(code)
    };
    match server_error(error) {
        Some((code @ "WRONGPASS", _)) => refused(
            "WRONGPASS",
            format!(
                "{whom} does not know this user and password ({code}); see `redis.username` and `redis.password`"
            ),
        ),
        Some((code @ "NOAUTH", _)) => {
            refused("NOAUTH", format!("{whom} wants a password ({code}); see `redis.password`"))
        }
        Some((code, text)) => of_server(code, text, Effect::Whole).reached(Reached::No),
        None if error.kind() == ErrorKind::AuthenticationFailed => refused(
            "WRONGPASS",
            format!("{whom} does not know this user and password; see `redis.username` and `redis.password`"),
        ),
        None if error.is_io_error() => {
            let what = format!("{whom} closed the connection before it was ready");
            unconnected(Blame::Downstream, "network", what, &io::Error::other(error.to_string()))
        }
        None => protocol(error).reached(Reached::No),
    }
}

/// A command that was sent came to nothing.
pub(crate) fn of_command(error: &RedisError, effect: Effect) -> Failure {
    match server_error(error) {
        Some(("EXECABORT", text)) => of_aborted(error, text),
        Some((code, text)) => of_server(code, text, effect),
        None if error.is_io_error() => reset(),
        None => protocol(error),
    }
}

/// A transaction was not carried out, because the server did not take one of its commands: which says whose fault it was.
fn of_aborted(error: &RedisError, text: &str) -> Failure {
    let refused = error.clone().into_server_errors();
    let Some((index, refused)) = refused.as_deref().and_then(<[_]>::first) else {
        return of_server("EXECABORT", text, Effect::Whole);
    };
    let of_one = of_one(*index, refused).reached(Reached::No);
    match of_one.blame() {
        Blame::Caller => of_one.code("EXECABORT"),
        _ => of_one,
    }
}

/// The connection broke.
pub(crate) fn reset() -> Failure {
    Failure::new(
        Blame::Downstream,
        "the connection broke before the answer came; whether the command was carried out is unknown",
    )
    .symptom(Symptom::Reset)
    .reached(Reached::Maybe)
    .code("reset")
}

/// The connection gave no answer, not even to a PING, and was given up before the attempt's time was.
pub(crate) fn hung() -> Failure {
    Failure::new(
        Blame::Downstream,
        "the connection answers nothing any more, no PING either; whether the command was carried out is unknown",
    )
    .symptom(Symptom::Timeout(Stage::Attempt))
    .reached(Reached::Maybe)
    .code("hung")
}

fn protocol(error: &RedisError) -> Failure {
    Failure::new(Blame::Downstream, "the answer is no valid Redis; is the port right?")
        .symptom(Symptom::Response)
        .reached(Reached::Maybe)
        .code("protocol")
        .caused_by(Said(error.category().to_owned()))
}

/// Each node of a cluster named another.
pub(crate) fn sent_around() -> Failure {
    Failure::new(Blame::Topology, "the nodes of the cluster do not agree on who has the key")
        .symptom(Symptom::Response)
        .reached(Reached::No)
        .code("MOVED")
}

/// The answer is not what the call's type makes of it. Its content is not repeated.
pub(crate) fn undecodable(reply: &str) -> Failure {
    Failure::new(Blame::Caller, format!("the answer is no {reply}; is it the right key, and the right type?"))
        .symptom(Symptom::Response)
        .reached(Reached::Yes)
        .code("decode")
}

/// A command that must not, or cannot, be sent.
pub(crate) fn unsendable(why: impl Into<Cow<'static, str>>) -> Failure {
    Failure::new(Blame::Caller, why).reached(Reached::No).code("command")
}

/// What a server says by an error of its own: its code, and its text.
fn server_error(error: &RedisError) -> Option<(&str, &str)> {
    match error.kind() {
        ErrorKind::Server(_) | ErrorKind::Extension => {
            Some((error.code()?, error.detail().unwrap_or_default()))
        }
        _ => None,
    }
}

/// An error among the answers to several commands.
pub(crate) fn of_answer(error: &ServerError, effect: Effect) -> Failure {
    of_server(error.code(), error.details().unwrap_or_default(), effect)
}

/// The error of one command among several, by its place.
pub(crate) fn of_one(index: usize, error: &ServerError) -> Failure {
    let text = error.details().unwrap_or_default();
    of_server(error.code(), &format!("{} (command {})", shown(text), index + 1), Effect::Partial)
}

fn of_server(code: &str, text: &str, effect: Effect) -> Failure {
    let overcrowded = code == "ERR" && text.contains("max number of clients");
    let code = if overcrowded { "MAXCLIENTS" } else { known(code) };
    let (blame, advice) = match code {
        "READONLY" | "MOVED" | "ASK" | "TRYAGAIN" | "CLUSTERDOWN" | "MASTERDOWN" => (Blame::Topology, ""),
        "LOADING" | "OOM" | "BUSY" | "MAXCLIENTS" => (Blame::Overload, ""),
        "MISCONF" | "NOREPLICAS" => (Blame::Downstream, ""),
        "WRONGPASS" | "NOAUTH" => (Blame::Local, "; see `redis.username` and `redis.password`"),
        "NOPERM" => (Blame::Caller, "; the user of `redis.username` lacks a permission, see ACL SETUSER"),
        _ => (Blame::Caller, ""),
    };
    let refused = effect == Effect::Whole && (blame != Blame::Caller || code == "NOPERM");
    let reached = if refused { Reached::No } else { Reached::Yes };
    let failure = Failure::new(blame, format!("{code}: {}{advice}", shown(text)));
    let failure = if blame == Blame::Overload { failure } else { failure.symptom(Symptom::Response) };
    failure.reached(reached).code(code.to_owned())
}

/// A server's code. What is none, or so long that it must be text, is an error like any other: codes are words of settings
/// and of telemetry.
fn known(code: &str) -> &str {
    match code.len() {
        1..=LONGEST_CODE => code,
        _ => "ERR",
    }
}

/// A server's text, without the arguments that it repeats of a command it does not know.
fn shown(text: &str) -> &str {
    let text = text.split(", with args beginning with").next().unwrap_or_default();
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => &text[..end],
        None => text,
    }
}

/// The words of an error as the source of a failure.
#[derive(Debug)]
struct Said(String);

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Said {}

#[cfg(test)]
mod tests {
    use redis::parse_redis_value;

    use super::*;

    fn of(said: &str, effect: Effect) -> Failure {
        let answer = parse_redis_value(format!("-{said}\r\n").as_bytes()).unwrap();
        of_command(&answer.extract_error().unwrap_err(), effect)
    }

    #[test]
    fn each_code_has_its_blame() {
        for (said, blame, reached) in [
            ("LOADING Redis is loading the dataset in memory", Blame::Overload, Reached::No),
            ("BUSY Redis is busy running a script", Blame::Overload, Reached::No),
            ("MOVED 12182 127.0.0.1:7000", Blame::Topology, Reached::No),
            ("ASK 12182 127.0.0.1:7000", Blame::Topology, Reached::No),
            ("TRYAGAIN Multiple keys request during rehashing of slot", Blame::Topology, Reached::No),
            ("CLUSTERDOWN Hash slot not served", Blame::Topology, Reached::No),
            ("MISCONF Redis is configured to save RDB snapshots", Blame::Downstream, Reached::No),
            ("NOREPLICAS Not enough good replicas to write.", Blame::Downstream, Reached::No),
            ("CROSSSLOT Keys in request don't hash to the same slot", Blame::Caller, Reached::Yes),
            ("BUSYGROUP Consumer Group name already exists", Blame::Caller, Reached::Yes),
            ("WHATEVER is new", Blame::Caller, Reached::Yes),
        ] {
            let failure = of(said, Effect::Whole);
            assert_eq!((failure.blame(), failure.has_reached()), (blame, reached), "{said}");
            assert_eq!(failure.get_code(), said.split(' ').next(), "{said}");
            assert_eq!(
                of(said, Effect::Partial).has_reached(),
                Reached::Yes,
                "of several, some may be done: {said}"
            );
        }
    }

    #[test]
    fn what_cannot_be_a_code_is_none() {
        for said in ["", " nothing before it", &"X".repeat(1_000_000)] {
            let failure = of(said, Effect::Whole);
            assert_eq!(failure.get_code(), Some("ERR"), "{}", said.len());
            assert!(failure.to_string().len() < 2 * SHOWN);
        }
    }

    #[test]
    fn arguments_that_a_server_repeats_are_left_out() {
        let failure = of("ERR unknown command 'X', with args beginning with: 'canary' ", Effect::Whole);
        assert_eq!(failure.to_string(), "ERR: unknown command 'X'");
        let long = of(&format!("ERR {}", "é".repeat(1000)), Effect::Whole);
        assert_eq!(long.to_string().chars().count(), "ERR: ".len() + SHOWN);
    }
}
