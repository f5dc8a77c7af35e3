use amp_proto::{Arguments, Command, ItemSender, Items, Never, Peer, responders};

#[derive(Arguments)]
struct Reading {
    celsius: i32,
}

#[derive(Command)]
#[command(answered_by = Cluster, takes = stream Reading, answers = stream Reading)]
struct Both;

#[derive(Command)]
#[command(answered_by = Cluster, takes = stream Reading, response = Reading)]
struct Take;

struct Cellar;

#[responders]
impl Cellar {
    #[responder]
    async fn both(
        &self,
        _: Both,
        mut out: ItemSender<Reading>,
        _peer: &Peer,
        mut readings: Items<Reading>,
    ) -> Result<(), Never> {
        while let Ok(Some(reading)) = readings.next().await {
            let _sent = out.send(reading).await;
        }
        Ok(())
    }

    // What is not wanted need not be taken.
    #[responder]
    async fn take(&self, _: Take) -> Result<Reading, Never> {
        Ok(Reading { celsius: 0 })
    }
}

fn main() {}
