//! Every form that a responder can have.

use amp_proto::{
    Arguments, Command, CommandError, Failure, Never, Peer, ResponderTable, assert_answers,
    responders,
};

#[derive(Arguments)]
struct CheezRating {
    rating: u8,
}

#[derive(Debug, thiserror::Error, CommandError)]
enum CheezError {
    #[error("the cellar is locked")]
    #[code("CELLAR_LOCKED")]
    CellarLocked,
}

mod commands {
    #[derive(amp_proto::Command)]
    #[command(answered_by = Cluster, response = super::CheezRating, errors = super::CheezError)]
    pub(crate) struct EatCheez {
        pub(crate) name: String,
    }
}

#[derive(Command)]
#[command(answered_by = Cluster, response = CheezRating, errors = CheezError)]
struct CutCheez {
    pieces: u8,
}

#[derive(Command)]
#[command(answered_by = any)]
struct Ping;

#[derive(Command)]
#[command(answered_by = any)]
struct Pong;

#[derive(Command)]
#[command(answered_by = any)]
struct Gone;

type Answer<R> = Result<R, Failure<CheezError>>;

struct Cellar {
    locked: bool,
}

#[responders]
#[allow(clippy::unused_async)]
impl Cellar {
    const PIECES_MAX: u8 = 7;

    #[responder]
    async fn eat_cheez(&self, cheez: commands::EatCheez) -> Result<CheezRating, CheezError> {
        if self.locked || cheez.name.is_empty() { Err(CheezError::CellarLocked)? }
        Ok(CheezRating { rating: 9 })
    }

    /// A pattern is as good as a name, and an alias as good as what it stands for.
    #[responder]
    pub async fn cut_cheez(&self, CutCheez { pieces }: CutCheez, _: &Peer) -> Answer<CheezRating> {
        let rating = Self::PIECES_MAX.checked_sub(pieces).ok_or(CheezError::CellarLocked)?;
        let rating = self.checked(rating).map_err(Failure::undeclared)?;
        Ok(CheezRating { rating })
    }

    #[responder]
    async fn ping(&self, _: Ping, peer: &Peer) -> Result<(), Failure<Never>> {
        let _ = peer.address();
        Ok(())
    }

    #[responder]
    async fn pong<'a>(&'a self, _pong: Pong, _peer: &'a Peer) -> core::result::Result<(), Never> {
        Ok(())
    }

    #[cfg(any())]
    #[responder]
    async fn gone(&self, _: Gone) -> Result<(), Never> {
        Ok(())
    }

    fn checked(&self, rating: u8) -> Result<u8, core::fmt::Error> {
        if rating > 100 { Err(core::fmt::Error) } else { Ok(rating) }
    }
}

assert_answers!(Cellar: commands::EatCheez, CutCheez, Ping, Pong);

fn main() {
    let names = Cellar::TABLE.iter().map(|entry| entry.schema.name).collect::<Vec<_>>();
    assert_eq!(names, ["EatCheez", "CutCheez", "Ping", "Pong"]);
    let _ = (Cellar { locked: false }, Gone);
}
