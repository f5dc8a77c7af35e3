use amp_proto::{Command, Never, responders};

#[derive(Command)]
#[command(answered_by = Cluster)]
struct EatCheez;

trait Eats {
    async fn eat_cheez(&self, _: EatCheez) -> Result<(), Never>;
}

struct Cellar;

#[responders]
impl Eats for Cellar {
    #[responder]
    async fn eat_cheez(&self, _: EatCheez) -> Result<(), Never> {
        Ok(())
    }
}

fn main() {}
