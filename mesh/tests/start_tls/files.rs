//! What is refused before anything starts: files that are not what they should be.

use std::fs::{Permissions, set_permissions, write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use mesh::{X509Error, X509Identity};
use tempfile::TempDir;

use crate::certificates::{Authority, Shown};

struct Files {
    folder: TempDir,
}

impl Files {
    fn new(shown: &Shown, authority: &Authority) -> Self {
        let files = Self { folder: tempfile::tempdir().unwrap() };
        write(files.path("certificate.pem"), &shown.certificate).unwrap();
        write(files.path("key.pem"), &shown.key).unwrap();
        write(files.path("authorities.pem"), &authority.pem).unwrap();
        set_permissions(files.path("key.pem"), Permissions::from_mode(0o600)).unwrap();
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn read(&self) -> Result<X509Identity, X509Error> {
        let [certificate, key, authorities] =
            ["certificate.pem", "key.pem", "authorities.pem"].map(|name| self.path(name));
        X509Identity::from_pem_files(certificate, key, authorities)
    }
}

fn files() -> Files {
    let authority = Authority::new();
    Files::new(&authority.sign(), &authority)
}

#[test]
fn a_private_key_that_others_can_read_is_refused() {
    let files = files();
    files.read().unwrap();
    for mode in [0o640, 0o604, 0o620, 0o644] {
        set_permissions(files.path("key.pem"), Permissions::from_mode(mode)).unwrap();
        assert!(matches!(files.read(), Err(X509Error::Exposed { .. })), "{mode:o}");
    }
}

#[test]
fn a_file_that_is_missing_or_far_too_long_is_named() {
    for name in ["certificate.pem", "key.pem", "authorities.pem"] {
        let files = files();
        write(files.path(name), vec![b'\n'; 1024 * 1024 + 1]).unwrap();
        let words = files.read().unwrap_err().to_string();
        assert!(words.ends_with(&format!("{name} is longer than 1048576 bytes")), "{words}");
        std::fs::remove_file(files.path(name)).unwrap();
        let words = files.read().unwrap_err().to_string();
        assert!(words.starts_with("cannot read ") && words.ends_with(name), "{words}");
    }
}

#[test]
fn a_file_without_what_it_is_for_says_what_is_missing() {
    for (name, missing) in [
        ("certificate.pem", "there is no certificate in PEM, which begins with"),
        ("key.pem", "there is no private key in PEM, which begins with"),
        ("authorities.pem", "there is no authority's certificate in PEM, which begins with"),
    ] {
        let files = files();
        write(files.path(name), "something else\n").unwrap();
        let words = files.read().unwrap_err().to_string();
        assert!(words.starts_with(missing), "{words}");
    }
}

#[test]
fn a_certificate_of_another_key_is_refused_and_nothing_of_the_key_is_told() {
    let authority = Authority::new();
    let (shown, other) = (authority.sign(), authority.sign());
    let mixed = Shown { certificate: shown.certificate, key: other.key.clone() };
    let error = Files::new(&mixed, &authority).read().unwrap_err();
    assert!(matches!(error, X509Error::Unusable { .. }), "{error:?}");

    let torn = other.key.replace("-----END", "!-----END");
    let torn = Shown { certificate: mixed.certificate, key: torn };
    let error = Files::new(&torn, &authority).read().unwrap_err();
    let told = format!("{error} {error:?}");
    assert!(matches!(error, X509Error::NotPem { .. }), "{told}");
    assert!(other.key.lines().all(|line| line.starts_with("--") || !told.contains(line)), "{told}");
}

#[test]
fn more_certificates_than_a_chain_or_a_list_may_have_are_refused() {
    let authority = Authority::new();
    let mut shown = authority.sign();
    shown.certificate = shown.certificate.repeat(11);
    let words = Files::new(&shown, &authority).read().unwrap_err().to_string();
    assert_eq!(words, "there are more than 10 certificates");

    let files = files();
    write(files.path("authorities.pem"), authority.pem.repeat(257)).unwrap();
    let words = files.read().unwrap_err().to_string();
    assert_eq!(words, "there are more than 256 authority's certificates");
}

#[test]
fn an_identity_is_not_printed_but_for_its_authorities() {
    let shown = format!("{:?}", files().read().unwrap());
    assert_eq!(shown, "X509Identity { authorities: 1, .. }");
}
