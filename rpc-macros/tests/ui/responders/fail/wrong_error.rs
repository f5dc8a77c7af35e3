use amp_proto::{Command, CommandError, Failure, Never, responders};

#[derive(Debug, thiserror::Error, CommandError)]
enum CheezError {
    #[error("the cellar is locked")]
    #[code("CELLAR_LOCKED")]
    CellarLocked,
}

#[derive(Command)]
#[command(answered_by = Cluster, errors = CheezError)]
struct EatCheez;

#[derive(Command)]
#[command(answered_by = Cluster)]
struct Ping;

struct Cellar;

#[responders]
impl Cellar {
    #[responder]
    async fn eat_cheez(&self, _: EatCheez) -> Result<(), std::io::Error> {
        Ok(())
    }

    #[responder]
    async fn ping(&self, _: Ping) -> Result<(), Failure<CheezError>> {
        let _: Option<Never> = None;
        Ok(())
    }
}

fn main() {}
