use amp_proto::{Command, Never, responders};

#[derive(Command)]
#[command(answered_by = Cluster)]
struct EatCheez;

#[derive(Command)]
#[command(answered_by = Cluster)]
struct Ping;

struct Cellar;

#[responders]
impl Cellar {
    #[responder]
    async fn eat_cheez(&self, _: EatCheez) -> Result<(), Never> {
        Ok(())
    }
}

#[responders]
impl Cellar {
    #[responder]
    async fn ping(&self, _: Ping) -> Result<(), Never> {
        Ok(())
    }
}

fn main() {}
