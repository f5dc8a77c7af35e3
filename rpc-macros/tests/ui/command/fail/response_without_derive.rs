use amp_proto::Command;

struct CheezRating {
    rating: u8,
}

#[derive(Command)]
#[command(answered_by = Cluster, response = CheezRating)]
struct EatCheez {
    name: String,
}

fn main() {}
