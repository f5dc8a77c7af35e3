use amp_proto::Arguments;

#[derive(Arguments)]
struct Twice {
    rating: u8,
    #[amp(key = "rating")]
    stars: u8,
    #[amp(key = "points")]
    first: u8,
    points: u8,
}

fn main() {}
