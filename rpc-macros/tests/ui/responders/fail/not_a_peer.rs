use amp_proto::{Command, Never, responders};

#[derive(Command)]
#[command(answered_by = Cluster)]
struct EatCheez;

struct Cellar;

#[responders]
impl Cellar {
    #[responder]
    async fn eat_cheez(&self, _: EatCheez, _with: &str) -> Result<(), Never> {
        Ok(())
    }
}

fn main() {}
