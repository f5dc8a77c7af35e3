//! Stock peers: Twisted itself, from the packages that `tests/setup` installs, on real sockets.

mod conformance;
mod large;
mod mesh;
mod python;
mod start_tls;
mod types;
