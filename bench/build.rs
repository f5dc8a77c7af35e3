//! Tells the program which compiler made it, and writes the gRPC service, from a description in
//! Rust: no protoc is needed.

use std::env::var;
use std::process::Command;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    // Without an answer it is not known, which is no reason to build nothing.
    let rustc = Command::new(var("RUSTC").unwrap_or_default()).arg("--version").output();
    let rustc = rustc.map(|said| String::from_utf8_lossy(&said.stdout).trim().to_owned());
    println!("cargo:rustc-env=BENCH_RUSTC={}", rustc.unwrap_or_default());
    #[cfg(feature = "peers")]
    write_service();
}

#[cfg(feature = "peers")]
fn write_service() {
    use tonic_build::manual::{Builder, Method, Service};

    let method = |name: &str, route: &str, input: &str, output: &str| {
        Method::builder()
            .name(name)
            .route_name(route)
            .input_type(format!("crate::peers::tonic::{input}"))
            .output_type(format!("crate::peers::tonic::{output}"))
            .codec_path("tonic_prost::ProstCodec")
    };
    let service = Service::builder()
        .name("Bench")
        .package("ampmesh.bench")
        .method(method("small", "Small", "Pair", "Sum").build())
        .method(method("echo", "Echo", "Value", "Value").build())
        .method(method("count", "Count", "Upto", "Item").server_streaming().build())
        .method(
            method("attend", "Attend", "Sum", "Pair").client_streaming().server_streaming().build(),
        )
        .build();
    Builder::new().compile(&[service]);
}
