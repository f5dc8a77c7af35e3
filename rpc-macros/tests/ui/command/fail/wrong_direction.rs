use amp_proto::{AnsweredBy, Cluster, Command, Region, Role};

#[derive(Command)]
#[command(answered_by = Cluster)]
struct EatCheez {
    name: String,
}

fn call<R: Role, C: AnsweredBy<R>>(_: R, _: C) {}

fn main() {
    call(Cluster, EatCheez { name: String::new() });
    call(Region, EatCheez { name: String::new() });
}
