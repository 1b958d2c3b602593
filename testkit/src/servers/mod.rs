//! Real servers, as children of the test: the programs that this machine has, on free ports, in temporary folders.

pub mod postgres;
