use amp_proto::Choice;

#[derive(Choice)]
enum Power {
    #[wire("on")]
    On,
    Off,
}

fn main() {}
