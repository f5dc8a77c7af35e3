use amp_proto::{Command, Never, responder, responders};

#[derive(Command)]
#[command(answered_by = Cluster)]
struct EatCheez;

#[responders]
struct Cellar;

impl Cellar {
    #[responder]
    async fn eat_cheez(&self, _: EatCheez) -> Result<(), Never> {
        Ok(())
    }
}

struct Tower;

#[responders]
impl Tower {
    #[responder]
    const HEIGHT: u32 = 3;

    #[responder(EatCheez)]
    async fn eat_cheez(&self, _: EatCheez) -> Result<(), Never> {
        Ok(())
    }
}

struct Shed;

#[responders]
impl Shed {
    async fn eat_cheez(&self, _: EatCheez) -> Result<(), Never> {
        Ok(())
    }
}

struct Barn;

#[responders(region)]
impl Barn {
    #[responder]
    async fn eat_cheez(&self, _: EatCheez) -> Result<(), Never> {
        Ok(())
    }
}

fn main() {}
