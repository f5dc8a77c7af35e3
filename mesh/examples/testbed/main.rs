//! A server for Twisted's own AMP tests: the profiles of `twisted.test.test_amp`, one port each.
//!
//! The first line that it prints is `{"Profile": port, …}`; `tests/python/conformance.py` takes it
//! from there, and `tests/python/PROFILES.md` says how each profile behaves. One more port,
//! `Types`, echoes every argument type, for `tests/python/twisted_types.py`.

#![expect(clippy::print_stdout, reason = "the ports are this program's output")]

mod commands;
mod mirror;
mod profiles;
mod types;

use std::sync::Arc;

use amp_proto::{Limits, Lost, Responders, RoleName};
use mesh::Handshaking;
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

use profiles::Profile;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut ports = Vec::new();
    let mut serving = JoinSet::new();
    for profile in Profile::ALL {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        ports.push(format!("\"{}\": {}", profile.name(), listener.local_addr()?.port()));
        serving.spawn(serve(profile, listener));
    }
    println!("{{{}}}", ports.join(", "));
    while serving.join_next().await.is_some() {}
    Ok(())
}

async fn serve(profile: Profile, listener: TcpListener) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        // State, such as asks that wait for ever, is one connection's own.
        let responders = profile.responders();
        connections.spawn(run(stream, Arc::new(responders)));
    }
}

async fn run(stream: TcpStream, responders: Arc<Responders>) {
    let limits = Arc::new(Limits::default());
    let plain = Handshaking::new(stream, RoleName::Cluster, "test".to_owned(), limits);
    let (_link, driving) = plain.trusted().drive(responders);
    let ended = driving.await;
    if let (Lost::HandedOver, Some((mut stream, _rest))) = (ended.lost, ended.handed_over) {
        // The inner protocol: it says one thing, and reads until the client closes.
        if stream.write_all(b"No, really.  Success.").await.is_ok() {
            let _read = tokio::io::copy(&mut stream, &mut tokio::io::sink()).await;
        }
    }
}
