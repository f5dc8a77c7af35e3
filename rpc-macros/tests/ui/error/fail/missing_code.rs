use amp_proto::CommandError;

#[derive(Debug, thiserror::Error, CommandError)]
enum CheezError {
    #[error("the cellar is locked")]
    CellarLocked,
    #[error("there is no cheez called {0}")]
    NoSuchCheez(String),
}

fn main() {}
