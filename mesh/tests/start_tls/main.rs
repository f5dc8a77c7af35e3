//! StartTLS with certificates: what is agreed on in the clear, who is believed, and what goes on
//! within TLS.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

mod agreeing;
mod certificates;
mod files;
mod judging;
mod stalling;
mod whole;
mod world;
