//! Everything above the state machine, in one binary.

mod twisted;
