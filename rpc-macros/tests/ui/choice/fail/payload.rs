use amp_proto::Choice;

#[derive(Choice)]
enum Power {
    #[wire("on")]
    On(u8),
    #[wire("off")]
    Off { since: u64 },
}

fn main() {}
