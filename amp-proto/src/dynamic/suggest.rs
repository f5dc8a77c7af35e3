//! Did you mean …?

use alloc::string::String;
use alloc::vec::Vec;

use crate::wire::KEY_BYTES_MAX;

/// The candidate that is spelled most like `name`, if one is close enough to be meant.
pub(super) fn nearest<'a>(
    name: &str,
    candidates: impl Iterator<Item = &'a String>,
) -> Option<String> {
    if name.len() > KEY_BYTES_MAX {
        return None;
    }
    let name = simplified(name);
    let slips_max = 1.max(name.len() / 3);
    candidates
        .filter(|candidate| candidate.len() <= KEY_BYTES_MAX)
        .map(|candidate| (slips(&name, &simplified(candidate)), candidate))
        .filter(|(slips, _)| *slips <= slips_max)
        .min_by_key(|(slips, _)| *slips)
        .map(|(_, candidate)| candidate.clone())
}

/// Case and the choice of dash are nobody's point.
fn simplified(name: &str) -> Vec<char> {
    let chars = name.chars().flat_map(char::to_lowercase);
    chars
        .filter(|char| !matches!(char, '_' | '-' | ' '))
        .collect()
}

/// How many characters have to be added, dropped or replaced to make one word of the other.
fn slips(one: &[char], other: &[char]) -> usize {
    // The distances between what was looked at of `one` and every beginning of `other`.
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for left in one {
        let mut cells = row.iter_mut();
        let Some(first) = cells.next() else { break };
        let mut diagonal = *first;
        *first += 1;
        let mut before = *first;
        for (right, cell) in other.iter().zip(cells) {
            let replaced = diagonal + usize::from(left != right);
            diagonal = *cell;
            before = replaced.min(*cell + 1).min(before + 1);
            *cell = before;
        }
    }
    row.last().copied().unwrap_or_default()
}
