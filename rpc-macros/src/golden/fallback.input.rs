#[derive(Command)]
#[command(answered_by = Kitchen, response = CheezRating)]
pub struct EatCheez {
    pub name: String,
}
