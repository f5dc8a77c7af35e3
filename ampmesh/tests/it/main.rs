//! The program from the outside: its processes, its output, its exit codes.

#[cfg(test)]
mod by_hand;
#[cfg(test)]
mod configuration;
#[cfg(test)]
mod details;
#[cfg(test)]
mod dev;
#[cfg(test)]
mod endings;
#[cfg(test)]
mod joined;
#[cfg(test)]
mod keys;
#[cfg(test)]
mod operators;
#[cfg(test)]
mod registry;
#[cfg(test)]
mod revocation;
#[cfg(test)]
mod rotation;
#[cfg(test)]
mod shared_keys;
#[cfg(test)]
mod sockets;
#[cfg(test)]
mod start_tls;
#[cfg(test)]
mod streamed;
#[cfg(test)]
mod support;
