use amp_proto::Arguments;

#[derive(Arguments)]
struct Traced {
    _trace: String,
}

fn main() {}
