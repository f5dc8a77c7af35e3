//! The commands of the demonstration.

use amp_proto::{Arguments, Command, CommandError};

/// Taste a cheez and rate it.
#[derive(Clone, Debug, PartialEq, Eq, Command)]
#[command(answered_by = Cluster, response = CheezRating, errors = CheezError)]
pub(crate) struct EatCheez {
    /// What it is called.
    pub(crate) name: String,
    /// Where it is from.
    pub(crate) origin: String,
    /// Absent: as old as the cellar has it.
    pub(crate) age_months: Option<u8>,
}

/// What a taster thinks of a cheez.
#[derive(Clone, Debug, PartialEq, Eq, Arguments)]
pub(crate) struct CheezRating {
    /// From 1 to 10.
    pub(crate) rating: u8,
}

/// Why a cheez is not eaten.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, CommandError)]
#[non_exhaustive]
pub(crate) enum CheezError {
    /// There is none of that name.
    #[error("no cheez here is called {0}")]
    #[code("NO_SUCH_CHEEZ")]
    NoSuchCheez(String),
    /// It is there, and under lock and key.
    #[error("the cellar is locked")]
    #[code("CELLAR_LOCKED")]
    CellarLocked,
}

/// Leave a cheez to ripen for some seconds, and rate it then. The call is on its way for as long,
/// to be watched while a process is killed.
#[derive(Clone, Debug, PartialEq, Eq, Command)]
#[command(answered_by = Cluster, response = CheezRating, errors = AgeingError)]
pub(crate) struct AgeCheez {
    /// What it is called.
    pub(crate) name: String,
    /// How long it ripens, 60 at most.
    pub(crate) seconds: u8,
}

/// Why a cheez is not left to ripen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, CommandError)]
#[non_exhaustive]
pub(crate) enum AgeingError {
    /// There is none of that name.
    #[error("no cheez here is called {0}")]
    #[code("NO_SUCH_CHEEZ")]
    NoSuchCheez(String),
    /// It is there, and under lock and key.
    #[error("the cellar is locked")]
    #[code("CELLAR_LOCKED")]
    CellarLocked,
    /// Nobody waits for it as long as that.
    #[error("a cheez ripens for 60 s at most")]
    #[code("TOO_LONG")]
    TooLong,
}

/// Taste a cheez and tell a random region process what you think of it.
#[derive(Clone, Debug, PartialEq, Eq, Command)]
#[command(answered_by = Cluster, response = Recommendation, errors = RecommendationError)]
pub(crate) struct RecommendCheez {
    /// What it is called.
    pub(crate) name: String,
}

/// What became of a recommendation.
#[derive(Clone, Debug, PartialEq, Eq, Arguments)]
pub(crate) struct Recommendation {
    /// What the cluster thought of the cheez.
    pub(crate) rating: u8,
    /// The region process's total for the cheez.
    pub(crate) total: u32,
    /// The name of the region process.
    pub(crate) region: String,
}

/// Why a cheez is not recommended.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, CommandError)]
#[non_exhaustive]
pub(crate) enum RecommendationError {
    /// There is none of that name.
    #[error("no cheez here is called {0}")]
    #[code("NO_SUCH_CHEEZ")]
    NoSuchCheez(String),
    /// It is there, and under lock and key.
    #[error("the cellar is locked")]
    #[code("CELLAR_LOCKED")]
    CellarLocked,
    /// No region process took it.
    #[error("no region took the recommendation: {0}")]
    #[code("NO_REGION")]
    NoRegion(String),
}

/// Add a rating to a cheez's total.
#[derive(Clone, Debug, PartialEq, Eq, Command)]
#[command(answered_by = Region, response = CheezTotal, errors = TowerError)]
pub(crate) struct RateCheez {
    /// What it is called.
    pub(crate) name: String,
    /// From 1 to 10.
    pub(crate) rating: u8,
}

/// The sum of a cheez's ratings.
#[derive(Clone, Debug, PartialEq, Eq, Arguments)]
pub(crate) struct CheezTotal {
    /// All that this region process was told since it started.
    pub(crate) total: u32,
}

/// Why a rating is not counted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error, CommandError)]
#[non_exhaustive]
pub(crate) enum TowerError {
    /// There is no place on the board for another cheez.
    #[error("the board is full")]
    #[code("BOARD_FULL")]
    BoardFull,
    /// There is no such rating.
    #[error("a rating is from 1 to 10")]
    #[code("NO_SUCH_RATING")]
    NoSuchRating,
}

impl From<CheezError> for RecommendationError {
    fn from(error: CheezError) -> Self {
        match error {
            CheezError::NoSuchCheez(name) => Self::NoSuchCheez(name),
            CheezError::CellarLocked => Self::CellarLocked,
        }
    }
}

impl From<CheezError> for AgeingError {
    fn from(error: CheezError) -> Self {
        match error {
            CheezError::NoSuchCheez(name) => Self::NoSuchCheez(name),
            CheezError::CellarLocked => Self::CellarLocked,
        }
    }
}
