use amp_proto::{Command, Never, responders};

#[derive(Command)]
#[command(answered_by = Cluster)]
struct EatCheez;

struct Cellar<'a> {
    name: &'a str,
}

#[responders]
impl<'a> Cellar<'a> {
    #[responder]
    async fn eat_cheez(&self, _: EatCheez) -> Result<(), Never> {
        Ok(())
    }
}

fn main() {}
