//! Types read from their notation, and calls made from JSON.

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::fmt::Debug;
use core::net::IpAddr;

use bytes::Bytes;
use ipnet::IpNet;
use num_bigint::BigInt;
use proptest::collection::vec as vec_of;
use proptest::prelude::*;
use serde_json::{Map, Value as Json, json};

use super::*;
use crate::schema::{ArgumentType, FieldSchema};
use crate::{
    AbsolutePath, AmpBox, Argument, Compressed, DateTime, Decimal, DecodeError, EncodeError,
    Fields, Limits, Scanner, ValueError,
};

const FIELDS: &[FieldSchema] = &[
    FieldSchema { name: "name", doc: "", kind: ArgumentType::Text, optional: false },
    FieldSchema { name: "age", doc: "", kind: ArgumentType::Integer, optional: true },
    FieldSchema { name: "a b(c", doc: "", kind: ArgumentType::Boxes(&[]), optional: true },
];

const KINDS: &[ArgumentType] = &[
    ArgumentType::Integer,
    ArgumentType::IntegerWithin { min: -128, max: 127 },
    ArgumentType::IntegerWithin { min: i128::MIN, max: u128::MAX },
    ArgumentType::Bytes,
    ArgumentType::Text,
    ArgumentType::Boolean,
    ArgumentType::Float,
    ArgumentType::Decimal,
    ArgumentType::DateTime,
    ArgumentType::List(&ArgumentType::List(&ArgumentType::Choice(&["a"]))),
    ArgumentType::Boxes(FIELDS),
    ArgumentType::List(&ArgumentType::Boxes(FIELDS)),
    ArgumentType::Path,
    ArgumentType::Json,
    ArgumentType::Compressed(&ArgumentType::Boxes(FIELDS)),
    ArgumentType::IpAddress,
    ArgumentType::IpNetwork,
    ArgumentType::Url,
    ArgumentType::Choice(&[]),
    ArgumentType::Choice(&["on", "\"off\", or so", "\\\t\u{e9}'\u{0}", ""]),
    ArgumentType::Custom("celsius"),
    ArgumentType::Custom("Grid<(u8, u8), (u8)>"),
    ArgumentType::Custom(""),
];

#[test]
fn every_type_is_read_as_it_is_displayed() {
    for kind in KINDS {
        let description = TypeDescription::from(kind);
        assert_eq!(description.to_string(), kind.to_string());
        assert_eq!(kind.to_string().parse(), Ok(description));
    }
    for field in FIELDS {
        let description = FieldDescription::from(field);
        assert_eq!(description.to_string(), field.to_string());
        assert_eq!(field.to_string().parse(), Ok(description));
    }
}

#[test]
fn people_read_the_bounds_of_a_wide_type_as_its_name() {
    let kinds = [
        ("integer(0..=255)", "integer(0..=255)"),
        ("integer(-2147483648..=2147483647)", "integer(i32)"),
        ("list(integer(0..=18446744073709551615))", "list(integer(u64))"),
        (
            "boxes(at: integer(-9223372036854775808..=9223372036854775807)?, of: text)",
            "boxes(at: integer(i64)?, of: text)",
        ),
        ("compressed(integer(0..=4294967294))", "compressed(integer(0..=4294967294))"),
    ];
    for (exact, short) in kinds {
        let kind: TypeDescription = exact.parse().unwrap();
        assert_eq!((format!("{kind}"), format!("{kind:#}")), (exact.to_owned(), short.to_owned()));
    }
}

#[test]
fn what_is_no_type_is_refused_with_its_place() {
    let places = [
        ("", 0),
        ("txet", 0),
        ("text ", 4),
        ("list", 4),
        ("list(text", 9),
        ("list(texts)", 5),
        ("integer(1..2)", 9),
        ("integer(..=2)", 8),
        ("integer(0..=-1)", 14),
        ("boxes(a text)", 6),
        ("boxes(: text)", 6),
        ("boxes(a: text b: text)", 13),
        ("choice(\"a\", b)", 12),
        ("choice(\"a", 9),
        ("choice(\"\\u{d800}\")", 16),
        ("custom(a(b)", 7),
    ];
    for (notation, at) in places {
        let error = notation.parse::<TypeDescription>().unwrap_err();
        assert_eq!(error.at, at, "{notation}: {error}");
    }
}

#[test]
fn types_nest_to_a_depth_and_no_further() {
    let nested = |depth: usize| format!("{}text{}", "list(".repeat(depth), ")".repeat(depth));
    assert!(nested(TYPE_DEPTH_MAX - 1).parse::<TypeDescription>().is_ok());
    assert!(nested(TYPE_DEPTH_MAX).parse::<TypeDescription>().is_err());
    assert!("boxes(a: ".repeat(100_000).parse::<TypeDescription>().is_err());
    assert!(format!("boxes({})", "a: text, ".repeat(257)).parse::<TypeDescription>().is_err());
}

fn fields(notations: &[&str]) -> Vec<FieldDescription> {
    notations.iter().map(|notation| notation.parse().unwrap()).collect()
}

fn to_box(fields: &[FieldDescription], json: Json) -> Result<AmpBox, ArgumentProblem> {
    let Json::Object(object) = json else { panic!("{json}") };
    encode_json(fields, &object).map(AmpBox::from_iter)
}

fn from_box(fields: &[FieldDescription], it: &AmpBox) -> Result<Json, DecodeError> {
    let limits = Limits::default();
    let bytes = it.to_bytes(&limits).unwrap();
    let mut scanner = Scanner::default();
    scanner.scan(&bytes, &limits).unwrap();
    decode_json(fields, &Fields::new(&bytes, scanner.spans(), &limits)).map(Json::Object)
}

/// The value's own encoding, and the JSON that it is to be, make each other.
fn agree<T: Argument + Debug>(value: &T, json: impl Into<Json>) {
    let json = json.into();
    let field = [FieldDescription {
        name: "it".into(),
        kind: T::TYPE.into(),
        optional: false,
        doc: String::new(),
    }];
    let mut wire = vec![];
    value.encode(&mut wire).unwrap();
    let it = AmpBox::from_iter([("it", wire)]);
    assert_eq!(from_box(&field, &it).unwrap()["it"], json, "{value:?}");
    assert_eq!(to_box(&field, json!({ "it": json })), Ok(it), "{value:?}");
}

#[test]
fn json_and_types_agree() {
    agree(&BigInt::from(5), json!(5));
    agree(&u64::MAX, json!(u64::MAX));
    agree(&i128::MIN, json!(i128::MIN.to_string()));
    agree(&b"ab".to_vec(), json!("ab"));
    agree(&vec![0xff_u8, 0], json!({"base64": "/wA="}));
    agree(&"snow ☃".to_owned(), json!("snow ☃"));
    agree(&true, json!(true));
    agree(&1.5, json!(1.5));
    agree(&f64::INFINITY, json!("inf"));
    agree(&f64::NEG_INFINITY, json!("-inf"));
    agree(&f64::NAN, json!("nan"));
    agree(&Decimal::new(1250, -2), json!("12.50"));
    let date_time: DateTime = "2012-01-23T12:34:56Z".parse().unwrap();
    agree(&date_time, json!("2012-01-23T12:34:56.000000+00:00"));
    agree(&vec![vec![1_u8.into(), 2_i64], vec![]], json!([[1, 2], []]));
    agree(&AbsolutePath::new("/srv").unwrap(), json!("/srv"));
    agree(&crate::Json(json!({"a": [null]})), json!({"a": [null]}));
    agree(&Compressed(vec!["a".to_owned()]), json!(["a"]));
    agree(&"10.0.0.1".parse::<IpAddr>().unwrap(), json!("10.0.0.1"));
    agree(&"2001:db8::/32".parse::<IpNet>().unwrap(), json!("2001:db8::/32"));
    #[cfg(feature = "url")]
    agree(&"http://example.com/".parse::<url::Url>().unwrap(), json!("http://example.com/"));
}

#[test]
fn boxes_are_objects() {
    let fields = fields(&["rows: boxes(z: integer, a: text?)", "on: choice(\"yes\", \"no\")"]);
    let json = json!({"rows": [{"z": 1, "a": "x"}, {"z": 2}], "on": "no"});
    let it = to_box(&fields, json.clone()).unwrap();
    let rows = b"\0\x01a\0\x01x\0\x01z\0\x011\0\0\0\x01z\0\x012\0\0";
    assert_eq!(it, AmpBox::from_iter([("rows", &rows[..]), ("on", b"no")]));
    assert_eq!(from_box(&fields, &it), Ok(json));
}

#[test]
fn other_forms_of_json_are_taken_too() {
    let fields =
        fields(&["integer: integer", "float: float", "decimal: decimal", "time: datetime"]);
    let strings = json!({
        "integer": "5", "float": "1.5", "decimal": "0.1", "time": "2012-01-23T12:34:56Z",
    });
    let others = json!({
        "integer": 5, "float": 1.5, "decimal": 0.1, "time": "2012-01-23 12:34:56.0+00",
    });
    assert_eq!(to_box(&fields, strings), to_box(&fields, others));
}

#[test]
fn null_is_absence_but_for_json() {
    let fields = fields(&["a: text?", "b: json?", "c: json?"]);
    let it = to_box(&fields, json!({"a": null, "b": null})).unwrap();
    assert_eq!(it.iter().map(|(key, _)| key).collect::<Vec<_>>(), ["b"]);
    assert_eq!(from_box(&fields, &it), Ok(json!({"b": null})));
}

const PROBLEMS: [(&str, &str); 14] = [
    (r#"{"nmae": 1}"#, "`nmae`: there is no such argument; did you mean `name`?"),
    (r#"{"zzz": 1}"#, "`zzz`: there is no such argument"),
    (r#"{}"#, "`name`: it is required, and missing: expected text"),
    (r#"{"name": null}"#, "`name`: expected text, found null"),
    (r#"{"name": [1]}"#, "`name`: expected text, found a list"),
    (r#"{"name": "", "age": 1.5}"#, "`age`: expected an integer, found the number 1.5"),
    (r#"{"name": "", "age": -1}"#, "`age`: -1 is out of the range 0..=255"),
    (r#"{"name": "", "age": "256"}"#, "`age`: \"256\" is out of the range 0..=255"),
    (
        r#"{"name": "", "rows": [{"x": [1]}, {"x": [2, "b"]}]}"#,
        "`rows[1].x[1]`: expected an integer, found \"b\"",
    ),
    (r#"{"name": "", "rows": [1]}"#, "`rows[0]`: expected an object, found the number 1"),
    (
        r#"{"name": "", "rows": [{"y": 1}]}"#,
        "`rows[0].y`: there is no such argument; did you mean `x`?",
    ),
    (
        r#"{"name": "", "mode": "fats"}"#,
        "`mode`: expected one of \"fast\", \"slow\", found \"fats\"; did you mean `fast`?",
    ),
    (
        r#"{"name": "", "blob": {"base64": "!"}}"#,
        "`blob`: expected text, or bytes as {\"base64\": \"…\"}, found an object",
    ),
    (
        r#"{"name": "", "url": "/MAAS"}"#,
        "`url`: expected an absolute URL in ASCII, found \"/MAAS\"",
    ),
];

#[test]
fn problems_name_the_field_and_what_was_expected_and_found() {
    let fields = fields(&[
        "name: text",
        "age: integer(0..=255)?",
        "rows: boxes(x: list(integer))?",
        "mode: choice(\"fast\", \"slow\")?",
        "blob: bytes?",
        "url: url?",
    ]);
    for (json, expected) in PROBLEMS {
        let problem = to_box(&fields, serde_json::from_str(json).unwrap()).unwrap_err();
        assert_eq!(problem.to_string(), format!("argument {expected}"));
    }
}

#[test]
fn a_value_may_be_longer_than_one_of_amp_and_an_element_may_not() {
    let fields = fields(&["text: text?", "texts: list(text)?"]);
    let long = "x".repeat(65_536);
    let text = to_box(&fields, json!({ "text": long })).unwrap();
    assert!(text.get("text").is_some_and(|text| text.len() == 65_536));
    let too_long = EncodeError::ElementTooLong { bytes: 65_536 };
    assert_eq!(
        to_box(&fields, json!({ "texts": ["", long] })),
        Err(ProblemReason::DoesNotFit(too_long).at("texts[1]"))
    );
}

#[test]
fn a_box_that_does_not_fit_its_description_is_refused() {
    let refused = |notation: &str, value: &'static [u8]| {
        let it = AmpBox::from_iter([("it", value)]);
        from_box(&fields(&[notation]), &it).unwrap_err()
    };
    assert_eq!(refused("other: text", b""), ValueError::Missing.at("other"));
    assert!(matches!(
        refused("it: integer(0..=255)", b"256").reason,
        ValueError::OutOfRange { .. }
    ));
    assert!(matches!(refused("it: choice(\"a\")", b"b").reason, ValueError::Malformed { .. }));
    assert_eq!(refused("it: list(text)", b"\0\x02a").reason, ValueError::Truncated);
    let nested = refused("it: boxes(x: integer)", b"\0\x01x\0\x01y\0\0");
    assert_eq!(nested.to_string(), "argument `it.x`: expected an integer, found \"y\"");
    assert!(from_box(&fields(&["it: text?"]), &AmpBox::new()) == Ok(json!({})));
}

#[test]
fn layers_of_compression_are_not_inflated() {
    let mut wire = vec![];
    Compressed("snow".to_owned()).encode(&mut wire).unwrap();
    let mut layers = vec![];
    Compressed(wire).encode(&mut layers).unwrap();
    let it = AmpBox::from_iter([("it", layers)]);
    let refused = from_box(&fields(&["it: compressed(compressed(text))"]), &it).unwrap_err();
    assert_eq!(refused.reason, ValueError::DecompressedTooLarge { max: 0 });
}

#[test]
fn text_of_a_command_line_becomes_json() {
    let json = |kind: &str, text: &str| parse_argument_text(&kind.parse().unwrap(), text);
    assert_eq!(json("text", "8"), Ok(json!("8")));
    assert_eq!(json("text", "\"8\""), Ok(json!("\"8\"")));
    assert_eq!(json("integer", "8"), Ok(json!(8)));
    assert_eq!(json("integer", "18446744073709551616"), Ok(json!("18446744073709551616")));
    assert_eq!(json("float", "1e400"), Ok(json!("inf")));
    assert_eq!(json("float", "2"), Ok(json!(2.0)));
    assert_eq!(json("boolean", "true"), Ok(json!(true)));
    assert_eq!(json("decimal", "12.50"), Ok(json!("12.50")));
    assert_eq!(json("bytes", "{}"), Ok(json!("{}")));
    assert_eq!(json("bytes", "{\"base64\": \"/w==\"}"), Ok(json!({"base64": "/w=="})));
    assert_eq!(json("list(text)", "[\"a\"]"), Ok(json!(["a"])));
    assert_eq!(json("boxes(a: text)", "[{\"a\": \"b\"}]"), Ok(json!([{"a": "b"}])));
    assert_eq!(json("json", "{\"a\": null}"), Ok(json!({"a": null})));
    assert_eq!(json("compressed(integer)", "7"), Ok(json!(7)));
    for (kind, text) in
        [("integer", "x"), ("float", ""), ("boolean", "1"), ("list(text)", "a"), ("json", "a")]
    {
        let problem = json(kind, text);
        assert!(matches!(problem, Err(ProblemReason::WrongType { .. })), "{kind}: {problem:?}");
    }
}

fn kind() -> impl Strategy<Value = TypeDescription> {
    use TypeDescription as Kind;

    let leaf = prop_oneof![
        (any::<i128>(), any::<u128>()).prop_map(|(min, max)| Kind::IntegerWithin { min, max }),
        vec_of(any::<String>(), 0..4).prop_map(Kind::Choice),
        "[a-zA-Z<>, -]{0,9}(\\([a-z]\\))?".prop_map(Kind::Custom),
        proptest::sample::select(KINDS).prop_map(Kind::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        // Names that begin with `)` or have `: ` in them are beyond the notation.
        let name = "[a-z_é ?,(-][a-z_é ?,()-]{0,8}";
        let field = (name, inner.clone(), any::<bool>()).prop_map(|(name, kind, optional)| {
            FieldDescription { name, kind, optional, doc: String::new() }
        });
        prop_oneof![
            inner.clone().prop_map(|of| Kind::List(Box::new(of))),
            inner.prop_map(|of| Kind::Compressed(Box::new(of))),
            vec_of(field, 0..4).prop_map(Kind::Boxes),
        ]
    })
}

fn any_json() -> impl Strategy<Value = Json> {
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        "[0-9]{1,3}|[a-z:/.]{0,9}|2012-01-23T12:34:56Z".prop_map(Json::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        let keys = prop_oneof![Just("name".to_owned()), Just("age".to_owned()), "[a-z]"];
        prop_oneof![
            vec_of(inner.clone(), 0..4).prop_map(Json::from),
            vec_of((keys, inner), 0..3).prop_map(|entries| entries.into_iter().collect()),
        ]
    })
}

proptest! {
    #[test]
    fn any_type_is_read_as_it_is_displayed(kind in kind()) {
        prop_assert_eq!(kind.to_string().parse(), Ok(kind));
    }

    #[test]
    fn no_notation_does_any_harm(
        random: String,
        near in "(list|boxes|choice|integer|custom|compressed|text|[(),:?\"\\\\.= a-z0-9-]){0,20}",
    ) {
        for notation in [random, near] {
            if let Ok(kind) = notation.parse::<TypeDescription>() {
                prop_assert_eq!(kind.to_string().parse(), Ok(kind));
            }
        }
    }

    #[test]
    fn json_that_is_taken_comes_back_as_what_is_taken(kind in kind(), json in any_json()) {
        let fields =
            [FieldDescription { name: "it".into(), kind, optional: false, doc: String::new() }];
        let object = Map::from_iter([("it".to_owned(), json)]);
        if let Ok(entries) = encode_json(&fields, &object) {
            let it = AmpBox::from_iter(entries);
            // Layers of compression can be made, and are not inflated.
            if let Ok(back) = from_box(&fields, &it) {
                prop_assert_eq!(to_box(&fields, back), Ok(it));
            }
        }
    }

    #[test]
    fn no_value_does_any_harm(kind in kind(), value in vec_of(0..8_u8, 0..60)) {
        let fields =
            [FieldDescription { name: "it".into(), kind, optional: false, doc: String::new() }];
        let it = AmpBox::from_iter([("it", Bytes::from(value))]);
        if let Ok(json) = from_box(&fields, &it) {
            let again = to_box(&fields, json);
            prop_assert!(again.is_ok(), "{again:?}");
        }
    }

    #[test]
    fn no_text_does_any_harm(kind in kind(), text: String) {
        let _ = parse_argument_text(&kind, &text);
    }
}

#[test]
fn what_is_too_large_for_a_row_of_boxes_is_refused() {
    let fields = fields(&["rows: compressed(boxes(a: list(text)))"]);
    let json = json!({"rows": [{"a": vec!["x".repeat(65_000); 2]}]});
    let too_long = EncodeError::ValueTooLong { key: "a".into(), bytes: 130_004 };
    assert_eq!(to_box(&fields, json), Err(ProblemReason::DoesNotFit(too_long).at("rows[0]")));
}
