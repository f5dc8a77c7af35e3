//! The core, tested from outside its modules: the wire by itself, and connections in pairs.

mod commands;
mod connection;
mod large;
mod pair;
mod wire;
