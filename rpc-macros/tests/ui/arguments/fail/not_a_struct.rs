use amp_proto::Arguments;

#[derive(Arguments)]
enum Rating {
    Good,
    Bad,
}

#[derive(Arguments)]
union Either {
    stars: u8,
    points: u16,
}

fn main() {}
