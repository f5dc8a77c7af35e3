//! What the macros write, at work: bytes, tables and schemas.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use amp_proto::{
    AmpBox, Argument, ArgumentType, Arguments, Choice, Command, CommandError, DecodeError,
    EncodeError, ErrorSchema, Failure, FieldSchema, Fields, Limits, ListItem, Never, Outcome, Peer,
    PeerMisbehaved, Refusal, Reply, ResponderTable, Responders, RoleName, Scanned, Scanner, Value,
    ValueError, assert_answers, responders, write_box,
};
use bytes::Bytes;

/// Taste a cheez
/// and rate it.
///
/// Twice, if it is good.
#[derive(Clone, Debug, PartialEq, Command)]
#[command(answered_by = Cluster, response = CheezRating, errors = CheezError)]
struct EatCheez {
    name: String,
    /// Where it comes from.
    #[amp(key = "country-of-origin")]
    origin: String,
    /// Absent: as old as the cellar has it.
    age_months: Option<u8>,
    r#type: Bytes,
}

#[derive(Clone, Debug, PartialEq, Arguments)]
struct CheezRating {
    rating: u8,
    notes: Vec<Note>,
}

#[derive(Clone, Debug, PartialEq, Arguments)]
struct Note {
    text: String,
    by: Option<String>,
}

#[derive(Debug, PartialEq, thiserror::Error, CommandError)]
enum CheezError {
    #[error("the cellar is locked")]
    #[code("CELLAR_LOCKED")]
    CellarLocked,
    #[error("there is no cheez called {0}")]
    #[code("NO_SUCH_CHEEZ")]
    NoSuchCheez(String),
    #[error("the cellar is on fire")]
    #[code("FIRE", fatal)]
    Fire,
}

#[derive(Clone, Copy, Debug, PartialEq, Choice)]
enum Door {
    #[wire("open")]
    Open,
    #[wire("closed")]
    Closed,
    #[wire("ajar")]
    Ajar,
}

#[derive(Clone, Debug, PartialEq, Command)]
#[command(name = "set-door", answered_by(Cluster, Region), errors = CheezError, no_answer)]
struct SetDoor {
    door: Door,
}

#[derive(Clone, Debug, PartialEq, Command)]
#[command(answered_by = any)]
struct Ping;

struct Cellar {
    rating: u8,
}

#[responders]
impl Cellar {
    #[responder]
    async fn eat_cheez(&self, cheez: EatCheez) -> Result<CheezRating, CheezError> {
        if cheez.name.is_empty() {
            return Err(CheezError::NoSuchCheez(cheez.name));
        }
        std::future::ready(()).await;
        let note = Note { text: cheez.name, by: None };
        Ok(CheezRating { rating: self.rating, notes: vec![note] })
    }

    #[responder]
    async fn set_door(&self, SetDoor { door }: SetDoor) -> Result<(), Failure<CheezError>> {
        std::future::ready(()).await;
        match door {
            Door::Open => Ok(()),
            Door::Closed => Err(CheezError::Fire)?,
            Door::Ajar => Err(Failure::undeclared("it squeaks")),
        }
    }

    #[responder]
    async fn ping(&self, _: Ping, peer: &Peer) -> Result<(), Never> {
        std::future::ready(()).await;
        assert_eq!(peer.address(), "unknown");
        Ok(())
    }
}

assert_answers!(Cellar: EatCheez, SetDoor, Ping);

fn idiazabal() -> EatCheez {
    EatCheez {
        name: "idiazabal".to_owned(),
        origin: "ES".to_owned(),
        age_months: Some(6),
        r#type: Bytes::from_static(b"\x00\xff"),
    }
}

/// The box on the wire, with `reserved` keys in it.
fn encode(arguments: &impl Arguments, reserved: &[(&[u8], &[u8])]) -> Result<Vec<u8>, EncodeError> {
    let mut wire = Vec::new();
    write_box(&mut wire, reserved, &Limits::default(), |out| arguments.encode(out))?;
    Ok(wire)
}

/// Reads a box in place, as a connection does.
fn with_fields<T>(
    wire: &'static [u8],
    read: impl FnOnce(&Fields<'_>) -> T,
) -> Result<T, PeerMisbehaved> {
    let limits = Limits::default();
    let mut scanner = Scanner::default();
    let scanned = scanner.scan(wire, &limits)?;
    assert_eq!(scanned, Scanned::Whole { bytes: wire.len() });
    Ok(read(&Fields::new(&Bytes::from_static(wire), scanner.spans(), &limits)))
}

fn decode<A: Arguments>(wire: &'static [u8]) -> Result<Result<A, DecodeError>, PeerMisbehaved> {
    with_fields(wire, A::decode)
}

#[test]
fn an_ask_has_its_keys_in_ascending_order() {
    let reserved: [(&[u8], &[u8]); 2] = [(b"_ask", b"1"), (b"_command", b"EatCheez")];
    let wire = encode(&idiazabal(), &reserved).unwrap();
    let golden: &[u8] = b"\
        \x00\x04_ask\x00\x011\
        \x00\x08_command\x00\x08EatCheez\
        \x00\x0aage_months\x00\x016\
        \x00\x11country-of-origin\x00\x02ES\
        \x00\x04name\x00\x09idiazabal\
        \x00\x04type\x00\x02\x00\xff\
        \x00\x00";
    assert_eq!(wire, golden);
}

#[test]
fn the_order_is_that_of_bytes_and_not_of_letters() {
    #[derive(Arguments)]
    #[expect(non_snake_case, reason = "upper case sorts before lower case")]
    struct Shuffled {
        b: u8,
        a_b: u8,
        #[amp(key = "a-b")]
        hyphenated: u8,
        Z: u8,
        #[amp(key = "a")]
        z: u8,
    }
    let wire = encode(&Shuffled { b: 1, a_b: 2, hyphenated: 3, Z: 4, z: 5 }, &[]).unwrap();
    let golden: &[u8] = b"\x00\x01Z\x00\x014\x00\x01a\x00\x015\x00\x03a-b\x00\x013\
        \x00\x03a_b\x00\x012\x00\x01b\x00\x011\x00\x00";
    assert_eq!(wire, golden);
    let declared = Shuffled::FIELDS.iter().map(|field| field.name).collect::<Vec<_>>();
    assert_eq!(declared, ["b", "a_b", "a-b", "Z", "a"]);
}

#[test]
fn an_optional_field_is_left_out() {
    let cheez = EatCheez { age_months: None, ..idiazabal() };
    let wire = encode(&cheez, &[]).unwrap();
    let (read, bytes) = AmpBox::decode(&wire.clone().into(), &Limits::default()).unwrap().unwrap();
    assert_eq!(bytes, wire.len());
    let keys = read.iter().map(|(key, _)| key.clone()).collect::<Vec<_>>();
    assert_eq!(keys, ["country-of-origin", "name", "type"]);
    assert_eq!(decode(wire.leak()).unwrap(), Ok(cheez));
}

#[test]
fn a_box_is_read_whatever_its_order_and_its_other_keys() {
    let wire = b"\x00\x04type\x00\x02\x00\xff\x00\x05other\x00\x01!\x00\x04name\x00\x09idiazabal\
        \x00\x11country-of-origin\x00\x02ES\x00\x0aage_months\x00\x016\x00\x00";
    assert_eq!(decode(wire).unwrap(), Ok(idiazabal()));
}

#[test]
fn what_is_missing_or_malformed_is_named_by_its_key() {
    let missing = decode::<EatCheez>(b"\x00\x04name\x00\x01x\x00\x00").unwrap();
    assert_eq!(missing, Err(ValueError::Missing.at("country-of-origin")));
    let malformed = decode::<CheezRating>(b"\x00\x06rating\x00\x01x\x00\x00").unwrap();
    assert_eq!(malformed.unwrap_err().key, "rating");
    let nested = b"\x00\x06rating\x00\x011\x00\x05notes\x00\x02\x00\x00\x00\x00";
    assert_eq!(decode::<CheezRating>(nested).unwrap(), Err(ValueError::Missing.at("notes.text")));
}

#[test]
fn a_list_of_structs_is_a_list_of_boxes() {
    let response = CheezRating {
        rating: 9,
        notes: vec![
            Note { text: "nutty".to_owned(), by: None },
            Note { text: "smoky".to_owned(), by: Some("ana".to_owned()) },
        ],
    };
    let wire = encode(&response, &[(b"_answer", b"1")]).unwrap();
    let golden: &[u8] = b"\
        \x00\x07_answer\x00\x011\
        \x00\x05notes\x00\x27\
        \x00\x04text\x00\x05nutty\x00\x00\
        \x00\x02by\x00\x03ana\x00\x04text\x00\x05smoky\x00\x00\
        \x00\x06rating\x00\x019\
        \x00\x00";
    assert_eq!(wire, golden);
    assert_eq!(decode(wire.leak()).unwrap(), Ok(response));
    assert_eq!(<Note as ListItem>::LIST_TYPE, ArgumentType::Boxes(Note::FIELDS));
}

#[test]
fn a_command_without_fields_is_an_empty_box_of_its_own() {
    assert_eq!(encode(&Ping, &[(b"_command", b"Ping")]).unwrap(), b"\0\x08_command\0\x04Ping\0\0");
    assert_eq!(decode(b"\x00\x01x\x00\x01y\x00\x00").unwrap(), Ok(Ping));
}

#[test]
fn a_choice_is_one_of_its_words() {
    assert_eq!(encode(&SetDoor { door: Door::Ajar }, &[]).unwrap(), b"\0\x04door\0\x04ajar\0\0");
    let limits = Limits::default();
    let word = |word: &'static [u8]| {
        let source = Bytes::from_static(word);
        Door::decode(Value::new(&source, &limits))
    };
    assert_eq!(word(b"closed"), Ok(Door::Closed));
    let error = word(b"Closed").unwrap_err();
    let text = "expected \"open\", \"closed\" or \"ajar\", found \"Closed\"";
    assert_eq!(error.to_string(), text);
}

#[test]
fn errors_cross_the_wire_and_come_back() {
    let errors = [
        (CheezError::CellarLocked, "CELLAR_LOCKED", false, "the cellar is locked"),
        (CheezError::NoSuchCheez("gouda".to_owned()), "NO_SUCH_CHEEZ", false, "gouda"),
        (CheezError::Fire, "FIRE", true, "the cellar is on fire"),
    ];
    for (error, code, fatal, description) in errors {
        assert_eq!(error.code(), ErrorSchema { code, fatal });
        assert_eq!(error.wire_description(), description);
        assert_eq!(CheezError::from_code(code, description), Some(error));
    }
    assert_eq!(CheezError::from_code("FIRE", "whatever"), Some(CheezError::Fire));
    assert_eq!(CheezError::from_code("UNKNOWN", ""), None);
}

#[test]
fn a_schema_says_what_the_declaration_says() {
    let schema = EatCheez::SCHEMA;
    assert_eq!(schema.name, "EatCheez");
    assert_eq!(schema.doc, "Taste a cheez and rate it.");
    assert_eq!(schema.answered_by, [RoleName::Cluster]);
    assert_eq!(schema.errors, CheezError::CODES);
    assert!(schema.requires_answer);
    let docs = schema.arguments.iter().map(|field| field.doc).collect::<Vec<_>>();
    let expected = ["", "Where it comes from.", "Absent: as old as the cellar has it.", ""];
    assert_eq!(docs, expected);

    let schema = SetDoor::SCHEMA;
    assert_eq!(schema.name, "set-door");
    assert_eq!(schema.answered_by, [RoleName::Cluster, RoleName::Region]);
    assert_eq!(schema.response, []);
    assert!(!schema.requires_answer);
}

#[test]
fn fields_display_in_the_notation_of_the_wire() {
    fn displayed(fields: &[FieldSchema]) -> Vec<String> {
        fields.iter().map(ToString::to_string).collect()
    }
    let integer = <u8 as Argument>::TYPE;
    let arguments = displayed(EatCheez::SCHEMA.arguments);
    let age = format!("age_months: {integer}?");
    assert_eq!(arguments, ["name: text", "country-of-origin: text", &age, "type: bytes"]);
    let response = displayed(EatCheez::SCHEMA.response);
    let rating = format!("rating: {integer}");
    assert_eq!(response, [&rating, "notes: boxes(text: text, by: text?)"]);
    let door = displayed(SetDoor::SCHEMA.arguments);
    assert_eq!(door, ["door: choice(\"open\", \"closed\", \"ajar\")"]);
}

#[test]
fn a_table_has_one_entry_per_responder_in_their_order() {
    let names = Cellar::TABLE.iter().map(|entry| entry.schema.name).collect::<Vec<_>>();
    assert_eq!(names, ["EatCheez", "set-door", "Ping"]);
    assert_eq!(Cellar::TABLE[1].schema, SetDoor::SCHEMA);
}

/// What the cellar answers. None of its responders waits for anything.
fn ask(command: &[u8], wire: &'static [u8]) -> Option<Outcome> {
    let mut responders = Responders::new();
    responders.add(Arc::new(Cellar { rating: 9 })).ok()?;
    let respond = |fields: &Fields<'_>| responders.respond(command, fields, &Peer::unknown());
    let reply = with_fields(wire, respond).ok()??;
    if let Reply::Pending(mut answer) = reply {
        let mut context = Context::from_waker(Waker::noop());
        let Poll::Ready(outcome) = answer.as_mut().poll(&mut context) else {
            return None;
        };
        Some(outcome)
    } else if let Reply::Ready(outcome) = reply {
        Some(outcome)
    } else {
        None
    }
}

#[test]
fn a_table_leads_from_an_ask_to_its_answer() {
    let cheez = b"\x00\x04type\x00\x00\x00\x04name\x00\x04feta\x00\x11country-of-origin\x00\x02GR\
        \x00\x00";
    let answer = ask(b"EatCheez", cheez).unwrap().unwrap();
    let mut wire = Vec::new();
    write_box(&mut wire, &[(b"_answer", b"7")], &Limits::default(), |out| {
        answer.fields.encode_fields(out)
    })
    .unwrap();
    let golden: &[u8] = b"\
        \x00\x07_answer\x00\x017\
        \x00\x05notes\x00\x0e\x00\x04text\x00\x04feta\x00\x00\
        \x00\x06rating\x00\x019\
        \x00\x00";
    assert_eq!(wire, golden.to_vec());
    assert!(ask(b"Ping", b"\x00\x00").unwrap().is_ok());
    assert!(ask(b"ping", b"\x00\x00").is_none());
}

#[test]
fn a_responder_fails_in_its_own_terms() {
    let nameless = b"\x00\x04type\x00\x00\x00\x04name\x00\x00\x00\x11country-of-origin\x00\x02GR\
        \x00\x00";
    let Err(Refusal::Declared { code, fatal, .. }) = ask(b"EatCheez", nameless).unwrap() else {
        panic!("the error is declared");
    };
    assert_eq!((code, fatal), ("NO_SUCH_CHEEZ", false));
    let closed = ask(b"set-door", b"\x00\x04door\x00\x06closed\x00\x00").unwrap();
    let Err(Refusal::Declared { code, description, fatal }) = closed else {
        panic!("the error is declared");
    };
    assert_eq!((code, &*description, fatal), ("FIRE", "the cellar is on fire", true));
    let ajar = ask(b"set-door", b"\x00\x04door\x00\x04ajar\x00\x00").unwrap();
    assert!(matches!(ajar, Err(Refusal::Undeclared(error)) if error.to_string() == "it squeaks"));
    let bad = ask(b"set-door", b"\x00\x04door\x00\x04half\x00\x00").unwrap();
    assert!(matches!(bad, Err(Refusal::BadArgument(error)) if error.key == "door"));
}
