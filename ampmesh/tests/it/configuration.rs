//! Where settings come from, and how mistakes in them are told.

use std::fs;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Running, ampmesh, failure, run};

fn with_file(text: &str) -> (TempDir, String) {
    let scratch = tempfile::Builder::new().prefix("amp").tempdir().unwrap();
    let path = scratch.path().join("mesh.toml");
    fs::write(&path, text).unwrap();
    let path = path.to_str().unwrap().to_owned();
    (scratch, path)
}

#[test]
fn a_mistake_in_the_file_is_told_with_its_place_and_what_was_meant() {
    let cases = [
        ("[region]\nlissten = '::'\n", ":2:1: unknown key `lissten`; did you mean `listen`?"),
        ("[regions]\n", ":1:2: unknown key `regions`; did you mean `region`?"),
        (
            "[region]\nlisten = 'localhost'\n",
            ":2:10: `localhost` is not an IP address: write 127.0.0.1 or ::1",
        ),
        ("[region]\nports = 'many'\n", ":2:9: `many` is not a port, 0 to 65535"),
        ("[cluster]\nregions = ['tower']\n", ":2:12: the port is missing: write tower:5250"),
        ("[limits]\ncall-timeout = '5 parsecs'\n", ":2:16: `parsecs` is not a unit of time"),
        ("log = \n", ":1:"),
    ];
    for (text, expected) in cases {
        let (_scratch, path) = with_file(text);
        let (exit, err) = failure(&run(&["region", "--config", &path]));
        assert_eq!(exit, 2, "{text:?}: {err}");
        assert!(err.contains(&format!("mesh.toml{expected}")), "{text:?}: {err}");
    }
    let (exit, err) = failure(&run(&["ls", "--config", "/nowhere/mesh.toml"]));
    assert_eq!(exit, 2, "{err}");
    assert!(err.contains("cannot read the configuration file /nowhere/mesh.toml"), "{err}");
}

#[test]
fn flags_win_over_the_environment_and_that_over_the_file() {
    let (scratch, path) = with_file(
        "data-dir = 'state'\nplain = true\n\
         [region]\nname = 'from-file'\nlisten = '127.0.0.1'\nports = 0\n",
    );
    let name_of = |environment: Option<&str>, flag: Option<&str>| {
        let mut command = ampmesh(&["region", "--config", &path, "--json"]);
        command.args(flag.map(|name| format!("--name={name}")));
        command.envs(environment.map(|name| ("AMPMESH_NAME", name)));
        let mut process = Running::start(command);
        let ready: Value = serde_json::from_str(&process.line_with("\"role\"")).unwrap();
        ready["name"].as_str().unwrap().to_owned()
    };
    assert_eq!(name_of(None, None), "from-file");
    assert_eq!(name_of(Some("from-environment"), None), "from-environment");
    assert_eq!(name_of(Some("from-environment"), Some("from-flag")), "from-flag");
    assert!(scratch.path().join("state/secret").exists(), "paths start at the file's directory");
}

#[test]
fn a_process_says_with_how_many_threads_it_runs() {
    let (_scratch, path) = with_file(
        "data-dir = 'state'\nthreads = 2\nplain = true\n\
         [region]\nname = 'north'\nlisten = '127.0.0.1'\nports = 0\n\
         [cluster]\nregions = ['127.0.0.1:1']\n",
    );
    let mut region = Running::start(ampmesh(&["region", "--config", &path]));
    let line = region.line_with("region north listens on");
    assert!(line.contains("; threads: 2; operators: "), "{line}");
    let told = |environment: &str| {
        let mut command = ampmesh(&["cluster", "--config", &path, "--json"]);
        command.env("AMPMESH_THREADS", environment);
        let mut cluster = Running::start(command);
        let ready: Value = serde_json::from_str(&cluster.line_with("\"role\"")).unwrap();
        ready["threads"].clone()
    };
    assert_eq!(told("1"), 1);
    assert_eq!(told("3"), 3);
}

#[test]
fn a_number_of_threads_that_cannot_be_is_told_with_those_that_can() {
    let refusal = |text: &str, environment: Option<&str>| {
        let (_scratch, path) = with_file(text);
        let mut command = ampmesh(&["region", "--config", &path]);
        let output = command.envs(environment.map(|it| ("AMPMESH_THREADS", it))).output().unwrap();
        let (exit, err) = failure(&output);
        assert_eq!(exit, 2, "{err}");
        assert!(err.contains("expected a whole number from 1 to 255"), "{err}");
        err
    };
    for number in ["0", "256", "-1"] {
        let err = refusal(&format!("threads = {number}\n"), None);
        assert!(
            err.contains(&format!("mesh.toml:1:11: invalid value: integer `{number}`")),
            "{err}"
        );
        let err = refusal("", Some(number));
        assert!(err.contains(&format!("invalid value '{number}' for '--threads <N>'")), "{err}");
    }
}

#[test]
fn what_is_meant_for_a_database_is_not_taken_for_a_file() {
    let (scratch, file) = with_file("[region]\nregistry = 'host=h password=geheim'\n");
    let data_dir = scratch.path().join("data");
    let region = |text: Option<&str>, flags: &[&str]| {
        let mut command = ampmesh(&["region", "--listen", "127.0.0.1", "--ports", "0"]);
        command.args(flags).arg("--data-dir").arg(&data_dir).current_dir(scratch.path());
        command.envs(text.map(|text| ("AMPMESH_REGISTRY", text)));
        let mut region = Running::start(command);
        assert_eq!(region.ended().code(), Some(2));
        region.rest()
    };
    let said = [
        region(Some("host=h password=geheim"), &[]),
        region(Some("postgres//u:geheim@h/d"), &[]),
        region(None, &["--registry", "host=h password = geheim"]),
        region(None, &["--config", &file]),
    ];
    for said in said {
        assert!(said.contains("postgres://USER:PASSWORD@HOST:PORT/DATABASE"), "{said}");
        assert!(!said.contains("geheim"), "{said}");
    }
    let made = fs::read_dir(scratch.path()).unwrap().flatten();
    let made: Vec<_> = made.map(|it| it.file_name().into_string().unwrap()).collect();
    assert!(!made.iter().any(|name| name.contains("geheim")), "{made:?}");
}

#[test]
fn a_key_or_secret_that_is_no_regular_file_does_not_hold_the_start_up() {
    let (scratch, _file) = with_file("");
    let pipe = |name: &str| {
        let path = scratch.path().join(name);
        assert!(Command::new("mkfifo").args(["-m", "600"]).arg(&path).status().unwrap().success());
        path
    };
    let (key, secret) = (pipe("region-north.key"), pipe("a-secret"));
    let secret_file = ["--secret-file", secret.to_str().unwrap()];
    let region = ["region", "--listen", "127.0.0.1", "--ports", "0"];
    for (path, arguments) in [
        (&key, [&region[..], &["--name", "north"]].concat()),
        (&secret, [&region[..], &["--name", "south"], &secret_file].concat()),
        (&secret, [&["cluster", "--region", "127.0.0.1:1"][..], &secret_file].concat()),
    ] {
        let mut command = ampmesh(&arguments);
        command.arg("--data-dir").arg(scratch.path());
        let mut process = Running::start(command);
        // Whoever reads it none the less reads to its end once this is gone.
        let _writer = fs::File::options().read(true).write(true).open(path).unwrap();
        process.line_with("it is not a regular file");
        assert_eq!(process.ended().code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn what_the_environment_says_is_not_asked_for_in_the_usage() {
    let output = ampmesh(&["call", "any"]).env("AMPMESH_DATA_DIR", "/d").output().unwrap();
    let (exit, err) = failure(&output);
    assert_eq!(exit, 2);
    assert!(err.contains("Usage: ampmesh call [OPTIONS] <TARGET> <COMMAND> "), "{err}");
}

#[test]
fn a_bad_log_filter_is_refused() {
    let (exit, err) = failure(&run(&["ls", "--log", "mesh=loud"]));
    assert_eq!(exit, 2);
    assert!(err.contains("`mesh=loud` is not a log filter"), "{err}");
}

#[test]
fn log_lines_can_be_json() {
    let (_scratch, path) = with_file(
        "data-dir = 'state'\nlog-format = 'json'\n\
         [region]\nname = 'north'\nlisten = '127.0.0.1'\nports = 0\n",
    );
    let mut north = Running::start(ampmesh(&["region", "--config", &path]));
    let line: Value = serde_json::from_str(&north.line_with("a region listens")).unwrap();
    assert_eq!(line["level"], "INFO");
}

#[test]
fn an_address_that_nobody_can_connect_to_is_not_advertised() {
    for ip in ["0.0.0.0", "::", "224.0.0.1"] {
        let (scratch, path) = with_file(&format!("[region]\nadvertise = ['{ip}']\n"));
        let data_dir = scratch.path().to_str().unwrap();
        let region = ["region", "--config", &path, "--data-dir", data_dir, "--ports", "0"];
        let (exit, err) = failure(&run(&region));
        assert_eq!(exit, 2, "{err}");
        assert!(err.contains(&format!("{ip} cannot be advertised")), "{err}");
    }
}

#[test]
fn operators_are_served_however_small_the_boxes_of_clusters_are() {
    let (scratch, path) = with_file(
        "[region]\nname = 'north'\nlisten = '127.0.0.1'\nports = 0\n\
         [limits]\nbox-bytes-max = 1024\n",
    );
    let data_dir = scratch.path().to_str().unwrap().to_owned();
    let mut region =
        Running::start(ampmesh(&["region", "--config", &path, "--data-dir", &data_dir]));
    region.line_with("region north listens on");
    for command in [&["describe", "north"][..], &["ls"], &["keys", "ls"], &["ping", "north"]] {
        let output = run(&[command, &["--data-dir", &data_dir]].concat());
        assert!(output.status.success(), "{command:?}: {output:?}");
    }
}
