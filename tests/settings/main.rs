//! Settings: what is wrong with them is told as these snapshots have it; what is right is layered as `explain` shows.

mod inherited;
mod kind;
mod support;

mod cascade;
mod contradictions;
mod explain;
mod faults;
mod files;
mod names;
mod overrides;
mod pitfalls;
mod rubbish;
mod secrets;
mod syntax;
mod tail;
mod types;
mod variables;
