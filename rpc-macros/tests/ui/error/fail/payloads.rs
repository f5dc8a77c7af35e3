use amp_proto::CommandError;

#[derive(Debug, thiserror::Error, CommandError)]
enum CheezError {
    #[error("too old by {0}")]
    #[code("TOO_OLD")]
    TooOld(u8),
    #[error("{0} and {1}")]
    #[code("TWO")]
    Two(String, String),
    #[error("no such cheez")]
    #[code("NO_SUCH_CHEEZ")]
    NoSuchCheez { name: String },
    #[error("nothing")]
    #[code("NOTHING")]
    Nothing(),
}

fn main() {}
