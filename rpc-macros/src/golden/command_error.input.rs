#[derive(CommandError)]
pub enum CheezError {
    #[code("CELLAR_LOCKED")]
    CellarLocked,
    #[code("NO_SUCH_CHEEZ")]
    NoSuchCheez(String),
    #[code("STOLEN", fatal)]
    Stolen(String),
}
