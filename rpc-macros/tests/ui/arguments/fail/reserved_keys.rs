use amp_proto::Arguments;

#[derive(Arguments)]
struct Boxed {
    _ask: String,
    _answer: String,
    _error: String,
    _error_code: String,
    _error_description: String,
    #[amp(key = "_command")]
    command: String,
}

fn main() {}
