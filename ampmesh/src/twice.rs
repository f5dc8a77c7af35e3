//! Keys that JSON gives twice. JSON leaves open what they mean, and most readers drop the first in
//! silence: what was typed twice is a mistake.

use std::collections::HashSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};

/// The first key of an object that stands there twice, with the way to it: `services[2].name`.
/// `None` for text that is not JSON.
pub(crate) fn key_given_twice(json: &str) -> Option<String> {
    let mut found = None;
    let mut reader = serde_json::Deserializer::from_str(json);
    // That it is no JSON is for others to say.
    let _read = Search { path: String::new(), found: &mut found }.deserialize(&mut reader);
    found
}

/// Reads a value and looks for a key that is given twice in it.
struct Search<'a> {
    path: String,
    found: &'a mut Option<String>,
}

impl<'de> DeserializeSeed<'de> for Search<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, source: D) -> Result<(), D::Error> {
        source.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Search<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut seen = HashSet::new();
        while let Some(key) = map.next_key::<String>()? {
            let dot = if self.path.is_empty() { "" } else { "." };
            let path = format!("{}{dot}{key}", self.path);
            if !seen.insert(key) {
                *self.found = Some(path);
                return Err(A::Error::custom("a key is given twice"));
            }
            map.next_value_seed(Search { path, found: &mut *self.found })?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        let mut index = 0_usize;
        loop {
            let path = format!("{}[{index}]", self.path);
            if list.next_element_seed(Search { path, found: &mut *self.found })?.is_none() {
                return Ok(());
            }
            index += 1;
        }
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::key_given_twice;

    #[test]
    fn a_key_is_found_however_deep_it_lies() {
        let cases = [
            (r#"{"name": "a", "age": 1.5, "name": "b"}"#, Some("name")),
            (r#"{"it": {"name": null, "name": true}}"#, Some("it.name")),
            (r#"{"all": [{"a": 1}, {"a": -1, "a": 2}]}"#, Some("all[1].a")),
            (r#"[{"a": 1}, {"a": [1, 1]}]"#, None),
            (r#"{"name": "a", "Name": "b"}"#, None),
            ("{", None),
        ];
        for (json, expected) in cases {
            assert_eq!(key_given_twice(json).as_deref(), expected, "{json}");
        }
    }
}
