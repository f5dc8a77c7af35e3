use amp_proto::Arguments;

#[derive(Arguments)]
struct CheezRating(u8);

#[derive(Arguments)]
struct NoRating();

fn main() {}
