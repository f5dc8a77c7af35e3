//! `ampmesh ls`, `describe`, `call` and `ping` on a running mesh.

use std::io::Write as _;
use std::process::{Output, Stdio};

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::support::{Dev, Running, ampmesh, failure, run};

#[test]
fn a_mesh_is_listed_in_its_documented_shape() {
    let dev = Dev::start(&[]);
    let mesh = dev.json(&["ls"]);
    assert_eq!(mesh["regions"].as_array().unwrap().len(), 2);
    assert_eq!(mesh["clusters"].as_array().unwrap().len(), 3);
    assert_eq!(mesh["connections"].as_array().unwrap().len(), 6);
    assert_eq!(mesh["regions"][0]["name"], "region-1");
    assert!(mesh["regions"][0]["addresses"][0].as_str().unwrap().starts_with("127.0.0.1:"));
    assert!(mesh["regions"][0]["uptime_s"].is_number());
    assert_eq!(mesh["clusters"][2]["name"], "cluster-3");
    assert_eq!(mesh["clusters"][2]["connections"], 2);
    assert_eq!(mesh["clusters"][2]["version"], env!("CARGO_PKG_VERSION"));
    assert!(mesh["connections"][0]["round_trip_ms"].is_number());

    let text = String::from_utf8(dev.run(&["ls", "--connections"]).stdout).unwrap();
    assert!(text.ends_with("2 regions, 3 clusters, 6 connections\n"), "{text}");
    assert!(text.contains("CLUSTER'S ADDRESS"), "{text}");
}

#[test]
fn commands_are_described_and_called_without_being_compiled_in() {
    let dev = Dev::start(&[]);
    let described = dev.json(&["describe", "cluster-1"]);
    let commands = described[0]["commands"].as_array().unwrap();
    let eat = commands.iter().find(|command| command["name"] == "EatCheez").unwrap();
    assert_eq!(eat["errors"], json!(["NO_SUCH_CHEEZ", "CELLAR_LOCKED"]));
    assert_eq!(eat["arguments"][2]["type"], "integer(0..=255)");
    assert_eq!(eat["arguments"][2]["optional"], true);

    let text = String::from_utf8(dev.run(&["describe"]).stdout).unwrap();
    let eat = "EatCheez(name: text, origin: text, age_months: integer(0..=255)?) -> rating: ";
    assert!(text.contains(eat) && text.contains("RateCheez(name: text"), "{text}");
    assert!(!text.contains("RelayCommand"), "the operator's own commands are not shown");

    assert!(text.contains("The mesh's own commands:\n    Authenticate, Describe, "), "{text}");
    assert_eq!(commands[0]["of_the_mesh"], false, "the application's come first");
    for (target, application) in
        [("cluster-1", &["AgeCheez", "EatCheez", "RecommendCheez"][..]), ("region", &["RateCheez"])]
    {
        let described = dev.json(&["describe", target]);
        let commands = described[0]["commands"].as_array().unwrap();
        let (own, others): (Vec<_>, Vec<_>) =
            commands.iter().partition(|command| command["of_the_mesh"] == true);
        let others: Vec<_> = others.iter().map(|it| it["name"].as_str().unwrap()).collect();
        assert_eq!(others, application, "{target}");
        assert!(own.iter().any(|it| it["name"] == "Negotiate"), "{own:?}");
    }

    let rate = String::from_utf8(dev.run(&["describe", "region", "RateCheez"]).stdout).unwrap();
    assert!(rate.contains("total     integer(u32)  All that this region process"), "{rate}");
    assert!(rate.contains("\nampmesh call region-") && !rate.contains("Authenticate"), "{rate}");
    let rate = dev.json(&["describe", "region", "RateCheez"]);
    assert_eq!(rate[0]["commands"][0]["response"][0]["type"], "integer(0..=4294967295)");
    let (exit, err) = failure(&dev.run(&["describe", "cluster-1", "RateCheez"]));
    assert_eq!(exit, 2, "{err}");
    assert!(err.contains("regions answer it"), "{err}");

    let pairs = ["call", "any", "EatCheez", "name=Idiazabal", "origin=Navarra"];
    assert_eq!(dev.json(&pairs)["response"], json!({"rating": 9}));
    let object = r#"{"name": "Idiazabal", "origin": "Navarra", "age_months": 12}"#;
    let answers = dev.json(&["call", "all", "EatCheez", object]);
    let ratings: Vec<&Value> =
        answers.as_array().unwrap().iter().map(|it| &it["response"]["rating"]).collect();
    assert_eq!(ratings, [10, 10, 10]);

    let uuid = answers[1]["target"]["id"].as_str().unwrap().to_owned();
    let by_prefix = dev.run(&["call", &uuid[..13], "EatCheez", "name=Gouda", "origin=Holland"]);
    assert_eq!(String::from_utf8_lossy(&by_prefix.stdout), "rating: 6\n");
}

#[test]
fn a_region_keeps_its_own_total() {
    let dev = Dev::start(&["--clusters", "1"]);
    let rate = |region| dev.json(&["call", region, "RateCheez", "name=Brie", "rating=7"]);
    assert_eq!(rate("region-2")["response"]["total"], 7);
    assert_eq!(rate("region-2")["response"]["total"], 14);
    let other = rate("region-1");
    assert_eq!(other["response"]["total"], 7, "another process, another total");
    assert_eq!(other["target"]["kind"], "region");
    assert!(dev.run(&["call", "region", "RateCheez", "name=Brie", "rating=1"]).status.success());
}

/// Has a cluster eat a cheez of an origin that is so long.
fn eat_from_stdin(dev: &Dev, origin_bytes: usize) -> Output {
    let data_dir = dev.data_dir.to_str().unwrap();
    let mut command = ampmesh(&["call", "any", "EatCheez", "-", "--data-dir", data_dir]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let arguments = json!({ "name": "Gouda", "origin": "H".repeat(origin_bytes) });
    let mut stdin = child.stdin.take().unwrap();
    // Whoever has read enough reads no more.
    let _written = stdin.write_all(arguments.to_string().as_bytes());
    drop(stdin);
    child.wait_with_output().unwrap()
}

#[test]
fn arguments_can_come_from_stdin_and_be_long() {
    let dev = Dev::start(&["--regions", "1", "--clusters", "1"]);
    for origin_bytes in [7, 70_000, 3_000_000] {
        let eaten = eat_from_stdin(&dev, origin_bytes);
        assert_eq!(String::from_utf8_lossy(&eaten.stdout), "rating: 6\n", "{eaten:?}");
    }
    let (exit, err) = failure(&eat_from_stdin(&dev, 17 * 1024 * 1024));
    assert_eq!(exit, 2, "{err}");
    assert!(err.contains("the arguments on stdin are longer than 16777216 bytes"), "{err}");
}

#[test]
fn pings_are_counted() {
    let dev = Dev::start(&["--clusters", "2"]);
    for target in ["cluster-1", "region", "region-2"] {
        let pinged = dev.json(&["ping", target, "-c", "3", "--interval", "1ms"]);
        assert_eq!((&pinged["sent"], &pinged["received"]), (&json!(3), &json!(3)));
        assert_eq!(pinged["round_trips_ms"].as_array().unwrap().len(), 3);
        assert!(pinged["min_ms"].as_f64() <= pinged["max_ms"].as_f64());
    }
    let all = dev.json(&["ping", "all", "-c", "1"]);
    assert_eq!(all.as_array().unwrap().len(), 2);
    let text = String::from_utf8(dev.run(&["ping", "any", "-c", "1"]).stdout).unwrap();
    assert!(text.contains("1 of 1 answered; min "), "{text}");
}

#[test]
fn a_region_that_is_started_again_is_pinged_again() {
    let mut dev = Dev::start(&["--regions", "1", "--clusters", "1"]);
    let data_dir = dev.data_dir.to_str().unwrap();
    let arguments = ["ping", "region-1", "-c", "10000", "--interval", "10ms", "--data-dir"];
    let mut ping = Running::start(ampmesh(&[&arguments[..], &[data_dir]].concat()));
    ping.line_with(" ms");
    dev.child("region-1").signal(Signal::KILL);
    dev.process.line_with("region-1 is up again");
    // More than can have been answered between the first line and the death.
    (0..100).for_each(|_| drop(ping.line_with(" ms")));
}

#[test]
fn every_kind_of_failure_has_its_exit_code() {
    let dev = Dev::start(&["--regions", "1", "--clusters", "2"]);
    let call = |arguments: &[&str]| failure(&dev.run(&[&["call"], arguments].concat()));
    let cases: [(&[&str], i32, &str); 12] = [
        (
            &["cluster-1", "RateCheez", "name=x", "rating=1"],
            2,
            "the cluster cluster-1 does not answer `RateCheez`; regions answer it: `ampmesh call \
             region RateCheez …`",
        ),
        (&["region", "EatCheez"], 2, "clusters answer it: `ampmesh call any EatCheez …`"),
        (&["", "EatCheez"], 2, "the target is empty: give a cluster's uuid or name, "),
        (&["any", "EatCheez", "origin=x"], 2, "argument `name`: it is required, and missing"),
        (
            &["any", "EatCheez", "name=x", "origin=y", "age_months=old"],
            2,
            "argument `age_months`: ",
        ),
        (&["any", "EatCheez", "nome=x", "origin=y"], 2, "did you mean `name`?"),
        (&["any", "EatChez", "name=x"], 2, "does not answer `EatChez`; did you mean `EatCheez`?"),
        (&["any", "EatCheez", "{"], 2, "the arguments are not JSON"),
        (&["any", "EatCheez", "name=Plastic", "origin=y"], 3, "refused with NO_SUCH_CHEEZ"),
        (&["any", "EatCheez", "name=Casu Marzu", "origin=Sardinia"], 3, "CELLAR_LOCKED"),
        (&["all", "EatCheez", "name=Plastic", "origin=y"], 3, ""),
        (&["cluster-7", "EatCheez"], 4, "there is no target `cluster-7`; did you mean `cluster-"),
    ];
    for (arguments, code, text) in cases {
        let (exit, err) = call(arguments);
        assert_eq!(exit, code, "{arguments:?}: {err}");
        assert!(err.contains(text), "{arguments:?}: {err}");
    }
    assert_eq!(dev.run(&["ls", "--colour"]).status.code(), Some(2));
    assert_eq!(dev.run(&["ping", "nobody"]).status.code(), Some(4));
    let stranger = "5f0d6a3e-0000-4000-8000-00000000000a";
    let (exit, err) = call(&[stranger, "EatCheez", "--timeout", "1s"]);
    assert_eq!(exit, 4, "{err}");
    assert!(err.contains("is not connected"), "{err}");
}

#[test]
fn a_refusal_in_json_says_everything() {
    let dev = Dev::start(&["--regions", "1", "--clusters", "1"]);
    let arguments = ["call", "any", "EatCheez", "name=Casu Marzu", "origin=Sardinia", "--json"];
    let refused = dev.run(&arguments);
    assert_eq!(refused.status.code(), Some(3));
    let json: Value = serde_json::from_slice(&refused.stdout).unwrap();
    assert_eq!(json["error"]["kind"], "declared");
    assert_eq!(json["error"]["code"], "CELLAR_LOCKED");
    assert_eq!(json["error"]["description"], "the cellar is locked");
    assert!(json["round_trip_ms"].as_f64().unwrap() > 0.0);
    assert_eq!(json["exit_code"], 3);
}

#[test]
fn every_failure_in_json_is_one_document() {
    let dev = Dev::start(&["--regions", "1", "--clusters", "1"]);
    let cases: [(&[&str], i32, &str, &str); 8] = [
        (&["call", "any", "EatCheez", "origin=x"], 2, "usage", "argument `name`"),
        (&["call", "any", "EatChez"], 2, "usage", "did you mean `EatCheez`?"),
        (&["call", "", "EatCheez"], 2, "usage", "the target is empty"),
        (&["call", "any"], 2, "usage", "required arguments"),
        (&["call", "any", "EatCheez", "--colour"], 2, "usage", "--colour"),
        (&["call", "nobody", "EatCheez"], 4, "no-target", "there is no target `nobody`"),
        (&["describe", "nobody"], 4, "no-target", "there is no target `nobody`"),
        (&["ls", "--log", "mesh=loud"], 2, "usage", "is not a log filter"),
    ];
    for (arguments, code, kind, text) in cases {
        let output = dev.run(&[arguments, &["--json"]].concat());
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {output:?}");
        let json: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!((&json["error"]["kind"], &json["exit_code"]), (&json!(kind), &json!(code)));
        let description = json["error"]["description"].as_str().unwrap();
        assert!(description.contains(text), "{arguments:?}: {description}");
    }
}

#[test]
fn a_cluster_that_hangs_costs_no_more_than_the_timeout() {
    let dev = Dev::start(&["--regions", "1", "--clusters", "2"]);
    let hanging = dev.child("cluster-1");
    hanging.stop();
    // The region process has as long, and has to answer on a machine that has more to do.
    let eat = ["call", "cluster-1", "EatCheez", "name=Gouda", "origin=H", "--timeout", "1s"];
    let (exit, err) = failure(&dev.run(&eat));
    assert_eq!(exit, 5, "{err}");
    assert!(err.contains("no answer within 1000 ms"), "{err}");
    let ping = dev.run(&["ping", "cluster-1", "-c", "1", "--timeout", "1s", "--json"]);
    assert_eq!(ping.status.code(), Some(5));
    let all = dev.run(&["ping", "all", "-c", "1", "--timeout", "1s"]);
    let text = String::from_utf8(all.stdout).unwrap();
    assert!(text.starts_with("cluster-2: "), "who answers is not kept waiting: {text}");
    assert!(text.contains("cluster-1: 0 of 1 answered"), "{text}");
    hanging.signal(Signal::CONT);
}

#[test]
fn a_region_that_hangs_during_a_call_costs_no_more_than_the_timeout() {
    let mut dev = Dev::start(&["--regions", "1", "--clusters", "1", "--log", "ampmesh=debug"]);
    let data_dir = dev.data_dir.to_str().unwrap();
    let age = ["call", "cluster-1", "AgeCheez", "name=Gouda", "seconds=60", "--timeout", "2s"];
    let mut call = Running::start(ampmesh(&[&age[..], &["--data-dir", data_dir]].concat()));
    dev.process.line_with("a cheez is left to ripen");
    let hanging = dev.child("region-1");
    hanging.stop();
    call.line_with("asked through the region process region-1: no answer within 2000 ms; ");
    assert_eq!(call.ended().code(), Some(5));
    hanging.signal(Signal::CONT);
}

#[test]
fn a_region_that_hangs_is_listed_as_such_and_the_others_are_asked() {
    let dev = Dev::start(&["--regions", "2", "--clusters", "1"]);
    let hanging = dev.child("region-1");
    hanging.stop();
    let regions = dev.json(&["ls"])["regions"].clone();
    assert_eq!((&regions[0]["name"], &regions[0]["answer"]), (&json!("region-1"), &json!("none")));
    assert_eq!(regions[0]["waited_ms"], 1000.0);
    assert_eq!((&regions[1]["answer"], &regions[1]["waited_ms"]), (&json!("yes"), &json!(null)));
    let text = String::from_utf8(dev.run(&["ls"]).stdout).unwrap();
    assert!(text.contains("no answer in 1 s"), "{text}");

    let rate = ["call", "region-1", "RateCheez", "name=Gouda", "rating=7"];
    let (exit, err) = failure(&dev.run(&rate));
    assert_eq!(exit, 5, "{err}");
    assert!(err.contains("the region process `region-1` "), "{err}");
    assert!(err.contains(", but did not answer within 1 s"), "{err}");
    let (exit, err) = failure(&dev.run(&["ping", "region-1", "--timeout", "300ms"]));
    assert_eq!(exit, 5, "{err}");
    assert!(err.contains("within 300 ms"), "{err}");
    let eat = ["call", "cluster-1", "EatCheez", "name=Gouda", "origin=Holland"];
    assert!(dev.run(&eat).status.success(), "another region is asked");
    hanging.signal(Signal::CONT);
}

#[test]
fn without_a_region_process_the_operator_is_told_where_was_looked() {
    let empty = tempfile::tempdir().unwrap();
    let data_dir = empty.path().to_str().unwrap();
    for command in [&["ls"][..], &["describe"], &["call", "any", "X"], &["ping", "any"]] {
        let in_json = run(&[command, &["--json", "--data-dir", data_dir]].concat());
        let json: Value = serde_json::from_slice(&in_json.stdout).unwrap();
        assert_eq!(json["error"]["kind"], "no-region");
        let (exit, err) = failure(&run(&[command, &["--data-dir", data_dir]].concat()));
        assert_eq!(exit, 6, "{command:?}: {err}");
        assert!(err.contains(data_dir), "{err}");
    }
}

#[test]
fn the_sockets_of_dead_regions_are_skipped() {
    let dev = Dev::start(&["--regions", "1", "--clusters", "1"]);
    let dead = dev.data_dir.join("operator/a-dead-one.sock");
    drop(std::os::unix::net::UnixListener::bind(&dead).unwrap());
    assert_eq!(dev.json(&["ls"])["regions"].as_array().unwrap().len(), 1);
    assert!(dead.exists(), "only a region process that starts may tell the dead from the newborn");
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let dev = Dev::start(&["--regions", "1", "--clusters", "1"]);
    let data_dir = dev.data_dir.to_str().unwrap();
    let mut command = ampmesh(&["ping", "any", "-c", "2", "--data-dir", data_dir]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(failure(&output), (0, String::new()));
}

#[test]
fn completions_are_written_for_a_shell() {
    let output = run(&["completions", "bash"]);
    assert!(String::from_utf8(output.stdout).unwrap().contains("_ampmesh()"));
}

#[test]
fn help_tells_the_exit_codes() {
    let mut help = Running::start(ampmesh(&["--help"]));
    help.line_with("Exit codes:");
    help.line_with("6  no region process can be reached");
    assert_eq!(help.ended().code(), Some(0));
}
