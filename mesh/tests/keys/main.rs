//! Identity by key, over real sockets: who is let in, who is not, and for how long.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "helpers of tests fail as tests do"
)]

mod joining;
mod matrix;
mod peers;
mod replays;
mod revoking;
mod rotating;
mod strangers;
mod world;
