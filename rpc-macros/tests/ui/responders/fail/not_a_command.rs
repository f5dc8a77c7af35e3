use amp_proto::{Never, responders};

struct EatCheez;

struct Cellar;

#[responders]
impl Cellar {
    #[responder]
    async fn eat_cheez(&self, _: EatCheez) -> Result<(), Never> {
        Ok(())
    }
}

fn main() {}
