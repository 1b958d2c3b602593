//! HTTP downstreams for seawall, on awc: the kind `"http"`.
//!
//! A call is a struct that derives [`HttpCall`], or that implements [`Call`](seawall::Call) by hand with a [`Request`]
//! and [`Http::send`]. Its values can go nowhere but where they are meant to. An answer becomes a reply by a [`Decode`],
//! or a [`Failure`](seawall::Failure) that says whose fault it was and whether trying again can help:
//!
#![doc = include_str!("failure/table.md")]
//!
//! A failure's code is the status (`503`), or one word: `dns`, `refused`, `tls`, `pool`, `connect_timeout`, `local`,
//! `network`, `proxy`, `reset`, `protocol`, `body`, `redirects`.
//!
//! What a service is, its settings say: [`HttpSettings`]. What cannot stand in a file, as the signing of requests, is a
//! [`HttpHook`].

mod auth;
mod call;
mod codec;
mod derive;
mod downstream;
mod explain;
mod failure;
mod follow;
mod hook;
mod place;
mod propagate;
mod redirect;
mod reply;
mod request;
mod settings;
mod watch;
#[cfg_attr(not(test), expect(dead_code, reason = "counts of connections are kept, and have no reader yet"))]
mod wire;

pub use awc::http::{Method, StatusCode, header};
pub use derive::{__private, HttpCall};
pub use downstream::Http;
pub use hook::{Hook, HttpHook};
pub use propagate::{ATTEMPT_HEADER, DEADLINE_HEADER, TRACE_HEADER, TRACE_STATE_HEADER};
pub use reply::{Decode, Empty, ErrorBody, Json, Maybe, Raw, Response, Text, Typed, Untyped, Whole};
pub use request::{Request, RequestParts};
pub use settings::HttpSettings;
