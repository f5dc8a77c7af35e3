use amp_proto::{Command, NoAnswer};

#[derive(Command)]
#[command(answered_by = any)]
struct EatCheez;

#[derive(Command)]
#[command(answered_by = any, no_answer)]
struct Ping;

fn send<C: NoAnswer>(_: C) {}

fn main() {
    send(Ping);
    send(EatCheez);
}
