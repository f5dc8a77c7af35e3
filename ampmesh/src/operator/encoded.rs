//! Encoded fields of one command inside the box of another.
//!
//! Each travels under its own key with `=` before it, so that a value may have all of AMP's 65,535
//! bytes, and go on under further keys. The key on the wire has one byte less, 254.

use amp_proto::{BoxWriter, EncodeError, Fields, Limits, Scanner, write_box};

/// Keys and encoded values, sorted by key.
pub(crate) type EncodedFields = Vec<(String, Vec<u8>)>;

const MARK: char = '=';

/// Puts the fields into a box, before every key that begins with a letter.
pub(super) fn put(fields: &EncodedFields, out: &mut BoxWriter<'_>) -> Result<(), EncodeError> {
    fields.iter().try_for_each(|(key, value)| {
        out.put(format!("{MARK}{key}").as_bytes(), |out| {
            out.extend_from_slice(value);
            Ok(())
        })
    })
}

/// Takes them out again. Keys that are not text cannot be described, and are left out.
pub(super) fn take(fields: &Fields<'_>) -> EncodedFields {
    let marked = fields.iter().filter_map(|(key, value)| {
        let key = std::str::from_utf8(key).ok()?.strip_prefix(MARK)?;
        Some((key.to_owned(), value.bytes().to_vec()))
    });
    marked.collect()
}

/// The fields of a response as it came, without those that are AMP's own.
pub(super) fn of_response(fields: &Fields<'_>) -> EncodedFields {
    let own = fields.iter().filter_map(|(key, value)| {
        let key = std::str::from_utf8(key).ok().filter(|key| !key.starts_with('_'))?;
        Some((key.to_owned(), value.bytes().to_vec()))
    });
    own.collect()
}

/// Reads encoded fields as if they had just come in a box.
pub(crate) fn with_fields<T>(encoded: &EncodedFields, read: impl FnOnce(&Fields<'_>) -> T) -> T {
    // What came within the limits of both ways is not judged again.
    let usual = Limits::default();
    let limits = Limits { box_bytes_max: usize::MAX, keys_per_box_max: usize::MAX, ..usual };
    let mut wire = Vec::new();
    let mut scanner = Scanner::default();
    let written = write_box(&mut wire, &[], &limits, |out| {
        encoded.iter().try_for_each(|(key, value)| {
            out.put(key.as_bytes(), |out| {
                out.extend_from_slice(value);
                Ok(())
            })
        })
    });
    // A box without keys is not one; it reads as no fields.
    let scanned = written.is_ok() && scanner.scan(&wire, &limits).is_ok();
    let spans = if scanned { scanner.spans() } else { &[] };
    read(&Fields::in_place(&wire, spans, &limits))
}
