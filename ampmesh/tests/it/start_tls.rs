//! Region and cluster processes that go on in TLS by StartTLS, with certificates from files.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Running, ampmesh, run};

/// A data directory with the mesh's secret, and a folder of certificates in it.
fn machine() -> TempDir {
    let home = tempfile::tempdir().unwrap();
    write_privately(&home.path().join("secret"), "00112233445566778899aabbccddeeff");
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, "an authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    fs::write(home.path().join("authorities.pem"), params.self_signed(&key).unwrap().pem())
        .unwrap();
    let issuer = Issuer::new(params, key);
    let own = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(Vec::new()).unwrap().signed_by(&own, &issuer).unwrap();
    fs::write(home.path().join("certificate.pem"), certificate.pem()).unwrap();
    write_privately(&home.path().join("key.pem"), &own.serialize_pem());
    home
}

fn write_privately(path: &Path, text: &str) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
}

fn with_certificate(mut command: Command, home: &Path) -> Command {
    for file in ["certificate", "key", "authorities"] {
        command.arg(format!("--start-tls-{file}-file")).arg(home.join(format!("{file}.pem")));
    }
    command.arg("--data-dir").arg(home);
    command
}

fn region(home: &Path) -> (Running, String) {
    let command = ampmesh(&["region", "--json", "--listen", "127.0.0.1", "--ports", "0"]);
    let mut region = Running::start(with_certificate(command, home));
    let ready: Value = serde_json::from_str(&region.line_with("\"role\"")).unwrap();
    (region, ready["address"].as_str().unwrap().to_owned())
}

#[test]
fn a_region_and_a_cluster_with_certificates_call_each_other() {
    let home = machine();
    let (_region, address) = region(home.path());
    let command = ampmesh(&["cluster", "--json", "--name", "rack", "--region", &address]);
    let mut cluster = Running::start(with_certificate(command, home.path()));
    cluster.line_with("connected to a region");
    let data_dir = home.path().to_str().unwrap();
    let eat = ["call", "rack", "EatCheez", "name=Gouda", "origin=Holland", "--data-dir", data_dir];
    let called = run(&eat);
    assert!(called.status.success(), "{called:?}");

    let listed = run(&["ls", "-v", "--json", "--data-dir", data_dir]);
    let mesh: Value = serde_json::from_slice(&listed.stdout).unwrap();
    let details = &mesh["connections"][0]["details"];
    assert_eq!((&details["transport"], &details["proved_by"]), (&json!("tls"), &json!("secret")));
    assert_eq!(details["key"], Value::Null);
}

#[test]
fn a_cluster_without_a_certificate_is_told_why_it_is_refused() {
    let home = machine();
    let (mut region, address) = region(home.path());
    let mut command = ampmesh(&["cluster", "--plain", "--json", "--name", "rack"]);
    command.args(["--region", &address]).arg("--data-dir").arg(home.path());
    let mut cluster = Running::start(command);
    let told = cluster.line_with("a region refused us");
    assert!(told.contains("whoever dials asks StartTLS first"), "{told}");
    let told = region.line_with("a connection was refused");
    assert!(told.contains("asked `Authenticate` in the clear"), "{told}");
}

#[test]
fn a_certificate_that_cannot_be_used_is_told_before_anything_starts() {
    let home = machine();
    let refused = |extra: &str| {
        let output = with_certificate(ampmesh(&["region"]), home.path()).output().unwrap();
        let err = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{extra}: {err}");
        err
    };
    fs::set_permissions(home.path().join("key.pem"), Permissions::from_mode(0o644)).unwrap();
    let err = refused("a key for everybody");
    assert!(err.contains("cannot use the certificate for StartTLS: the private key "), "{err}");
    assert!(err.contains("can be read by other users"), "{err}");
    fs::remove_file(home.path().join("certificate.pem")).unwrap();
    let err = refused("no certificate");
    assert!(err.contains("cannot read ") && err.contains("certificate.pem"), "{err}");

    let output = run(&["region", "--start-tls-key-file", "/k"]);
    let err = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{err}");
    assert!(err.contains("`start-tls-certificate-file` is missing"), "{err}");
}
