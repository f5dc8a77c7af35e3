//! What `ampmesh call` makes of commands that are called with a stream, which it has none of.

use amp_proto::{Arguments, Command, Items, Never, responders};
use cluster::{ClusterController, Secret};
use serde_json::Value;

use crate::by_hand::{path, ready, region, scratch};
use crate::support::{failure, run};

/// Put cheezes on the shelf.
#[derive(Debug, Command)]
#[command(answered_by = Cluster, takes = stream Cheez)]
struct Stock;

#[derive(Debug, Arguments)]
struct Cheez;

struct Cellar;

#[responders]
impl Cellar {
    #[responder]
    async fn stock(&self, _: Stock, _: Items<Cheez>) -> Result<(), Never> {
        Ok(())
    }
}

#[test]
fn a_command_with_a_stream_is_not_called_from_here_and_was_not_begun() {
    let home = scratch();
    let mut north = region(home.path(), &["--name", "north"]);
    let address = ready(&mut north)["address"].as_str().unwrap().to_owned();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let cellar = runtime.block_on(async {
        let cellar = ClusterController::builder()
            .name("cellar")
            .region(address)
            .secret(Secret::from_file(home.path().join("secret")).unwrap())
            .responders(Cellar);
        let cellar = cellar.start().await.unwrap();
        cellar.get_client().await.unwrap();
        cellar
    });
    north.line_with("a cluster is connected");
    let call = ["call", "cellar", "Stock", "--data-dir", path(home.path())];
    let called = run(&[&call[..], &["--json"]].concat());
    let report: Value = serde_json::from_slice(&called.stdout).unwrap();
    let error = &report["error"];
    assert_eq!((&error["kind"], &error["code"]), (&"unhandled".into(), &"STREAM_NEEDED".into()));
    assert_eq!((&error["maybe_done"], &report["exit_code"]), (&false.into(), &2.into()));
    let (exit, err) = failure(&run(&call));
    assert_eq!(exit, 2);
    assert!(err.contains("this command is called from a program, with a stream"), "{err}");
    runtime.block_on(cellar.shutdown());
}
