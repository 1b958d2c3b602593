//! The policies: pure state machines that are told what time it is.
//!
//! None of them knows a clock, an actor or I/O: each takes `now` as an argument, so that a test can feed it any history,
//! and a simulation an hour in milliseconds. What they share between threads is atomics or short locks. Each has its
//! settings beside it as plain serde data.

pub mod adaptive;
pub mod balance;
pub mod blame;
pub mod breaker;
pub mod budget;
pub mod bulkhead;
mod endpoint_set;
pub mod faults;
pub mod freshness;
pub mod hedge;
pub mod keys;
pub mod latency;
mod mode;
pub mod outlier;
pub mod rate;
pub mod recent;
pub mod restart;
pub mod retry;
pub mod throttle;
pub mod tier;
pub mod wave;
pub mod window;

pub use endpoint_set::{EndpointSet, MOST_ENDPOINTS};
pub use mode::Mode;

#[cfg(test)]
mod tests {
    use super::*;

    /// What an idle service costs: rings and slots are made by the first call.
    #[test]
    fn the_policies_of_an_idle_service_fit_into_512_bytes() {
        let bytes = size_of::<breaker::Breaker>()
            + size_of::<bulkhead::Bulkhead<Box<()>>>()
            + size_of::<budget::RetryBudget>()
            + size_of::<rate::Rate>();
        assert!(bytes <= 512, "{bytes} bytes");
    }
}
