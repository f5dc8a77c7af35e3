//! `vectors.txt`, line by line, both ways.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt::Debug;
use core::net::IpAddr;
use core::str::FromStr;

use bytes::Bytes;
use ipnet::IpNet;
use num_bigint::BigInt;

use super::{AbsolutePath, Argument, DateTime, Decimal, decode_boxes, encode_boxes};
use crate::error::{DecodeError, EncodeError, ValueError};
use crate::schema::{ArgumentType, FieldSchema};
use crate::wire::{BoxWriter, Fields, Value};
use crate::{AmpBox, Arguments, Limits, ListItem, Parameter};

const VECTORS: &str = include_str!("vectors.txt");

/// What Python can say and the types of Rust cannot, so that there is nothing to encode.
const WITHOUT_COUNTERPART: [(&str, &str, &str); 15] = [
    ("Integer", "True", "a bool is no integer"),
    ("Integer", "3.7", "a float is no integer"),
    ("Integer", "'5'", "text is no integer"),
    ("String", "'abc'", "text is no bytes"),
    ("Unicode", r"'\ud800'", "a String has no lone surrogates"),
    ("Boolean", "1", "an integer is no bool"),
    ("Boolean", "''", "text is no bool"),
    ("Boolean", "None", "an Option is no bool"),
    ("Boolean", "'False'", "text is no bool"),
    ("Float", "3", "an integer is no float"),
    ("Decimal", "1.5", "a float is no decimal"),
    ("DateTime", "2012-01-01T00:00:00.000000 naive", "a DateTime has an offset"),
    ("ListOf(AmpList)", "[[{x: 1}]]", "a Vec of structs is no Argument but in a list of its own"),
    ("AmpList(a b)", "[{'a': 7, 'b': 'x', 'zz': 1}]", "a struct has the fields it has"),
    ("Choice({1: b'one'})", "1", "the enum is the derive's to test"),
];

/// What Twisted reads and we refuse.
const REFUSED: [(&str, &str, &str); 13] = [
    ("DateTime", "b'2012-01-23T12:34:56.054321+26:00'", "beyond any use"),
    ("DateTime", "b'2012-01-23T12:34:56.054321+99:99'", "beyond any use"),
    ("Path", "b''", "a relative path"),
    ("Path", "b'images'", "a relative path"),
    ("Path", "b'./a'", "a relative path"),
    ("Path", r"b'/srv/a\x00b'", "a zero byte"),
    ("ListOf(Integer)", r"b'\x00\x011\x00'", "truncated"),
    ("ListOf(Integer)", r"b'\x00\x011\x00\x05ab'", "truncated"),
    ("ListOf(String)", r"b'\x00\x011\x00'", "truncated"),
    ("ListOf(String)", r"b'\x00'", "truncated"),
    ("ListOf(ListOf(Integer))", r"b'\x00\x03\x00\x021'", "truncated inside an element"),
    (
        "AmpList(a b)",
        r"b'\x00\x01a\x00\x017\x00\x01b\x00\x01x\x00\x00\x00\x01a\x00\x017\x00\x01b\x00\x01x'",
        "truncated",
    ),
    ("AmpList(a b)", r"b'\x00\x01a\x00\x017\x00\x01b\x00\x01x\x00\x00\x00'", "truncated"),
];

/// What our zlib compresses into other bytes than theirs.
#[cfg(feature = "json")]
const OTHERWISE_COMPRESSED: [&str; 1] =
    ["789cab564a54b2528836d451504a4e4c8b29353048b554d251c82bcdc9d15128292a4dd55130d4338dad0500e0\
     9c0b5d"];

#[derive(Clone, Copy, Debug)]
enum Line<'a> {
    Encodes { kind: &'a str, value: &'a str, hex: &'a str },
    DoesNotEncode { kind: &'a str, value: &'a str },
    Decodes { kind: &'a str, bytes: &'a str, value: &'a str },
    DoesNotDecode { kind: &'a str, bytes: &'a str },
}

impl<'a> Line<'a> {
    fn parse(line: &'a str) -> Self {
        let columns: Vec<_> = line.split(" |").map(str::trim).collect();
        let [kind, value, outcome] = columns[..] else { panic!("three columns: {line}") };
        match (value.strip_prefix("<- "), outcome.starts_with("DEC-ERR")) {
            (Some(bytes), false) => Self::Decodes { kind, bytes, value: outcome },
            (Some(bytes), true) => Self::DoesNotDecode { kind, bytes },
            (None, _) if outcome.starts_with("ENC-ERR") => Self::DoesNotEncode { kind, value },
            (None, _) => Self::Encodes { kind, value, hex: outcome },
        }
    }

    fn kind(self) -> &'a str {
        match self {
            Self::Encodes { kind, .. }
            | Self::DoesNotEncode { kind, .. }
            | Self::Decodes { kind, .. }
            | Self::DoesNotDecode { kind, .. } => kind,
        }
    }
}

#[test]
fn every_vector_of_twisted_holds() {
    let lines = VECTORS.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut tables = Tables::default();
    let mut count = 0;
    for line in lines {
        count += 1;
        run(Line::parse(line), &mut tables);
    }
    assert_eq!(count, 326, "lines were added or lost");
    for (index, entry) in WITHOUT_COUNTERPART.iter().enumerate() {
        assert!(tables.without_counterpart.contains(&index), "no line for {entry:?}");
    }
    for (index, entry) in REFUSED.iter().enumerate() {
        assert!(tables.refused.contains(&index), "no line for {entry:?}");
    }
}

/// Which entries of the tables above were met.
#[derive(Default)]
struct Tables {
    without_counterpart: Vec<usize>,
    refused: Vec<usize>,
}

fn run(line: Line<'_>, tables: &mut Tables) {
    match line.kind() {
        "Integer" => integers(line, tables),
        "String" => {
            check::<Vec<u8>>(line, tables, python_bytes);
            check::<Bytes>(line, tables, |value| python_bytes(value).map(Bytes::from));
        }
        "Unicode" => check::<String>(line, tables, python_text),
        "Boolean" => check::<bool>(line, tables, |value| match value {
            "True" => Some(true),
            "False" => Some(false),
            _ => None,
        }),
        "Float" => check::<f64>(line, tables, |value| {
            let is_float = value.contains(['.', 'e', 'n']);
            value.parse().ok().filter(|_| is_float)
        }),
        "Decimal" => check::<Decimal>(line, tables, |value| {
            let text = value.strip_prefix("Decimal('")?.strip_suffix("')")?;
            Some(text.parse().unwrap())
        }),
        "DateTime" => check::<DateTime>(line, tables, date_time),
        "Path" => check::<AbsolutePath>(line, tables, |value| {
            let path = value.strip_prefix("FilePath(")?.strip_suffix(")")?;
            AbsolutePath::new(python_text(path)?).ok()
        }),
        "IPAddress" => check::<IpAddr>(line, tables, |value| value.parse().ok()),
        "Box" => boxes(line),
        kind if kind.starts_with("ListOf") => lists(line, tables),
        kind if kind.starts_with("AmpList") => amp_lists(line, tables),
        _ => special(line, tables),
    }
}

/// Runs a line for one type; `read` is for the column of values.
fn check<T: Argument + Debug>(
    line: Line<'_>,
    tables: &mut Tables,
    read: impl Fn(&str) -> Option<T>,
) {
    match line {
        Line::Encodes { kind, value, hex } => {
            let Some(value) = read(value) else {
                return tables.lack(kind, value);
            };
            assert_eq!(to_hex(&encode(&value).unwrap()), hex, "{line:?}");
            assert_eq!(shown(&decode::<T>(&from_hex(hex))), shown(&Ok(value)), "{line:?}");
        }
        Line::DoesNotEncode { kind, value } => {
            let Some(value) = read(value) else {
                return tables.lack(kind, value);
            };
            assert!(encode(&value).is_err(), "{line:?}");
        }
        Line::Decodes { kind, bytes, value } => {
            let found = decode::<T>(&python_bytes(bytes).unwrap());
            if tables.refuses(kind, bytes) {
                assert!(found.is_err(), "{line:?} gave {found:?}");
            } else {
                assert_eq!(shown(&found), shown(&Ok(read(value).unwrap())), "{line:?}");
            }
        }
        Line::DoesNotDecode { bytes, .. } => {
            let found = decode::<T>(&python_bytes(bytes).unwrap());
            assert!(found.is_err(), "{line:?} gave {found:?}");
        }
    }
}

impl Tables {
    fn lack(&mut self, kind: &str, value: &str) {
        let known =
            WITHOUT_COUNTERPART.iter().position(|entry| (entry.0, entry.1) == (kind, value));
        self.without_counterpart.push(known.unwrap_or_else(|| panic!("{kind} {value}")));
    }

    fn refuses(&mut self, kind: &str, bytes: &str) -> bool {
        let known = REFUSED.iter().position(|entry| (entry.0, entry.1) == (kind, bytes));
        self.refused.extend(known);
        known.is_some()
    }
}

fn encode<T: Argument>(value: &T) -> Result<Vec<u8>, EncodeError> {
    let mut out = vec![];
    value.encode(&mut out).map(|()| out)
}

fn decode<T: Argument>(bytes: &[u8]) -> Result<T, ValueError> {
    T::decode(Value::new(&Bytes::copy_from_slice(bytes), &Limits::default()))
}

/// Values are compared as they are shown, in which `nan` is itself and `-0.0` is not `0.0`.
fn shown<T: Debug>(value: &Result<T, ValueError>) -> String {
    alloc::format!("{value:?}")
}

fn integers(line: Line<'_>, tables: &mut Tables) {
    check::<BigInt>(line, tables, |value| value.parse().ok());
    check_bounded::<i8>(line, tables);
    check_bounded::<i16>(line, tables);
    check_bounded::<i32>(line, tables);
    check_bounded::<i64>(line, tables);
    check_bounded::<i128>(line, tables);
    check_bounded::<isize>(line, tables);
    check_bounded::<u8>(line, tables);
    check_bounded::<u16>(line, tables);
    check_bounded::<u32>(line, tables);
    check_bounded::<u64>(line, tables);
    check_bounded::<u128>(line, tables);
    check_bounded::<usize>(line, tables);
}

/// What is an integer, but not within the bounds of `T`, has to be refused as that.
fn check_bounded<T: Argument + Debug + FromStr>(line: Line<'_>, tables: &mut Tables) {
    let (value, bytes) = match line {
        Line::Encodes { value, hex, .. } => (value, from_hex(hex)),
        Line::Decodes { value, bytes, .. } => (value, python_bytes(bytes).unwrap()),
        _ => return check::<T>(line, tables, |_| None),
    };
    if value.parse::<BigInt>().is_ok() && value.parse::<T>().is_err() {
        let found = decode::<T>(&bytes);
        assert!(matches!(found, Err(ValueError::OutOfRange { .. })), "{line:?} gave {found:?}");
    } else {
        check::<T>(line, tables, |value| value.parse().ok());
    }
}

fn date_time(value: &str) -> Option<DateTime> {
    let (civil, seconds) = value.strip_suffix('s')?.split_once(" offset ")?;
    // Twisted drops the seconds of an offset, towards the west.
    let minutes = seconds.parse::<i32>().ok()?.div_euclid(60);
    DateTime::new(civil.parse().ok()?, minutes.try_into().ok()?).ok()
}

fn lists(line: Line<'_>, tables: &mut Tables) {
    match line.kind() {
        "ListOf(Integer)" => check::<Vec<i64>>(line, tables, |value| {
            let items = value.strip_prefix('[')?.strip_suffix(']')?;
            items.split_terminator(", ").map(|item| item.parse().ok()).collect()
        }),
        "ListOf(String)" => check::<Vec<Vec<u8>>>(line, tables, |value| match value {
            "[65536 * b'x']" => Some(vec![vec![b'x'; 65_536]]),
            _ => Some(vec![python_bytes(value.strip_prefix('[')?.strip_suffix(']')?)?]),
        }),
        "ListOf(Unicode)" => check::<Vec<String>>(line, tables, |value| {
            (value == "['a', '☃']").then(|| vec!["a".into(), "☃".into()])
        }),
        "ListOf(ListOf(Integer))" => check::<Vec<Vec<i64>>>(line, tables, |value| {
            (value == "[[1], [2, 3], []]").then(|| vec![vec![1], vec![2, 3], vec![]])
        }),
        "ListOf(IPNetwork)" => check::<Vec<IpNet>>(line, tables, |value| {
            Some(vec![value.strip_prefix('[')?.strip_suffix(']')?.parse().ok()?])
        }),
        _ => check::<Vec<String>>(line, tables, |_| None),
    }
}

/// What the derive writes, with the order of the keys on the wire given by hand.
macro_rules! row {
    ($row:ident { $($key:ident: $kind:ty),* }, sorted: $($sorted:ident),*) => {
        #[derive(Debug, PartialEq)]
        struct $row { $($key: $kind),* }

        impl Arguments for $row {
            const FIELDS: &'static [FieldSchema] = &[$(FieldSchema {
                name: stringify!($key),
                doc: "",
                kind: <$kind as Parameter>::TYPE,
                optional: <$kind as Parameter>::OPTIONAL,
            }),*];

            fn encode(&self, out: &mut BoxWriter<'_>) -> Result<(), EncodeError> {
                $(self.$sorted.put(stringify!($sorted), out)?;)*
                Ok(())
            }

            fn decode(fields: &Fields<'_>) -> Result<Self, DecodeError> {
                Ok(Self { $($key: Parameter::take(stringify!($key), fields)?),* })
            }
        }

        impl ListItem for $row {
            const LIST_TYPE: ArgumentType = ArgumentType::Boxes(Self::FIELDS);

            fn encode_list(items: &[Self], out: &mut Vec<u8>) -> Result<(), EncodeError> {
                encode_boxes(items, out)
            }

            fn decode_list(value: Value<'_>) -> Result<Vec<Self>, ValueError> {
                decode_boxes(value)
            }
        }
    };
}

row!(Both { a: i64, b: String }, sorted: a, b);
row!(OneOptional { a: i64, b: Option<String> }, sorted: a, b);
row!(AllOptional { a: Option<i64>, b: Option<String> }, sorted: a, b);
row!(Unsorted { z: i64, a: i64 }, sorted: a, z);

fn amp_lists(line: Line<'_>, tables: &mut Tables) {
    match line.kind() {
        "AmpList(a b)" => check::<Vec<Both>>(line, tables, |value| match value {
            "[]" => Some(vec![]),
            "[{'a': 7, 'b': 'x'}]" => Some(vec![Both { a: 7, b: "x".into() }]),
            "[{'a': 7, 'b': 'hello'}, {'a': 9, 'b': 'goodbye'}]" => {
                Some(vec![Both { a: 7, b: "hello".into() }, Both { a: 9, b: "goodbye".into() }])
            }
            _ => None,
        }),
        "AmpList(a b?)" => check::<Vec<OneOptional>>(line, tables, |value| {
            (value == "[{'a': 7}]").then(|| vec![OneOptional { a: 7, b: None }])
        }),
        "AmpList(a? b?)" => check::<Vec<AllOptional>>(line, tables, |value| {
            (value == "[{}]").then(|| vec![AllOptional { a: None, b: None }])
        }),
        "AmpList(z a)" => check::<Vec<Unsorted>>(line, tables, |value| {
            (value == "[{'z': 1, 'a': 2}]").then(|| vec![Unsorted { z: 1, a: 2 }])
        }),
        kind => panic!("{kind}"),
    }
}

fn special(line: Line<'_>, tables: &mut Tables) {
    match line.kind() {
        "IPNetwork" => check::<IpNet>(line, tables, |value| {
            value.parse::<IpNet>().ok().map(|network| network.trunc())
        }),
        "Choice({1: b'one'})" => check::<String>(line, tables, |_| None),
        #[cfg(feature = "url")]
        "ParsedURL" => {
            check::<url::Url>(line, tables, |value| python_text(value)?.parse().ok());
        }
        #[cfg(feature = "json")]
        "StructureAsJSON" => check_compressed::<crate::Json<serde_json::Value>>(line, |value| {
            crate::Json(serde_json::from_str(value).unwrap())
        }),
        #[cfg(feature = "json")]
        "CompressedAmpList(ip)" => {
            row!(Host { ip: String }, sorted: ip);
            check_compressed::<crate::Compressed<Vec<Host>>>(line, |value| {
                assert_eq!(value, "[{'ip': '10.0.0.1'}]");
                crate::Compressed(vec![Host { ip: "10.0.0.1".into() }])
            });
        }
        #[cfg(not(feature = "url"))]
        "ParsedURL" => {}
        #[cfg(not(feature = "json"))]
        "StructureAsJSON" | "CompressedAmpList(ip)" => {}
        kind => panic!("{kind}"),
    }
}

/// Runs a line for a type whose compressed bytes may be others than zlib's.
#[cfg(feature = "json")]
fn check_compressed<T: Argument + Debug>(line: Line<'_>, read: impl Fn(&str) -> T) {
    let Line::Encodes { value, hex, .. } = line else { panic!("{line:?}") };
    let (value, expected) = (read(value), from_hex(hex));
    let encoded = encode(&value).unwrap();
    if OTHERWISE_COMPRESSED.contains(&hex) {
        assert_ne!(encoded, expected, "{line:?} is compressed as by zlib after all");
    } else {
        assert_eq!(to_hex(&encoded), hex, "{line:?}");
    }
    let inflate = |bytes: &[u8]| miniz_oxide::inflate::decompress_to_vec_zlib(bytes).unwrap();
    assert_eq!(inflate(&encoded), inflate(&expected), "{line:?}");
    assert_eq!(shown(&decode::<T>(&expected)), shown(&Ok(value)), "{line:?}");
}

fn boxes(line: Line<'_>) {
    let limits = Limits::default();
    match line {
        Line::Encodes { value, hex, .. } => {
            let it = python_box(value);
            if value == "{: v}" {
                // Twisted writes an empty key, and with it the end of the box.
                let refused = it.to_bytes(&limits);
                return assert_eq!(refused, Err(EncodeError::KeyLength { bytes: 0 }));
            }
            let bytes = it.to_bytes(&limits).unwrap();
            assert_eq!(to_hex(&bytes), hex, "{line:?}");
            assert_eq!(AmpBox::decode(&bytes, &limits), Ok(Some((it, bytes.len()))), "{line:?}");
        }
        Line::DoesNotEncode { value, .. } => {
            assert!(python_box(value).to_bytes(&limits).is_err(), "{line:?}");
        }
        Line::Decodes { .. } | Line::DoesNotDecode { .. } => panic!("{line:?}"),
    }
}

fn python_box(text: &str) -> AmpBox {
    let entries = text.strip_prefix('{').and_then(|text| text.strip_suffix('}')).unwrap();
    let repeated = |text: &str| match text.split_once(" * ") {
        Some((count, text)) => text.repeat(count.parse().unwrap()),
        None => text.replace("[1]", "\0\x011"),
    };
    let entries = entries.split(", ").map(|entry| entry.split_once(": ").unwrap());
    entries.map(|(key, value)| (repeated(key), repeated(value))).collect()
}

/// What is between the quotation marks of Python's `b'…'`.
fn python_bytes(literal: &str) -> Option<Vec<u8>> {
    let text = python_text(literal.strip_prefix('b')?)?;
    text.chars().map(|char| u8::try_from(char).ok()).collect()
}

/// What is between the quotation marks of Python's `'…'`; `None` if Rust has no such text.
fn python_text(literal: &str) -> Option<String> {
    let mut chars = literal.strip_prefix('\'')?.strip_suffix('\'')?.chars();
    let mut text = String::new();
    while let Some(char) = chars.next() {
        text.push(match (char, char == '\\') {
            (char, false) => char,
            (_, true) => match chars.next()? {
                't' => '\t',
                'n' => '\n',
                'r' => '\r',
                'x' => hex_char(&mut chars, 2)?,
                'u' => hex_char(&mut chars, 4)?,
                other => panic!("{other} in {literal}"),
            },
        });
    }
    Some(text)
}

fn hex_char(chars: &mut impl Iterator<Item = char>, digits: usize) -> Option<char> {
    let digits: String = chars.take(digits).collect();
    char::from_u32(u32::from_str_radix(&digits, 16).ok()?)
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| alloc::format!("{byte:02x}")).collect()
}

fn from_hex(hex: &str) -> Vec<u8> {
    let digits = |at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap();
    (0..hex.len()).step_by(2).map(digits).collect()
}
