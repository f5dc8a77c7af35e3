use amp_proto::Command;

#[derive(Command)]
#[command(answered_by = any, respone = u8, no_answer = true)]
struct Misspelt;

#[derive(Command)]
#[command(answered_by = any, errors = Never, errors = Never)]
struct Again;

#[derive(Command)]
#[command(answered_by = any, afterwards = Explode)]
struct Wild;

#[derive(Command)]
#[command]
struct Bare;

#[derive(Command)]
#[command = "EatCheez"]
struct Assigned;

fn main() {}
