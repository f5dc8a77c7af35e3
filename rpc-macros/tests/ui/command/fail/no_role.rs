use amp_proto::Command;

#[derive(Command)]
#[command(response = ())]
struct EatCheez;

#[derive(Command)]
struct Ping;

fn main() {}
