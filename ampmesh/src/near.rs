//! What was perhaps meant.

/// The candidate that looks most like `typed`, unless none looks like it.
pub(crate) fn nearest<'a>(
    typed: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    /// Jaro–Winkler similarity from which on a mistyped word is taken for another.
    const ALIKE: f64 = 0.8;
    candidates
        .into_iter()
        .map(|candidate| (strsim::jaro_winkler(typed, candidate), candidate))
        .filter(|(similarity, _)| *similarity >= ALIKE)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::nearest;

    #[test]
    fn a_slip_of_the_finger_is_forgiven_and_nonsense_is_not() {
        assert_eq!(nearest("EatChez", ["RateCheez", "EatCheez"]), Some("EatCheez"));
        assert_eq!(nearest("zebra", ["RateCheez", "EatCheez"]), None);
    }
}
