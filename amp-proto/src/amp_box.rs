//! `AmpBox`: a box as a value, for those who work below the level of commands.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use bytes::Bytes;

use crate::Limits;
use crate::error::{EncodeError, PeerMisbehaved};
use crate::wire::{Fields, Scanned, Scanner, write_box};

/// Keys and their values, ordered by key.
///
/// Typed commands never build one: they write their fields straight into the connection's buffer.
///
/// # Examples
/// ```
/// use amp_proto::{AmpBox, Limits};
///
/// let mut sum = AmpBox::new();
/// sum.insert("total", "94");
/// sum.insert("_answer", "1");
/// let wire = sum.to_bytes(&Limits::default())?;
/// assert_eq!(&wire[..], b"\0\x07_answer\0\x011\0\x05total\0\x0294\0\0");
/// # Ok::<(), amp_proto::EncodeError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AmpBox {
    entries: BTreeMap<Bytes, Bytes>,
}

impl AmpBox {
    /// A box without keys. It cannot be sent as it is: an empty box means nothing.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts `value` under `key` and gives back what was there. Lengths are checked on encoding.
    pub fn insert(&mut self, key: impl Into<Bytes>, value: impl Into<Bytes>) -> Option<Bytes> {
        self.entries.insert(key.into(), value.into())
    }

    /// The value under `key`.
    #[must_use]
    pub fn get(&self, key: impl AsRef<[u8]>) -> Option<&Bytes> {
        self.entries.get(key.as_ref())
    }

    /// Keys and values in the order of the wire: ascending by the keys' bytes.
    pub fn iter(&self) -> impl Iterator<Item = (&Bytes, &Bytes)> {
        self.entries.iter()
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no key.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Appends the box as it stands on the wire to `out`.
    ///
    /// # Errors
    /// [`EncodeError`] for a key that is empty or over 255 bytes, a value over 65,535 bytes, or a
    /// box over `limits`. `out` is then as it was.
    pub fn encode(&self, out: &mut Vec<u8>, limits: &Limits) -> Result<(), EncodeError> {
        write_box(out, &[], limits, |writer| {
            for (key, value) in &self.entries {
                writer.put_any(key, |out| {
                    out.extend_from_slice(value);
                    Ok(())
                })?;
            }
            Ok(())
        })
    }

    /// The box as it stands on the wire.
    ///
    /// # Errors
    /// As [`AmpBox::encode`].
    pub fn to_bytes(&self, limits: &Limits) -> Result<Bytes, EncodeError> {
        let mut out = Vec::new();
        self.encode(&mut out, limits)?;
        Ok(out.into())
    }

    /// Reads one box from the start of `source`. Gives the box and its length in bytes, or `None`
    /// while it is not all there. The values share `source`.
    ///
    /// # Errors
    /// [`PeerMisbehaved`] when a key is over 255 bytes or the box is over `limits`.
    pub fn decode(
        source: &Bytes,
        limits: &Limits,
    ) -> Result<Option<(Self, usize)>, PeerMisbehaved> {
        let mut scanner = Scanner::default();
        match scanner.scan(source, limits)? {
            Scanned::Partial { .. } => Ok(None),
            Scanned::Whole { bytes } => {
                let fields = Fields::new(source, scanner.spans(), limits);
                Ok(Some((Self::from_fields(source, &fields), bytes)))
            }
        }
    }

    fn from_fields(source: &Bytes, fields: &Fields<'_>) -> Self {
        let entries = fields
            .iter()
            .map(|(key, value)| (source.slice_ref(key), source.slice_ref(value.bytes())))
            .collect();
        Self { entries }
    }
}

impl<K: Into<Bytes>, V: Into<Bytes>> FromIterator<(K, V)> for AmpBox {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let entries = entries.into_iter().map(|(key, value)| (key.into(), value.into())).collect();
        Self { entries }
    }
}
