#[derive(Choice)]
pub enum Milk {
    #[wire("cow")]
    Cow,
    #[wire("ewe")]
    Ewe,
    #[wire("goat")]
    Goat,
}
