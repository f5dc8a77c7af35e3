/// Taste a cheez and rate it.
#[derive(Command)]
#[command(answered_by = Cluster, response = CheezRating, errors = CheezError, no_answer)]
pub struct EatCheez {
    pub name: String,
    pub r#type: String,
    /// Absent: as old as the cellar has it.
    pub age_months: Option<u8>,
}
