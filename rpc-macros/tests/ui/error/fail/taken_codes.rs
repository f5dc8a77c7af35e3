use amp_proto::CommandError;

#[derive(Debug, thiserror::Error, CommandError)]
enum CheezError {
    #[error("unknown")]
    #[code("UNKNOWN")]
    Unknown,
    #[error("unhandled")]
    #[code("UNHANDLED")]
    Unhandled,
    #[error("overloaded")]
    #[code("OVERLOADED")]
    Overloaded,
    #[error("empty")]
    #[code("")]
    Empty,
    #[error("not ascii")]
    #[code("KÄSE")]
    NotAscii,
}

fn main() {}
