use amp_proto::CommandError;

#[derive(Debug, thiserror::Error, CommandError)]
enum CheezError {
    #[error("bare")]
    #[code]
    Bare,
    #[error("assigned")]
    #[code = "ASSIGNED"]
    Assigned,
    #[error("unquoted")]
    #[code(UNQUOTED)]
    Unquoted,
    #[error("misspelt")]
    #[code("MISSPELT", fattal)]
    Misspelt,
    #[error("twice")]
    #[code("ONCE")]
    #[code("TWICE")]
    Twice,
}

fn main() {}
