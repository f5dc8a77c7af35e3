use amp_proto::{Command, Never, responders};

#[derive(Command)]
#[command(answered_by = Cluster)]
struct Eat;

#[derive(Command)]
#[command(answered_by = Cluster)]
struct Cut;

#[derive(Command)]
#[command(answered_by = Cluster)]
struct Buy;

#[derive(Command)]
#[command(answered_by = Cluster)]
struct Sell;

struct Cellar;

#[responders]
impl Cellar {
    #[responder]
    async fn eat(_: Eat) -> Result<(), Never> {
        Ok(())
    }

    #[responder]
    async fn cut(&mut self, _: Cut) -> Result<(), Never> {
        Ok(())
    }

    #[responder]
    async fn buy(self, _: Buy) -> Result<(), Never> {
        Ok(())
    }

    #[responder]
    async fn sell(self: std::sync::Arc<Self>, _: Sell) -> Result<(), Never> {
        Ok(())
    }
}

fn main() {}
