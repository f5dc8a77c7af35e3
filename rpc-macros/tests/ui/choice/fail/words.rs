use amp_proto::Choice;

#[derive(Choice)]
enum Power {
    #[wire("on")]
    On,
    #[wire("on")]
    Off,
    #[wire("")]
    Unknown,
    #[wire]
    Bare,
    #[wire(5)]
    Number,
    #[wire("one")]
    #[wire("two")]
    Twice,
}

fn main() {}
