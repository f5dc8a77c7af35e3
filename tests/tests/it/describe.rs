//! Reflection: a live peer says what it answers, and is called from that alone.

use amp_proto::dynamic::{FieldDescription, decode_json, encode_json};
use amp_proto::{CallError, Cluster, CommandSchema, PassedError, Region, Role, RoleName};
use mesh::{Client, CommandDescription};
use mesh_harness::{Mesh, TestResult};
use serde_json::{Map, Value, json};

use crate::desk::Desk;
use crate::raw::{RawPeer, box_of};

async fn mesh() -> TestResult<Mesh> {
    let mesh = Mesh::builder()
        .region_responders(|_| Desk::default())
        .cluster_responders(|_| Desk::default())
        .start();
    Ok(mesh.await?)
}

fn named<'a>(commands: &'a [CommandDescription], name: &str) -> &'a CommandDescription {
    commands.iter().find(|command| command.name == name).unwrap()
}

fn object(value: Value) -> Map<String, Value> {
    let Value::Object(object) = value else { panic!("no object: {value}") };
    object
}

/// What any program can do that knows no more than the description.
async fn call<R: Role>(
    client: &Client<R>,
    command: &str,
    arguments: Value,
) -> Result<Value, CallError<PassedError>> {
    let described = client.describe().await.unwrap();
    let CommandDescription { name, arguments: fields, response, .. } = named(&described, command);
    let encoded = encode_json(fields, &object(arguments)).unwrap();
    let received = client.call_encoded(name, &encoded).await?;
    Ok(Value::Object(decode_json(response, &received.fields()).unwrap()))
}

#[tokio::test(start_paused = true)]
async fn a_peer_describes_everything_it_answers() -> TestResult {
    let mesh = mesh().await?;
    let to_cluster = mesh.region(0).get_client_for(Mesh::uuid_of(0)).await?;
    let commands = to_cluster.describe().await?;
    let names: Vec<_> = commands.iter().map(|command| command.name.as_str()).collect();
    let own = [
        "Authenticate",
        "Describe",
        "Identify",
        "Leave",
        "Negotiate",
        "Ping",
        "RegionKeysChanged",
        "RegionsChanged",
        "RotateKey",
    ];
    let desk =
        ["AskBack", "Echo", "Fail", "Grow", "Hold", "Sum", "Tell", "TellInVain", "Wait", "WhoAsks"];
    let mut expected = [&own[..], &desk].concat();
    expected.sort_unstable();
    assert_eq!(names, expected);

    let to_region = mesh.cluster(0).get_client().await?;
    let names: Vec<_> = to_region.describe().await?.into_iter().map(|it| it.name).collect();
    assert!(names.contains(&"RegisterCluster".to_owned()) && names.contains(&"Sum".to_owned()));
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_description_is_what_the_declaration_says() -> TestResult {
    let mesh = mesh().await?;
    let client = mesh.region(0).get_client_for(Mesh::uuid_of(0)).await?;
    let commands = client.describe().await?;
    let schema: CommandSchema = <crate::desk::Echo as amp_proto::Command>::SCHEMA;
    let echo = named(&commands, "Echo");
    assert_eq!(echo.doc, "Give back what you get.");
    assert_eq!(echo.answered_by, [RoleName::Region, RoleName::Cluster]);
    let fields: Vec<FieldDescription> = schema.arguments.iter().map(Into::into).collect();
    assert_eq!(echo.arguments, fields);
    assert!(echo.requires_answer && !named(&commands, "Tell").requires_answer);
    let errors = [("NO_SUCH_THING".to_owned(), false), ("THE_END".to_owned(), true)];
    assert_eq!(named(&commands, "Fail").errors, errors);
    assert_eq!(named(&commands, "Fail").arguments[0].to_string(), {
        r#"how: choice("declared", "fatal", "undeclared", "passed on", "panic", "panic later")"#
    });
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_call_is_made_from_the_description_alone_in_both_directions() -> TestResult {
    let mesh = mesh().await?;
    let to_cluster: Client<Cluster> = mesh.region(0).get_client_for(Mesh::uuid_of(0)).await?;
    let to_region: Client<Region> = mesh.cluster(0).get_client().await?;
    let arguments = json!({"a": 20, "b": 22});
    assert_eq!(call(&to_cluster, "Sum", arguments.clone()).await, Ok(json!({"total": 42})));
    assert_eq!(call(&to_region, "Sum", arguments).await, Ok(json!({"total": 42})));

    let echo = json!({"bytes": {"base64": "/wA="}, "note": "snow \u{2603}"});
    assert_eq!(call(&to_cluster, "Echo", echo.clone()).await, Ok(echo));
    let quiet = json!({"bytes": "text"});
    assert_eq!(call(&to_cluster, "Echo", quiet.clone()).await, Ok(quiet));
    assert_eq!(call(&to_cluster, "Ping", json!({})).await, Ok(json!({})));
    let regions = call(&to_region, "ListRegions", json!({})).await.unwrap();
    assert_eq!(regions["regions"][0]["name"], "region-0");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn the_errors_of_such_a_call_come_by_code() -> TestResult {
    let mesh = mesh().await?;
    let client = mesh.region(0).get_client_for(Mesh::uuid_of(0)).await?;
    let failed = call(&client, "Fail", json!({"how": "declared"})).await;
    let (code, description) = ("NO_SUCH_THING".to_owned(), "a snark".to_owned());
    let passed = PassedError { code, description, fatal: false };
    assert_eq!(failed, Err(CallError::Declared(passed)));
    let failed = call(&client, "Fail", json!({"how": "undeclared"})).await;
    assert!(matches!(failed, Err(CallError::Undeclared { .. })), "{failed:?}");
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn arguments_that_do_not_fit_are_found_before_anything_is_sent() -> TestResult {
    let mesh = mesh().await?;
    let client = mesh.region(0).get_client_for(Mesh::uuid_of(0)).await?;
    let commands = client.describe().await?;
    let sum = named(&commands, "Sum");
    for (arguments, field) in [
        (json!({"a": 1}), "b"),
        (json!({"a": 1, "b": "two"}), "b"),
        (json!({"a": 1, "b": 2, "bb": 3}), "bb"),
        (json!({"a": 1, "b": "9223372036854775808"}), "b"),
    ] {
        let problem = encode_json(&sum.arguments, &object(arguments)).unwrap_err();
        assert_eq!(problem.field, field, "{problem}");
    }
    Ok(())
}

#[tokio::test(start_paused = true)]
async fn a_stock_peer_is_said_to_have_no_description() -> TestResult {
    let mesh = Mesh::builder().clusters(0).start().await?;
    let mut stock = RawPeer::admitted(&mesh, &Mesh::uuid_of(0).to_string()).await?;
    assert!(stock.replies_until_ping().await?.is_empty());
    let client = mesh.region(0).get_client_for(Mesh::uuid_of(0)).await?;
    let answering = async {
        let ask = stock.next().await.unwrap();
        let error = [("_error", &ask.get("_ask").unwrap()[..]), ("_error_code", b"UNHANDLED")];
        stock.send(&box_of(error)).await.unwrap();
    };
    let (described, ()) = tokio::join!(client.describe(), answering);
    assert!(matches!(described, Err(CallError::Unhandled { .. })), "{described:?}");
    Ok(())
}
