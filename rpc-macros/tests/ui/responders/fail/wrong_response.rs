use amp_proto::{Arguments, Command, Never, responders};

#[derive(Arguments)]
struct CheezRating {
    rating: u8,
}

#[derive(Command)]
#[command(answered_by = Cluster, response = CheezRating)]
struct EatCheez;

#[derive(Command)]
#[command(answered_by = Cluster, response = CheezRating)]
struct CutCheez;

#[derive(Command)]
#[command(answered_by = Cluster)]
struct Ping;

struct Cellar;

#[responders]
impl Cellar {
    #[responder]
    async fn eat_cheez(&self, _: EatCheez) -> Result<u8, Never> {
        Ok(9)
    }

    #[responder]
    async fn cut_cheez(&self, _: CutCheez) -> Option<CheezRating> {
        None
    }

    #[responder]
    async fn ping(&self, _: Ping) {}
}

fn main() {}
