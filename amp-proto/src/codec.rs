//! Boxes for `tokio_util::codec`: for those who want a stream of [`AmpBox`]es over a socket and
//! none of the rest.

extern crate std;

use std::io;

use tokio_util::bytes::BytesMut;
use tokio_util::codec::{Decoder, Encoder};

use crate::error::{EncodeError, PeerMisbehaved};
use crate::wire::{Fields, Scanned, Scanner};
use crate::{AmpBox, Limits};

/// Reads and writes boxes, one by one.
///
/// It knows nothing of asks and answers; that is what [`Connection`](crate::Connection) does. A box
/// that trickles in is walked over once, however many reads it takes.
///
/// # Limits
/// [`Limits::box_bytes_max`] and [`Limits::keys_per_box_max`], on both ways. The others have no
/// meaning here.
///
/// # Examples
/// ```
/// use amp_proto::{AmpBox, BoxCodec};
/// use tokio_util::bytes::BytesMut;
/// use tokio_util::codec::{Decoder, Encoder};
///
/// let mut codec = BoxCodec::default();
/// let mut wire = BytesMut::new();
/// let sum = AmpBox::from_iter([("_answer", "1"), ("total", "94")]);
/// codec.encode(&sum, &mut wire)?;
/// assert_eq!(codec.decode(&mut wire)?, Some(sum));
/// # Ok::<(), amp_proto::CodecError>(())
/// ```
#[derive(Debug, Default)]
pub struct BoxCodec {
    limits: Limits,
    scanner: Scanner,
}

impl BoxCodec {
    /// A codec with these limits.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits, scanner: Scanner::default() }
    }
}

/// Why a stream of boxes ends.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CodecError {
    /// The transport failed, or ended inside a box.
    #[error("the transport failed")]
    Io(#[from] io::Error),
    /// The peer broke the protocol. Its bytes cannot be trusted any more; close the transport.
    #[error("the peer misbehaved")]
    PeerMisbehaved(#[from] PeerMisbehaved),
    /// A box of ours cannot be put on the wire. Nothing of it was written.
    #[error("a box does not fit")]
    Encode(#[from] EncodeError),
}

impl Decoder for BoxCodec {
    type Item = AmpBox;
    type Error = CodecError;

    fn decode(&mut self, source: &mut BytesMut) -> Result<Option<AmpBox>, CodecError> {
        let Scanned::Whole { bytes } = self.scanner.scan(source, &self.limits)? else {
            return Ok(None);
        };
        let source = source.split_to(bytes).freeze();
        let fields = Fields::new(&source, self.scanner.spans(), &self.limits);
        let entries = fields
            .iter()
            .map(|(key, value)| (source.slice_ref(key), source.slice_ref(value.bytes())));
        let found = entries.collect();
        self.scanner.reset();
        Ok(Some(found))
    }
}

impl Encoder<&AmpBox> for BoxCodec {
    type Error = CodecError;

    fn encode(&mut self, it: &AmpBox, out: &mut BytesMut) -> Result<(), CodecError> {
        out.extend_from_slice(&it.to_bytes(&self.limits)?);
        Ok(())
    }
}

impl Encoder<AmpBox> for BoxCodec {
    type Error = CodecError;

    fn encode(&mut self, it: AmpBox, out: &mut BytesMut) -> Result<(), CodecError> {
        self.encode(&it, out)
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;

    fn boxes() -> [AmpBox; 3] {
        [
            AmpBox::from_iter([("_answer", "1"), ("total", "94")]),
            AmpBox::new(),
            AmpBox::from_iter([("k".repeat(255), "v".repeat(65_535))]),
        ]
    }

    fn written(boxes: &[AmpBox]) -> BytesMut {
        let mut wire = BytesMut::new();
        for it in boxes {
            BoxCodec::default().encode(it, &mut wire).unwrap();
        }
        wire
    }

    #[test]
    fn boxes_survive() {
        let mut wire = written(&boxes());
        let mut codec = BoxCodec::default();
        for it in boxes() {
            assert_eq!(codec.decode(&mut wire).unwrap(), Some(it));
        }
        assert_eq!(codec.decode(&mut wire).unwrap(), None);
        assert!(wire.is_empty());
        assert_eq!(codec.decode_eof(&mut wire).unwrap(), None);
    }

    #[test]
    fn boxes_survive_byte_by_byte() {
        let mut codec = BoxCodec::default();
        let mut source = BytesMut::new();
        let mut found = Vec::new();
        for byte in written(&boxes()) {
            source.extend_from_slice(&[byte]);
            found.extend(codec.decode(&mut source).unwrap());
        }
        assert_eq!(found, boxes());
    }

    #[test]
    fn a_stream_that_ends_inside_a_box_is_an_error() {
        let mut source = BytesMut::from(&b"\0\x01k"[..]);
        let ended = BoxCodec::default().decode_eof(&mut source);
        assert!(matches!(ended, Err(CodecError::Io(_))), "{ended:?}");
    }

    #[test]
    fn limits_hold_on_both_ways() {
        let limits = Limits { box_bytes_max: 10, ..Limits::default() };
        let mut codec = BoxCodec::new(limits);
        let it = AmpBox::from_iter([("k", "abcd")]);
        let mut out = BytesMut::from(&b"before"[..]);
        let refused = codec.encode(it.clone(), &mut out);
        assert!(matches!(refused, Err(CodecError::Encode(_))), "{refused:?}");
        assert_eq!(out, "before");
        let refused = codec.decode(&mut written(&[it]));
        let misbehaved = PeerMisbehaved::BoxTooLarge { max: 10 };
        assert!(
            matches!(&refused, Err(CodecError::PeerMisbehaved(it)) if *it == misbehaved),
            "{refused:?}"
        );
    }
}
