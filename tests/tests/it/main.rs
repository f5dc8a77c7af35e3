//! The mesh from end to end: regions and clusters in one process, with faults and strangers.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "the helpers of tests fail as tests do"
)]

mod admission;
mod by_rule;
mod calls;
mod describe;
mod desk;
mod faults;
mod finding;
mod floods;
mod fuzz;
mod harness;
mod liveness;
mod malformed;
mod memory_budget;
mod mesh;
mod once;
mod postgres;
mod raw;
mod registry;
mod services;
mod simulation;
mod strangers;
mod tidy;
mod twins;
mod twisted;
