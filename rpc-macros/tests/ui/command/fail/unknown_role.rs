use amp_proto::{Command, Responder};

#[derive(Command)]
#[command(answered_by = Kitchen)]
struct EatCheez;

#[derive(Command)]
#[command(answered_by(Region, mesh::Kitchen))]
struct CutCheez;

// What follows is in order, and nothing is said of it.
fn answers<C: Command>(_: impl Responder<C>) {}

fn ask(cellar: impl Responder<EatCheez> + Responder<CutCheez>) {
    answers::<EatCheez>(cellar);
}

fn main() {}
