use amp_proto::{Command, Never, responders};

#[derive(Command)]
#[command(answered_by = Cluster)]
struct EatCheez;

type Same = EatCheez;

struct Cellar;

#[responders]
impl Cellar {
    #[responder]
    async fn eat_cheez(&self, _: EatCheez) -> Result<(), Never> {
        Ok(())
    }

    #[responder]
    async fn eat_more_cheez(&self, _: Same) -> Result<(), Never> {
        Ok(())
    }
}

fn main() {}
