use amp_proto::{Command, Never, responders};

#[derive(Command)]
#[command(answered_by = Cluster)]
struct EatCheez;

struct Cellar {
    eaten: std::cell::Cell<u32>,
}

#[responders]
impl Cellar {
    #[responder]
    async fn eat_cheez(&self, _: EatCheez) -> Result<(), Never> {
        self.eaten.set(1);
        Ok(())
    }
}

fn main() {}
