use amp_proto::Command;

#[derive(Command)]
enum Cheez {
    Eat,
    Cut,
}

#[derive(Command)]
#[command(answered_by = Cluster)]
struct EatCheez(String);

fn main() {}
