//! stand-in
#![allow(missing_docs)]
pub mod blame {
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Blame {
        Downstream,
        Overload,
        Caller,
        Local,
        Topology,
    }
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub enum Reached {
        No,
        Maybe,
        Yes,
    }
}
pub mod breaker {
    #[derive(Clone, Debug)]
    pub struct Rejected {
        pub retry_after: std::time::Duration,
    }
    impl std::fmt::Display for Rejected {
        fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("open")
        }
    }
}
