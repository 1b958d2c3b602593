use actix_http::error::ParseError;
use awc::error::{ConnectError, SendRequestError};
use seawall::downstream::{Blame, Failure, Reached, Stage, Symptom};

use super::{Said, protocol};
use crate::wire::{BadHead, Cause, ConnectFailure};

/// Classifies an exchange that ended without an answer. `sent`: whether any byte of the request left.
pub(crate) fn of_exchange(error: SendRequestError, sent: bool) -> Failure {
    if let Some(failure) = ConnectFailure::find(&error) {
        return of_connecting(failure);
    }
    if let SendRequestError::Response(ParseError::Io(error)) = &error
        && let Some(bad) = BadHead::find(error)
    {
        return protocol(bad.to_string());
    }
    let maybe = if sent { Reached::Maybe } else { Reached::No };
    let reset = |what: &'static str| {
        Failure::new(Blame::Downstream, what).symptom(Symptom::Reset).reached(maybe).code("reset")
    };
    let local = |what: &'static str| Failure::new(Blame::Local, what).reached(maybe).code("local");
    let failure = match &error {
        // How awc says that the other side closed, whether or not it ever answered on this connection.
        SendRequestError::Connect(ConnectError::Disconnected) => {
            reset("the connection was closed before an answer came")
        }
        SendRequestError::Connect(ConnectError::Io(_)) | SendRequestError::Send(_) => {
            reset("the connection broke before an answer came")
        }
        SendRequestError::Response(error) => match error {
            ParseError::Io(_) | ParseError::Incomplete => {
                reset("the connection broke in the middle of the answer")
            }
            ParseError::TooLarge => protocol("the answer's head is too large, or has more than 96 headers"),
            _ => protocol("the answer is no valid HTTP"),
        },
        // awc's own limit a thread, which stands no higher than the process's.
        SendRequestError::Connect(ConnectError::Timeout) => Failure::timeout(Stage::Pool).code("pool"),
        SendRequestError::Connect(_) => Failure::new(Blame::Downstream, "no connection could be made")
            .symptom(Symptom::Connect)
            .reached(Reached::No)
            .code("network"),
        SendRequestError::Timeout => Failure::timeout(Stage::Attempt),
        SendRequestError::Url(_) | SendRequestError::Http(_) => local("the request could not be written"),
        SendRequestError::Body(_) => local("the request's body could not be written"),
        _ => local("the request failed within the client"),
    };
    failure.caused_by(Said::new(&error))
}

fn of_connecting(failure: &ConnectFailure) -> Failure {
    let connect = |code: &'static str| (Blame::Downstream, Symptom::Connect, code);
    let (blame, symptom, code) = match failure.cause() {
        Cause::PoolTimeout { .. } => (Blame::Local, Symptom::Timeout(Stage::Pool), "pool"),
        Cause::ConnectTimeout { .. } => {
            (Blame::Downstream, Symptom::Timeout(Stage::Connect), "connect_timeout")
        }
        Cause::Dns(_) => connect("dns"),
        Cause::Refused(_) => connect("refused"),
        Cause::Tls { .. } => connect("tls"),
        Cause::Proxy(refusal) if refusal.is_ours() => (Blame::Local, Symptom::Connect, "proxy"),
        Cause::Proxy(_) => connect("proxy"),
        Cause::Io { .. } => connect("network"),
        Cause::LocalLimit(_) => (Blame::Local, Symptom::Connect, "local"),
    };
    let classified =
        Failure::new(blame, failure.to_string()).symptom(symptom).reached(Reached::No).code(code);
    match std::error::Error::source(failure) {
        Some(cause) => classified.caused_by(Said::new(&cause)),
        None => classified,
    }
}
