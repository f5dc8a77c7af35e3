//! Commands with everything said, and with as little as can be.

use amp_proto::{
    Afterwards, AnsweredBy, Arguments, Cluster, Command, CommandError, Never, NoAnswer, Region, RoleName,
};

#[derive(Clone, Debug, PartialEq, Command)]
#[command(
    name = "eat-cheez",
    answered_by = amp_proto::Cluster,
    response = CheezRating,
    errors = CheezError,
    no_answer
)]
pub struct EatCheez {
    pub name: String,
    pub age_months: Option<u8>,
}

#[derive(Clone, Debug, PartialEq, Arguments)]
pub struct CheezRating {
    pub rating: u8,
}

#[derive(Debug, thiserror::Error, CommandError)]
pub enum CheezError {
    #[error("the cellar is locked")]
    #[code("CELLAR_LOCKED")]
    CellarLocked,
}

#[derive(Command)]
#[command(answered_by = Region)]
struct Least;

#[derive(Command)]
#[command(answered_by(Region, Cluster), response = ())]
#[command(errors = Never, afterwards = Close)]
struct Listed {}

#[derive(Command)]
#[command(answered_by = any)]
struct Anyone {
    r#loop: u8,
}

fn answered<R: amp_proto::Role, C: AnsweredBy<R>>() -> &'static [RoleName] {
    C::SCHEMA.answered_by
}

fn unanswered<C: NoAnswer>() -> bool {
    !C::SCHEMA.requires_answer
}

fn main() {
    assert_eq!(EatCheez::NAME, "eat-cheez");
    assert!(unanswered::<EatCheez>());
    assert_eq!(answered::<Cluster, EatCheez>(), [RoleName::Cluster]);
    assert_eq!(EatCheez::SCHEMA.response, CheezRating::FIELDS);
    assert_eq!(EatCheez::SCHEMA.errors, CheezError::CODES);
    assert_eq!(answered::<Region, Least>(), [RoleName::Region]);
    assert!(Least::SCHEMA.requires_answer);
    assert_eq!(Least::AFTERWARDS, Afterwards::GoOn);
    assert_eq!(Listed::AFTERWARDS, Afterwards::Close);
    assert_eq!(answered::<Cluster, Listed>(), answered::<Region, Anyone>());
    assert_eq!(Anyone::SCHEMA.arguments[0].name, "loop");
}
