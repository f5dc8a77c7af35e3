//! A response as JSON, its fields in the order of the command's declaration.

use amp_proto::DecodeError;
use amp_proto::dynamic::{FieldDescription, decode_json};
use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::Value;

use crate::operator::{EncodedFields, with_fields};
use crate::text::harmless;

/// Names and values.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Response(Vec<(String, Value)>);

impl Response {
    /// Reads what a peer answered.
    ///
    /// # Errors
    /// [`DecodeError`], when it is not as described.
    pub(crate) fn decode(
        described: &[FieldDescription],
        answered: &EncodedFields,
    ) -> Result<Self, DecodeError> {
        let mut object = with_fields(answered, |fields| decode_json(described, fields))?;
        let in_order = described.iter().filter_map(|field| object.remove_entry(&field.name));
        Ok(Self(in_order.collect()))
    }

    /// The value of one field.
    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find_map(|(field, value)| (field == name).then_some(value))
    }

    /// Every field as people read it: text without its quotes, the rest as JSON.
    pub(crate) fn shown(&self) -> impl Iterator<Item = (String, String)> {
        self.0.iter().map(|(name, value)| {
            let text = value.as_str().map_or_else(|| value.to_string(), harmless);
            (harmless(name), text)
        })
    }
}

impl Serialize for Response {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let mut map = out.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_stay_in_the_order_of_their_declaration() {
        let described: Vec<FieldDescription> =
            ["total: integer", "region: text", "note: text?"].map(|it| it.parse().unwrap()).into();
        let answered = vec![
            ("region".to_owned(), b"north".to_vec()),
            ("surplus".to_owned(), b"x".to_vec()),
            ("total".to_owned(), b"9".to_vec()),
        ];
        let response = Response::decode(&described, &answered).unwrap();
        let json = serde_json::to_string(&response).unwrap();
        assert_eq!(json, r#"{"total":9,"region":"north"}"#);
        let shown: Vec<_> = response.shown().collect();
        assert_eq!(shown[1], ("region".to_owned(), "north".to_owned()));
    }

    #[test]
    fn a_response_without_fields_is_an_empty_object() {
        let response = Response::decode(&[], &Vec::new()).unwrap();
        assert_eq!(serde_json::to_string(&response).unwrap(), "{}");
    }
}
