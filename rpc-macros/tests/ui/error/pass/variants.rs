//! Every form that a declared error can have.

use amp_proto::CommandError;

#[derive(Debug, PartialEq, thiserror::Error, CommandError)]
#[non_exhaustive]
enum CheezError {
    #[error("the cellar is locked")]
    #[code("CELLAR_LOCKED")]
    CellarLocked,
    #[error("no such cheez: {0}")]
    #[code("NO_SUCH_CHEEZ")]
    NoSuchCheez(String),
    #[error("the cellar is on fire")]
    #[code("FIRE", fatal)]
    Fire,
    #[error("{0}")]
    #[code("FLOOD", fatal,)]
    Flood(std::string::String),
}

#[derive(Debug, thiserror::Error, CommandError)]
enum NoError {}

fn main() {
    let codes = CheezError::CODES.iter().map(|schema| schema.code).collect::<Vec<_>>();
    assert_eq!(codes, ["CELLAR_LOCKED", "NO_SUCH_CHEEZ", "FIRE", "FLOOD"]);
    assert!(CheezError::Fire.code().fatal);
    assert!(NoError::CODES.is_empty());
    assert!(NoError::from_code("CELLAR_LOCKED", "").is_none());
}
