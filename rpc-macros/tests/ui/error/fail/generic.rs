use amp_proto::CommandError;

#[derive(Debug, thiserror::Error, CommandError)]
enum CheezError<T: std::fmt::Debug> {
    #[error("{0}")]
    #[code("NO_SUCH_CHEEZ")]
    NoSuchCheez(String),
    #[error("{0:?}")]
    #[code("OTHER")]
    Other(T),
}

fn main() {}
