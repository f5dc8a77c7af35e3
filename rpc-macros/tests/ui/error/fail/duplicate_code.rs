use amp_proto::CommandError;

#[derive(Debug, thiserror::Error, CommandError)]
enum CheezError {
    #[error("the cellar is locked")]
    #[code("CELLAR")]
    CellarLocked,
    #[error("the cellar is flooded")]
    #[code("CELLAR", fatal)]
    CellarFlooded,
}

fn main() {}
