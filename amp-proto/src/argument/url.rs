//! URLs in ASCII, as MAAS sends them.

use alloc::vec::Vec;

use url::Url;

use super::Argument;
use crate::error::{EncodeError, ValueError};
use crate::schema::ArgumentType;
use crate::wire::Value;

/// An absolute URL. A host outside ASCII is written in the form of IDNA (`xn--…`), everything else
/// outside ASCII in percent signs; both is [`Url`]'s own doing.
///
/// [`Url`] keeps a URL in its normal form, so `http://example.com` is sent as
/// `http://example.com/`.
impl Argument for Url {
    const TYPE: ArgumentType = ArgumentType::Url;

    fn encode(&self, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        out.extend_from_slice(self.as_str().as_bytes());
        Ok(())
    }

    fn decode(value: Value<'_>) -> Result<Self, ValueError> {
        let bytes = value.bytes();
        let text = core::str::from_utf8(bytes).ok().filter(|text| text.is_ascii());
        let url = text.and_then(|text| Self::parse(text).ok());
        url.ok_or_else(|| ValueError::malformed("an absolute URL in ASCII", bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::super::properties::{decode, encode};
    use super::*;

    #[test]
    fn a_url_is_ascii_on_the_wire() {
        let url: Url = "http://bücher.example/straße".parse().unwrap();
        let wire = b"http://xn--bcher-kva.example/stra%C3%9Fe";
        assert_eq!(encode(&url), Ok(wire.to_vec()));
        assert_eq!(decode(wire), Ok(url));
    }

    #[test]
    fn a_url_that_is_relative_or_not_ascii_is_refused() {
        for bytes in ["", "/MAAS", "example.com", "http://bücher.example/"] {
            assert!(decode::<Url>(bytes.as_bytes()).is_err(), "{bytes}");
        }
    }
}
