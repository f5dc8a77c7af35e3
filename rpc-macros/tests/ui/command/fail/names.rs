use amp_proto::Command;

#[derive(Command)]
#[command(answered_by = any, name = "")]
struct Nameless;

#[derive(Command)]
#[command(answered_by = any, name = "EßKäse")]
struct EatCheez;

#[derive(Command)]
#[command(answered_by = any)]
struct EßKäse;

#[derive(Command)]
#[command(answered_by = any, name = EatCheez)]
struct Unquoted;

fn main() {}
