//! What a region process answers.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use amp_proto::{assert_answers, responders};

use super::commands::{CheezTotal, RateCheez, TowerError};

/// How many cheezes have their total kept.
const CHEEZES_MAX: usize = 1000;

/// The totals that a region process keeps, for as long as it runs.
#[derive(Debug, Default)]
pub(crate) struct Tower {
    totals: Mutex<HashMap<String, u32>>,
}

impl Tower {
    /// A tower without ratings.
    pub(crate) fn new() -> Self {
        Self::default()
    }
}

#[responders]
impl Tower {
    #[responder]
    async fn rate_cheez(&self, cheez: RateCheez) -> Result<CheezTotal, TowerError> {
        if !(1..=10).contains(&cheez.rating) {
            return Err(TowerError::NoSuchRating);
        }
        let mut totals = self.totals.lock().unwrap_or_else(PoisonError::into_inner);
        if totals.len() >= CHEEZES_MAX && !totals.contains_key(&cheez.name) {
            return Err(TowerError::BoardFull);
        }
        let total = totals.entry(cheez.name).or_default();
        *total = total.saturating_add(u32::from(cheez.rating));
        Ok(CheezTotal { total: *total })
    }
}

assert_answers!(Tower: RateCheez);

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(name: &str, rating: u8) -> RateCheez {
        RateCheez { name: name.to_owned(), rating }
    }

    #[tokio::test]
    async fn ratings_add_up_cheez_by_cheez() {
        let tower = Tower::new();
        assert_eq!(tower.rate_cheez(rate("Gouda", 6)).await, Ok(CheezTotal { total: 6 }));
        assert_eq!(tower.rate_cheez(rate("Gruyere", 8)).await, Ok(CheezTotal { total: 8 }));
        assert_eq!(tower.rate_cheez(rate("Gouda", 7)).await, Ok(CheezTotal { total: 13 }));
    }

    #[tokio::test]
    async fn a_rating_is_from_one_to_ten() {
        let tower = Tower::new();
        for rating in [0, 11] {
            assert_eq!(
                tower.rate_cheez(rate("Gouda", rating)).await,
                Err(TowerError::NoSuchRating)
            );
        }
        assert_eq!(tower.rate_cheez(rate("Gouda", 10)).await, Ok(CheezTotal { total: 10 }));
    }

    #[tokio::test]
    async fn a_full_board_takes_no_new_cheez() {
        let tower = Tower::new();
        for index in 0..CHEEZES_MAX {
            tower.rate_cheez(rate(&index.to_string(), 1)).await.unwrap();
        }
        assert_eq!(tower.rate_cheez(rate("Gouda", 6)).await, Err(TowerError::BoardFull));
        assert_eq!(tower.rate_cheez(rate("0", 1)).await, Ok(CheezTotal { total: 2 }));
    }
}
