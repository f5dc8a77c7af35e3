//! Cheez, kept in cellars.

// ANCHOR: command
use amp_proto::{Arguments, Command, CommandError};

/// Taste a cheez and rate it.
#[derive(Clone, Debug, PartialEq, Command)]
#[command(answered_by = Cluster, response = CheezRating, errors = CheezError)]
pub struct EatCheez {
    /// What it is called.
    pub name: String,
    /// Absent: as old as the cellar has it.
    pub age_months: Option<u8>,
}

#[derive(Clone, Debug, PartialEq, Arguments)]
pub struct CheezRating {
    /// From 1 to 10.
    pub rating: u8,
}

#[derive(Debug, PartialEq, thiserror::Error, CommandError)]
#[non_exhaustive]
pub enum CheezError {
    #[error("no such cheez: {0}")]
    #[code("NO_SUCH_CHEEZ")]
    NoSuchCheez(String),
}
// ANCHOR_END: command

// ANCHOR: cellar
use std::collections::HashMap;

use amp_proto::{assert_answers, responders};

/// What a cluster holds.
pub struct Cellar {
    shelf: HashMap<&'static str, u8>,
}

impl Cellar {
    pub fn stocked() -> Self {
        Self { shelf: HashMap::from([("Idiazabal", 9), ("Gouda", 6)]) }
    }
}

#[responders]
impl Cellar {
    #[responder]
    pub async fn eat_cheez(&self, cheez: EatCheez) -> Result<CheezRating, CheezError> {
        let found = self.shelf.get(cheez.name.as_str()).copied();
        let rating = found.ok_or(CheezError::NoSuchCheez(cheez.name))?;
        let is_old = cheez.age_months.is_some_and(|months| months >= 12);
        Ok(CheezRating { rating: rating + u8::from(is_old) })
    }
}

assert_answers!(Cellar: EatCheez);
// ANCHOR_END: cellar

// ANCHOR: unit_test
#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn old_cheez_is_better() {
        let gouda = EatCheez { name: "Gouda".into(), age_months: Some(18) };
        assert_eq!(Cellar::stocked().eat_cheez(gouda).await, Ok(CheezRating { rating: 7 }));
    }
}
// ANCHOR_END: unit_test
