//! Writes the gRPC service, from a description in Rust: no protoc is needed.

use tonic_build::manual::{Builder, Method, Service};

fn main() {
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
