use amp_proto::{Command, Never, Peer, responders};

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
    async fn nothing(&self) -> Result<(), Never> {
        Ok(())
    }

    #[responder]
    async fn eat(&self, _: &Eat) -> Result<(), Never> {
        Ok(())
    }

    #[responder]
    async fn cut(&self, _: Cut, _peer: Peer) -> Result<(), Never> {
        Ok(())
    }

    #[responder]
    async fn buy(&self, _: Buy, _peer: &Peer, _euros: u32) -> Result<(), Never> {
        Ok(())
    }

    #[responder]
    async fn sell<T>(&self, _: Sell) -> Result<(), Never> {
        Ok(())
    }
}

fn main() {}
