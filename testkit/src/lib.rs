//! Misbehaving servers, fault proxies, scripted downstreams and mocks for tests with seawall.
//!
//! A resilient client is proved against what goes wrong, and what goes wrong must be there on demand:
//!
//! - [`Process`] a real server as a child: killed, frozen and woken by the test, and never left behind.
//! - [`virtual_time`] an hour of backoff in milliseconds, with actors.
//!
//! Servers, proxies and processes have threads of their own and wait in real time, whatever the test's runtime and
//! clock. A test waits for conditions (`wait_for_line`), never for time to pass.
//!
//! Everything here panics with a text where a test could only unwrap: there is nothing to recover in a test whose
//! server does not start.

mod clock;
mod process;
mod worker;

pub use clock::virtual_time;
pub use process::Process;
