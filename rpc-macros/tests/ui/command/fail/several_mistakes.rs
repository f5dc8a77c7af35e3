use amp_proto::{Command, Failure, Never, Peer, Responder};

#[derive(Command)]
#[command(answered_by = Kitchen, name = "", respone = CheezRating)]
struct EatCheez {
    _ask: u8,
    name: String,
    #[amp(key = "name")]
    title: String,
}

// One message for each mistake, and none for what follows from them.
struct Cellar;

impl Responder<EatCheez> for Cellar {
    async fn respond(&self, _: EatCheez, _: &Peer) -> Result<(), Failure<Never>> {
        Ok(())
    }
}

fn main() {}
