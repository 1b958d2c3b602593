//! Errors of connecting and of the server, classified for the policies. The table of what becomes of which is the one of this
//! crate's own documentation, `table.md`.
//!
//! What the server says of an error may repeat values: of the row that violates a constraint, of the text that is no
//! number. Callers' errors end up in logs and answers. So a failure says the SQLSTATE, what it stands for, and the names of
//! constraint, table and column; the server's own sentence is its source only where it can name but identifiers.

use std::{fmt, io};

use seawall::{
    downstream::{Blame, Failure, Reached, Stage, Symptom},
    units::ByteSize,
};
use tokio_postgres::error::{DbError, ErrorPosition, SqlState};

use crate::{
    settings::SslMode,
    wire::{DialError, Dialler},
};

impl DialError {
    /// Whether the server has no place for one more connection now.
    pub(crate) fn is_full(&self) -> bool {
        let Self::Refused(error) = self else { return false };
        error.code().is_some_and(|code| {
            *code == SqlState::TOO_MANY_CONNECTIONS || *code == SqlState::CANNOT_CONNECT_NOW
        })
    }
}

/// No connection could be made.
pub(crate) fn of_dial(error: DialError, dialler: &Dialler) -> Failure {
    let connect = |blame, text: String, code: &'static str| {
        Failure::new(blame, text).symptom(Symptom::Connect).reached(Reached::No).code(code)
    };
    let downstream = |text, code| connect(Blame::Downstream, text, code);
    match error {
        DialError::Name(error) => {
            downstream("the server's name has no address".into(), "dns").caused_by(error)
        }
        DialError::Io(error) => {
            let (blame, text, code) = match error.kind() {
                io::ErrorKind::ConnectionRefused => {
                    (Blame::Downstream, "the server refused the connection", "refused")
                }
                _ if is_local(&error) => (Blame::Local, "this machine has no room for a connection", "local"),
                _ => (Blame::Downstream, "no connection could be made", "network"),
            };
            connect(blame, text.into(), code).caused_by(error)
        }
        DialError::Tls(why) => downstream(format!("no TLS was agreed upon: {why}"), "tls"),
        DialError::NoTls => {
            downstream("the server speaks no TLS, which `postgres.ssl_mode` asks for".into(), "tls")
        }
        DialError::Setup(why) => connect(Blame::Local, why, "setup"),
        DialError::TimedOut => Failure::timeout(Stage::Connect).code("connect_timeout"),
        DialError::ReadOnly => Failure::new(Blame::Topology, "none of the servers takes writes")
            .symptom(Symptom::Connect)
            .reached(Reached::No)
            .code("25006"),
        DialError::Holding(left) => {
            Failure::new(Blame::Overload, "the server had no place for a connection a moment ago")
                .reached(Reached::No)
                .code("53300")
                .retry_after(left)
        }
        DialError::Refused(error) => match error.as_db_error() {
            Some(said)
                if *said.code() == SqlState::TOO_MANY_CONNECTIONS
                    || *said.code() == SqlState::CANNOT_CONNECT_NOW =>
            {
                overload(said).reached(Reached::No)
            }
            Some(said) => {
                let advice = match dialler.mode() {
                    SslMode::Disable if *said.code() == SqlState::INVALID_AUTHORIZATION_SPECIFICATION => {
                        "; it may want TLS, see `postgres.ssl_mode`"
                    }
                    _ => "",
                };
                downstream(format!("the server does not let us in: {}{advice}", Code(said.code())), "refused")
                    .code(said.code().code().to_owned())
                    .caused_by(Said(said.message().to_owned()))
            }
            None => broken(error).reached(Reached::No).symptom(Symptom::Connect),
        },
    }
}

fn is_local(error: &io::Error) -> bool {
    // No descriptors in the process or the system, no memory, no port.
    const EMFILE: i32 = 24;
    const ENFILE: i32 = 23;
    error.kind() == io::ErrorKind::AddrNotAvailable
        || error.kind() == io::ErrorKind::OutOfMemory
        || matches!(error.raw_os_error(), Some(EMFILE | ENFILE))
}

/// A request failed, of a call that `may_write`.
pub(crate) fn of_request(error: tokio_postgres::Error, may_write: bool) -> Failure {
    match error.as_db_error() {
        Some(said) => of_server(said, may_write),
        None => broken(error),
    }
}

fn of_server(said: &DbError, may_write: bool) -> Failure {
    let code = said.code();
    let failure = |blame, reached| named(said, blame).reached(reached);
    match code.code() {
        "40001" | "40P01" | "55P03" => overload(said).reached(Reached::No),
        "40003" | "57P01" | "57P02" | "57P05" => {
            failure(Blame::Topology, Reached::Maybe).symptom(Symptom::Reset)
        }
        "57P03" => overload(said),
        "57014" | "25P03" => {
            failure(Blame::Downstream, Reached::Yes).symptom(Symptom::Timeout(Stage::Attempt))
        }
        "25006" if may_write => failure(Blame::Topology, Reached::No),
        text => match text.get(..2).unwrap_or_default() {
            "08" => failure(Blame::Downstream, Reached::Maybe).symptom(Symptom::Reset),
            "53" => overload(said).reached(Reached::Yes),
            "40" => failure(Blame::Caller, Reached::Yes).symptom(Symptom::Response),
            "57" | "58" | "F0" | "HV" | "XX" => {
                failure(Blame::Downstream, Reached::Yes).symptom(Symptom::Response)
            }
            "0A" | "0B" | "0F" | "0L" | "0P" | "0Z" | "20" | "21" | "22" | "23" | "24" | "25" | "26"
            | "27" | "28" | "2B" | "2D" | "2F" | "34" | "38" | "39" | "3B" | "3D" | "3F" | "42" | "44"
            | "54" | "55" | "P0" => failure(Blame::Caller, Reached::Yes).symptom(Symptom::Response),
            _ => failure(Blame::Downstream, Reached::Yes).symptom(Symptom::Response),
        },
    }
}

fn overload(said: &DbError) -> Failure {
    named(said, Blame::Overload)
}

/// The failure in words that hold no value.
fn named(said: &DbError, blame: Blame) -> Failure {
    let mut text = Code(said.code()).to_string();
    for (what, name) in [
        ("constraint", said.constraint()),
        ("table", said.table()),
        ("column", said.column()),
        ("type", said.datatype()),
    ] {
        if let Some(name) = name {
            text.push_str(&format!(", {what} \"{name}\""));
        }
    }
    if let Some(ErrorPosition::Original(position)) = said.position() {
        text.push_str(&format!(", at character {position} of the statement"));
    }
    let failure = Failure::new(blame, text).code(said.code().code().to_owned());
    // What a function raises may say anything under any code.
    if names_alone(said.code().code()) && said.routine() != Some("exec_stmt_raise") {
        failure.caused_by(Said(said.message().to_owned()))
    } else {
        failure
    }
}

/// Whether the server's sentence for this can hold identifiers alone: "relation "userz" does not exist", but not "invalid
/// input syntax for type integer: "..."", nor what a syntax error stands near to, nor what a function raised.
fn names_alone(code: &str) -> bool {
    let class = code.get(..2).unwrap_or_default();
    match class {
        "42" => code != "42601" && code != "42000",
        "0A" | "08" | "25" | "28" | "3D" | "3F" | "40" | "53" | "55" | "57" => true,
        _ => false,
    }
}

/// An SQLSTATE and what it stands for.
struct Code<'a>(&'a SqlState);

impl fmt::Display for Code<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = self.0.code();
        let meaning = match code {
            "23505" => "a unique constraint is violated",
            "23503" => "a foreign key is violated",
            "23502" => "a column must not be null",
            "23514" => "a check constraint is violated",
            "23P01" => "an exclusion constraint is violated",
            "22P02" => "a text is not of the type that it is read as",
            "22001" => "a text is too long for its column",
            "22003" => "a number is out of range",
            "22012" => "division by zero",
            "25006" => "the server takes no writes now",
            "25P02" => "the transaction has failed, and takes nothing more",
            "25P03" => "the transaction was idle for too long",
            "40001" => "it could not be serialized with what ran beside it",
            "40P01" => "it was in a deadlock with what ran beside it",
            "42601" => "a syntax error",
            "42501" => "a privilege is missing",
            "42703" => "a column does not exist",
            "42883" => "a function or operator does not exist",
            "42P01" => "a table does not exist",
            "42P18" => "the type of a parameter cannot be told",
            "53300" => "the server has no place for more connections",
            "55P03" => "a lock was not to be had in time",
            "57014" => "the server ended the statement, for a time limit or at somebody's request",
            "57P01" => "an administrator ended the session",
            "57P02" => "the server crashed",
            "57P03" => "the server is starting or stopping",
            "28P01" => "the password is wrong",
            "28000" => "it knows no such user, database or host in its rules",
            "3D000" => "the database does not exist",
            _ => match code.get(..2).unwrap_or_default() {
                "0A" => "the server does not support it",
                "22" => "a value is wrong",
                "23" => "a constraint is violated",
                "25" => "the transaction's state does not allow it",
                "42" => "the statement is wrong, or not allowed",
                "53" => "the server is out of a resource",
                "54" => "a limit of the server is exceeded",
                "55" => "the object is not in the state for it",
                "P0" => "a function raised it",
                "XX" => "an internal error of the server",
                _ => "the server refused",
            },
        };
        write!(f, "{code}: {meaning}")
    }
}

/// No answer of the server's, but an error on the way to it or back.
fn broken(error: tokio_postgres::Error) -> Failure {
    if error.is_closed() {
        return closed();
    }
    let text = error.to_string();
    match error.into_source() {
        Some(source) => match source.downcast::<io::Error>() {
            Ok(source) if source.kind() != io::ErrorKind::InvalidData => closed().caused_by(*source),
            Ok(_) => unreadable("the server's answer is no PostgreSQL"),
            // A parameter or a column of another type: the types are named, and no value is.
            Err(source) => match source.downcast::<tokio_postgres::types::WrongType>() {
                Ok(source) => request(format!("{text}: {source}")),
                Err(_) => request(text),
            },
        },
        None => request(text),
    }
}

/// The connection broke under a request.
pub(crate) fn closed() -> Failure {
    Failure::new(Blame::Downstream, "the connection broke")
        .symptom(Symptom::Reset)
        .reached(Reached::Maybe)
        .code("reset")
}

fn unreadable(text: &'static str) -> Failure {
    Failure::new(Blame::Downstream, text).symptom(Symptom::Response).reached(Reached::Yes).code("protocol")
}

/// A commit was sent, and its answer did not come.
pub(crate) fn commit_unknown(cause: Failure) -> Failure {
    Failure::new(Blame::Downstream, "the commit was sent and not answered: it may have been made, or not")
        .symptom(Symptom::Reset)
        .reached(Reached::Maybe)
        .code("commit_unknown")
        .caused_by(cause)
}

/// The call's own fault, found here.
pub(crate) fn request(text: String) -> Failure {
    Failure::new(Blame::Caller, text).symptom(Symptom::Response).reached(Reached::Yes).code("request")
}

/// A transaction's handle outlived it.
pub(crate) fn ended() -> Failure {
    request("the transaction has ended, and its handle was kept".into())
}

/// A row is not what was asked for.
pub(crate) fn row(text: String) -> Failure {
    Failure::new(Blame::Caller, text).symptom(Symptom::Response).reached(Reached::Yes).code("row")
}

/// A result is larger than allowed.
pub(crate) fn too_large(limit: ByteSize) -> Failure {
    Failure::new(Blame::Caller, format!("the result is larger than {limit} (`postgres.max_result`)"))
        .symptom(Symptom::Response)
        .reached(Reached::Yes)
        .code("too_large")
}

/// A sentence of the server's.
#[derive(Debug)]
struct Said(String);

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Said {}
