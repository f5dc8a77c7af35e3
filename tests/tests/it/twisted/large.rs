//! Values of any length, to Twisted and back.

use std::sync::Arc;

use amp_proto::{Arguments, Cluster, Command, Large, Limits, Never, Responders, responders};
use bytes::Bytes;
use mesh::connect_trusted;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::python::Python;

/// Send an image back as it came.
#[derive(Debug, Command)]
#[command(answered_by = any, response = Image)]
struct MirrorLarge {
    image: Large<Bytes>,
}

#[derive(Debug, PartialEq, Arguments)]
struct Image {
    image: Large<Bytes>,
}

struct Mirror;

#[responders]
impl Mirror {
    #[responder]
    async fn mirror_large(&self, it: MirrorLarge) -> Result<Image, Never> {
        Ok(Image { image: it.image })
    }
}

#[tokio::test]
async fn a_stock_peer_with_fifteen_lines_more_sends_and_takes_large_values() {
    let mut twisted = Python::start("large_values.py", []);
    let port = twisted.event("listening").await["port"].as_u64().unwrap();
    let stream = TcpStream::connect(format!("127.0.0.1:{port}")).await.unwrap();
    let mut responders = Responders::new();
    responders.add(Arc::new(Mirror)).unwrap();
    let (client, driving) =
        connect_trusted::<Cluster, _>(stream, Arc::new(responders), Limits::default());
    let mut running = JoinSet::new();
    running.spawn(driving);

    for bytes in [0, 1, 65_534, 65_535, 65_536, 131_070, 131_071, 900_000] {
        let image: Bytes = (0..bytes).map(|at: u32| at.to_be_bytes()[3]).collect();
        let mirrored = client.call(MirrorLarge { image: Large(image.clone()) }).await;
        assert!(mirrored == Ok(Image { image: Large(image) }), "{bytes} bytes");
        let back = twisted.event("mirrored").await;
        assert_eq!(
            (back["same"].as_bool(), back["bytes"].as_u64()),
            (Some(true), Some(bytes.into()))
        );
    }
}
