use amp_proto::Arguments;

#[derive(Arguments)]
struct Origin<'a> {
    country: &'a str,
}

fn main() {}
