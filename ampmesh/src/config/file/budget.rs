//! How much memory a process may have, as it is written: `512MiB`, `2GiB`, `none`.

use std::str::FromStr;

use mesh::MemoryBudget;

/// A memory budget. A number without a unit is in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Budget(pub(crate) MemoryBudget);

impl FromStr for Budget {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text == "none" {
            return Ok(Self(MemoryBudget::Unlimited));
        }
        let digits = text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic());
        let unit_bytes: u64 = match text.get(digits.len()..).unwrap_or_default() {
            "" | "B" => 1,
            "KiB" => 1 << 10,
            "MiB" => 1 << 20,
            "GiB" => 1 << 30,
            unit => return Err(format!("`{unit}` is not a unit of memory; use KiB, MiB or GiB")),
        };
        let bytes: Option<u64> = digits.trim().parse().ok();
        match bytes.and_then(|count| count.checked_mul(unit_bytes)) {
            Some(0) => Err("no process works with no memory; `none` sets no bound".to_owned()),
            Some(bytes) if bytes < MemoryBudget::BYTES_MIN => {
                let least_mib = MemoryBudget::BYTES_MIN >> 20;
                Err(format!("`{text}` is too little: the least is {least_mib}MiB"))
            }
            Some(bytes) => Ok(Self(MemoryBudget::Bytes(bytes))),
            None => Err("expected an amount of memory, such as 512MiB or 2GiB, or none".to_owned()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_budget_has_a_unit_or_is_in_bytes_or_there_is_none() {
        let bytes = |text: &str| text.parse::<Budget>().map(|budget| budget.0);
        assert_eq!(bytes("512MiB"), Ok(MemoryBudget::Bytes(512 << 20)));
        assert_eq!(bytes("2 GiB"), Ok(MemoryBudget::Bytes(2 << 30)));
        assert_eq!(bytes("67108864"), Ok(MemoryBudget::Bytes(64 << 20)));
        assert_eq!(bytes("none"), Ok(MemoryBudget::Unlimited));
        assert!(bytes("0").unwrap_err().contains("`none`"));
        assert_eq!(bytes("31MiB").unwrap_err(), "`31MiB` is too little: the least is 32MiB");
        assert!(bytes("512MB").unwrap_err().starts_with("`MB` is not a unit of memory"));
        assert!(bytes("99999999999GiB").is_err());
        assert!(bytes("-1").is_err() && bytes("").is_err() && bytes("much").is_err());
    }
}
