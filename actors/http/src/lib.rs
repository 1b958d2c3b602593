//! HTTP downstreams for seawall, on awc.

mod call;
mod downstream;
mod failure;
mod hook;
mod propagate;
mod reply;
mod request;
mod settings;
#[cfg_attr(not(test), expect(dead_code, reason = "counts of connections are kept, and have no reader yet"))]
mod wire;

pub use awc::http::{Method, StatusCode, header};
pub use downstream::Http;
pub use hook::{Hook, HttpHook};
pub use propagate::{ATTEMPT_HEADER, DEADLINE_HEADER, TRACE_HEADER, TRACE_STATE_HEADER};
pub use reply::{Decode, Empty, ErrorBody, Json, Maybe, Raw, Response, Text, Typed, Untyped, Whole};
pub use request::{Request, RequestParts};
pub use settings::HttpSettings;
