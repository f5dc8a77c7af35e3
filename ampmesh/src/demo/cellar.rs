//! What a cluster answers.

use std::sync::OnceLock;
use std::time::Duration;

use amp_proto::{assert_answers, responders};
use cluster::ClusterController;

use super::commands::{
    AgeCheez, AgeingError, CheezError, CheezRating, EatCheez, RateCheez, RecommendCheez,
    Recommendation, RecommendationError,
};

/// A cheez: its name, its rating, and whether it is locked away.
type Cheez = (&'static str, u8, bool);

/// What lies in every cellar.
const SHELF: [Cheez; 6] = [
    ("Idiazabal", 9, false),
    ("Gruyere", 8, false),
    ("Roquefort", 7, false),
    ("Gouda", 6, false),
    ("Limburger", 3, false),
    ("Casu Marzu", 1, true),
];

/// From this age on a cheez is better by one.
const OLD_MONTHS: u8 = 12;

/// For no longer is a cheez left to ripen, and a call kept open.
const AGEING_SECONDS_MAX: u8 = 60;

/// A cluster's cheez.
#[derive(Debug, Default)]
pub(crate) struct Cellar {
    /// Whom to ask for a region. Set once the cluster runs.
    controller: OnceLock<ClusterController>,
}

impl Cellar {
    /// A cellar that knows no region yet.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// From now on the cellar's recommendations reach the regions.
    pub(crate) fn join(&self, controller: ClusterController) {
        self.controller.get_or_init(|| controller);
    }

    async fn tell_a_region(&self, cheez: RateCheez) -> Result<Recommendation, RecommendationError> {
        let no_region = |why: String| RecommendationError::NoRegion(why);
        let controller = self.controller.get();
        let controller = controller.ok_or_else(|| no_region("not in a mesh".to_owned()))?;
        let client = controller.get_client().await.map_err(|error| no_region(error.to_string()))?;
        let rating = cheez.rating;
        match client.call(cheez).await {
            Ok(told) => Ok(Recommendation { rating, total: told.total, region: client.name() }),
            Err(error) => Err(no_region(error.to_string())),
        }
    }
}

fn taste(name: &str, age_months: Option<u8>) -> Result<u8, CheezError> {
    let found = SHELF.iter().find(|(known, ..)| known.eq_ignore_ascii_case(name));
    match found {
        None => Err(CheezError::NoSuchCheez(name.chars().take(40).collect())),
        Some((_, _, true)) => Err(CheezError::CellarLocked),
        Some((_, rating, false)) => {
            let is_old = age_months.is_some_and(|age| age >= OLD_MONTHS);
            Ok(rating + u8::from(is_old))
        }
    }
}

#[responders]
impl Cellar {
    #[responder]
    async fn eat_cheez(&self, cheez: EatCheez) -> Result<CheezRating, CheezError> {
        let EatCheez { name, origin, age_months } = cheez;
        let rating = taste(&name, age_months)?;
        tracing::debug!(name, origin, rating, "a cheez was eaten");
        Ok(CheezRating { rating })
    }

    #[responder]
    async fn age_cheez(&self, cheez: AgeCheez) -> Result<CheezRating, AgeingError> {
        let AgeCheez { name, seconds } = cheez;
        if seconds > AGEING_SECONDS_MAX {
            return Err(AgeingError::TooLong);
        }
        let rating = taste(&name, None)?;
        tracing::debug!(name, seconds, "a cheez is left to ripen");
        tokio::time::sleep(Duration::from_secs(seconds.into())).await;
        Ok(CheezRating { rating: rating + u8::from(seconds > 0) })
    }

    #[responder]
    async fn recommend_cheez(
        &self,
        it: RecommendCheez,
    ) -> Result<Recommendation, RecommendationError> {
        let rating = taste(&it.name, None)?;
        self.tell_a_region(RateCheez { name: it.name, rating }).await
    }
}

assert_answers!(Cellar: EatCheez, AgeCheez, RecommendCheez);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn old_cheez_is_better_and_locked_cheez_is_not_tasted() {
        assert_eq!(taste("idiazabal", None), Ok(9));
        assert_eq!(taste("Idiazabal", Some(12)), Ok(10));
        assert_eq!(taste("Casu Marzu", None), Err(CheezError::CellarLocked));
        assert_eq!(taste("Plastic", None), Err(CheezError::NoSuchCheez("Plastic".to_owned())));
    }

    #[tokio::test(start_paused = true)]
    async fn a_cheez_ripens_for_as_long_as_was_said_and_no_longer_than_a_minute() {
        let age = |name: &str, seconds| {
            let cheez = AgeCheez { name: name.to_owned(), seconds };
            async move { Cellar::new().age_cheez(cheez).await }
        };
        let begun = tokio::time::Instant::now();
        assert_eq!(age("Gouda", 60).await, Ok(CheezRating { rating: 7 }));
        assert_eq!(begun.elapsed().as_secs(), 60);
        assert_eq!(age("Gouda", 61).await, Err(AgeingError::TooLong));
        assert_eq!(age("Casu Marzu", 9).await, Err(AgeingError::CellarLocked));
        assert_eq!(begun.elapsed().as_secs(), 60, "who is refused does not wait");
    }

    #[tokio::test]
    async fn a_recommendation_needs_a_region() {
        let outcome = Cellar::new().recommend_cheez(RecommendCheez { name: "Gouda".into() }).await;
        assert!(matches!(outcome, Err(RecommendationError::NoRegion(_))));
    }
}
