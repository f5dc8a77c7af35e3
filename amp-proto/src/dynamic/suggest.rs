//! Did you mean …?

use alloc::vec::Vec;

use crate::wire::KEY_BYTES_MAX;

/// The candidate that is spelled most like `name`, if one is close enough to be meant; the first of
/// those that are equally close.
///
/// # Examples
/// ```
/// # use amp_proto::dynamic::nearest;
/// assert_eq!(nearest("nmae", ["name", "origin"]), Some("name"));
/// assert_eq!(nearest("colour", ["name", "origin"]), None);
/// ```
pub fn nearest<'a>(name: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    if name.len() > KEY_BYTES_MAX {
        return None;
    }
    let name = simplified(name);
    let slips_max = 1.max(name.len() / 3);
    candidates
        .into_iter()
        .filter(|candidate| candidate.len() <= KEY_BYTES_MAX)
        .map(|candidate| (slips(&name, &simplified(candidate)), candidate))
        .filter(|(slips, _)| *slips <= slips_max)
        .min_by_key(|(slips, _)| *slips)
        .map(|(_, candidate)| candidate)
}

/// Case and the choice of dash are nobody's point.
fn simplified(name: &str) -> Vec<char> {
    let chars = name.chars().flat_map(char::to_lowercase);
    chars.filter(|char| !matches!(char, '_' | '-' | ' ')).collect()
}

/// How many characters have to be added, dropped, replaced or swapped with their neighbours to make
/// one word of the other.
fn slips(one: &[char], other: &[char]) -> usize {
    let at = |row: &[usize], index: usize| row.get(index).copied().unwrap_or_default();
    // What it takes for the beginnings of `one` that were looked at last, and every beginning of
    // `other`.
    let mut before_last = Vec::new();
    let mut last: Vec<usize> = (0..=other.len()).collect();
    for (index, left) in one.iter().enumerate() {
        let mut row = Vec::with_capacity(last.len());
        row.push(index + 1);
        for (column, right) in other.iter().enumerate() {
            let replaced = at(&last, column) + usize::from(left != right);
            let added_or_dropped = at(&last, column + 1).min(at(&row, column)) + 1;
            let swapped = match (index.checked_sub(1), column.checked_sub(1)) {
                (Some(above), Some(before))
                    if one.get(above) == Some(right) && other.get(before) == Some(left) =>
                {
                    at(&before_last, before) + 1
                }
                _ => usize::MAX,
            };
            row.push(replaced.min(added_or_dropped).min(swapped));
        }
        before_last = core::mem::replace(&mut last, row);
    }
    last.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_of_the_fingers_are_counted() {
        let count = |one: &str, other: &str| {
            let chars = |word: &str| word.chars().collect::<Vec<_>>();
            slips(&chars(one), &chars(other))
        };
        assert_eq!(count("name", "name"), 0);
        assert_eq!(count("nmae", "name"), 1);
        assert_eq!(count("nam", "name"), 1);
        assert_eq!(count("named", "name"), 1);
        assert_eq!(count("mane", "name"), 2);
        assert_eq!(count("", "name"), 4);
        assert_eq!(count("kitten", "sitting"), 3);
    }

    #[test]
    fn the_nearest_name_is_suggested_and_none_that_is_far() {
        let suggested = |name: &str| nearest(name, ["system_id", "hostname", "url"]);
        assert_eq!(suggested("systemId"), Some("system_id"));
        assert_eq!(suggested("host-nmae"), Some("hostname"));
        assert_eq!(suggested("uuid"), None);
        assert_eq!(suggested(&"u".repeat(300)), None);
    }
}
