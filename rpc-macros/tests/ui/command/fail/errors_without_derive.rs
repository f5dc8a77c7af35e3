use amp_proto::Command;

#[derive(Debug)]
enum CheezError {
    CellarLocked,
}

#[derive(Command)]
#[command(answered_by = Cluster, errors = CheezError)]
struct EatCheez {
    name: String,
}

fn main() {}
