use amp_proto::CommandError;

#[derive(Debug, thiserror::Error, CommandError)]
#[error("the cellar is locked")]
struct CellarLocked;

fn main() {}
