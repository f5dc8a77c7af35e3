use amp_proto::{Command, Never, assert_answers, responders};

#[derive(Command)]
#[command(answered_by = Cluster)]
struct EatCheez;

#[derive(Command)]
#[command(answered_by = Cluster)]
struct CutCheez;

struct Cellar;

#[responders]
impl Cellar {
    #[responder]
    fn eat_cheez(&mut self, _: EatCheez, _: u8, _: u8) -> Result<(), Never> {
        Ok(())
    }

    #[responder]
    async fn cut_cheez(&self, _: &CutCheez) -> Result<(), Never> {
        Ok(())
    }

    #[responder]
    async fn eat_again(&self, _: EatCheez) -> Result<(), Never> {
        Ok(())
    }
}

// One message for each mistake, and none for what follows from them.
assert_answers!(Cellar: EatCheez, CutCheez);

fn main() {}
