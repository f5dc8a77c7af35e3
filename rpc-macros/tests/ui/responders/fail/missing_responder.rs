use amp_proto::{Command, Never, assert_answers, responders};

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
    async fn ping(&self, _: Ping) -> Result<(), Never> {
        Ok(())
    }

    async fn eat_cheez(&self, _: EatCheez) -> Result<(), Never> {
        Ok(())
    }
}

assert_answers!(Cellar: Ping, EatCheez);

fn main() {}
