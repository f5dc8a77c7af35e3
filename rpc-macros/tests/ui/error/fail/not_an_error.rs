use amp_proto::CommandError;

#[derive(Debug, CommandError)]
enum CheezError {
    #[code("CELLAR_LOCKED")]
    CellarLocked,
}

fn main() {}
