use amp_proto::{Arguments, Command, ItemSender, Items, Never, Peer, responders};

#[derive(Arguments)]
struct Reading {
    celsius: i32,
}

#[derive(Command)]
#[command(answered_by = Cluster, answers = stream Reading)]
struct Watch;

#[derive(Command)]
#[command(answered_by = Cluster)]
struct Knock;

struct Cellar;

#[responders]
impl Cellar {
    #[responder]
    async fn watch(&self, _: Watch, _: Items<Reading>) -> Result<(), Never> {
        Ok(())
    }

    #[responder]
    async fn knock(&self, _: Knock, _: ItemSender<Reading>, _: Peer) -> Result<(), Never> {
        Ok(())
    }
}

fn main() {}
