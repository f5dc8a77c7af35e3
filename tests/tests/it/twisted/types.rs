//! Every argument type, out to Twisted and back, and the errors, in both directions.

#[path = "../../../../mesh/examples/testbed/types.rs"]
mod vocabulary;

use std::sync::Arc;

use amp_proto::{CallError, Cluster, Compressed, Json, Limits, Lost, Responders};
use mesh::{Client, connect_trusted};
use serde_json::json;
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::python::{Python, command, testbed};
use vocabulary::{Fail, FailError, Line, Row, State, Types, Values};

#[tokio::test]
async fn every_type_and_error_of_twisteds_crosses_to_us_and_back() {
    let (_testbed, ports) = testbed().await;
    let address = format!("127.0.0.1:{}", ports["Types"]);
    let output = command("twisted_types.py")
        .args(["ask", &address, "--after-undeclared", "open"])
        .output()
        .await
        .unwrap();
    let words = String::from_utf8_lossy(&output.stdout);
    let failed: Vec<_> = words.lines().filter(|line| line.contains("\"ok\": false")).collect();
    assert!(output.status.success() && failed.is_empty(), "{failed:#?}");
    assert!(words.lines().count() > 250, "only {} checks ran", words.lines().count());
}

async fn asker() -> (Python, Client<Cluster>, JoinSet<Lost>) {
    let mut twisted = Python::start("twisted_types.py", ["serve"]);
    let port = twisted.event("listening").await["port"].as_u64().unwrap();
    let stream = TcpStream::connect(format!("127.0.0.1:{port}")).await.unwrap();
    let nobody = Arc::new(Responders::new());
    let (client, driving) = connect_trusted::<Cluster, _>(stream, nobody, Limits::default());
    let mut running = JoinSet::new();
    running.spawn(driving);
    (twisted, client, running)
}

fn plain() -> Types {
    Types {
        integer: 123.into(),
        big: num_bigint::BigInt::from(2).pow(200),
        data: "hello".into(),
        text: "snow ☃".into(),
        flag: true,
        ratio: 1.5,
        price: "1.50".parse().unwrap(),
        at: "2012-01-23T12:34:56.054321+05:30".parse().unwrap(),
        numbers: vec![1.into(), 20.into(), 500.into()],
        nested: vec![vec![1.into()], vec![2.into(), 3.into()], vec![]],
        names: vec!["a".into(), "☃".into()],
        rows: vec![Row { a: 7, b: Some("hello".into()) }, Row { a: 9, b: None }],
        path: "/srv/☃".parse().unwrap(),
        maybe: None,
        structure: Json(json!({"a": [1, "café", null, true, 1.5], "😀": {}})),
        address: "192.168.1.2".parse().unwrap(),
        network: "10.0.0.0/8".parse().unwrap(),
        link: "http://example.com:5240/MAAS?x=1#f".parse().unwrap(),
        state: State::On,
        table: Compressed(vec![Line { ip: "10.0.0.1".into() }]),
    }
}

#[tokio::test]
async fn every_type_of_ours_crosses_to_twisted_and_back() {
    let (_twisted, client, _driving) = asker().await;
    let edges = [
        plain(),
        Types { maybe: Some(String::new()), text: "\u{feff}😀".into(), ..plain() },
        Types { integer: 0.into(), big: (-1).into(), numbers: vec![], nested: vec![], ..plain() },
        Types { ratio: 5e-324, price: "1E+1000000".parse().unwrap(), rows: vec![], ..plain() },
        Types { ratio: -0.0, price: "-0".parse().unwrap(), flag: false, ..plain() },
        Types { ratio: f64::INFINITY, price: "-Infinity".parse().unwrap(), ..plain() },
        Types { ratio: 1e16, price: "sNaN123".parse().unwrap(), names: vec![], ..plain() },
        Types { data: (0..=255).collect(), text: String::new(), state: State::Off, ..plain() },
        Types { data: vec![0; 65_535].into(), text: "x".repeat(65_535), ..plain() },
        Types { address: "2001:db8::1".parse().unwrap(), ..plain() },
        Types { network: "2001:db8::/32".parse().unwrap(), ..plain() },
        Types { at: "0001-01-01T00:00:00.000000-00:00".parse().unwrap(), ..plain() },
        Types { at: "9999-12-31T23:59:59.999999-01:30".parse().unwrap(), ..plain() },
        Types { structure: Json(json!(null)), table: Compressed(vec![]), ..plain() },
    ];
    for sent in edges {
        let received = client.call(sent.clone()).await.unwrap();
        assert_eq!(received, Values::from(sent));
    }
}

#[tokio::test]
async fn twisteds_errors_arrive_as_what_they_are() {
    let (_twisted, client, mut driving) = asker().await;
    let fail = |kind: &str| Fail { kind: kind.to_owned() };
    let declared = client.call(fail("declared")).await;
    assert_eq!(declared, Err(CallError::Declared(FailError::Declared)));
    let unknown = client.call_encoded("Nobody", &[]).await;
    assert!(matches!(unknown, Err(CallError::Unhandled { .. })), "{unknown:?}");
    let fatal = client.call(fail("fatal")).await;
    assert_eq!(fatal, Err(CallError::Declared(FailError::Fatal)));
    assert_eq!(driving.join_next().await.unwrap().unwrap(), Lost::ClosedByPeer);

    let (_twisted, client, mut driving) = asker().await;
    let undeclared = client.call(fail("undeclared")).await;
    assert!(matches!(undeclared, Err(CallError::Undeclared { .. })), "{undeclared:?}");
    assert_eq!(
        driving.join_next().await.unwrap().unwrap(),
        Lost::ClosedByPeer,
        "a stock peer hangs up after it"
    );
    let gone = client.call(fail("declared")).await;
    assert!(matches!(gone, Err(CallError::Lost { maybe_done: false, .. })), "{gone:?}");
}
