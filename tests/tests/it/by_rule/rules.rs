//! The rules, and what the book says becomes of the connection.

use super::boxes::{Conversation, Fields, ask, conversations, sum};

/// What becomes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Then {
    /// It is closed at once, and the log says why, in these words.
    Closes(&'static str),
    /// What is asked next is answered.
    Lives,
    /// The bytes are the beginning of something that never comes: the peer counts as dead.
    Starves,
    /// One of the three: it depends on what the bytes are taken for.
    Any,
    /// The peer says that no more comes, and the connection ends.
    Ends,
}

/// One malformed stream.
#[derive(Clone, Debug)]
pub(super) struct Case {
    pub(super) name: String,
    pub(super) bytes: Vec<u8>,
    pub(super) then: Then,
}

fn case(name: impl Into<String>, bytes: Vec<u8>, then: Then) -> Case {
    Case { name: name.into(), bytes, then }
}

/// The rules by name, with what they make of the good conversations.
pub(super) fn all() -> Vec<(&'static str, Vec<Case>)> {
    let over =
        |rule: fn(&Conversation) -> Vec<Case>| conversations().iter().flat_map(rule).collect();
    vec![
        ("cut and ended", over(cut_and_ended)),
        ("cut and silent", over(cut_and_silent)),
        ("key lengths", over(key_lengths)),
        ("value lengths", over(value_lengths)),
        ("fields twice", over(fields_twice)),
        ("fields missing", over(fields_missing)),
        ("values", over(values)),
        ("bytes", over(bytes)),
        ("asks that answer", over(asks_that_answer)),
        ("answers to nothing", answers_to_nothing()),
        ("streams", streams()),
        ("parts", parts()),
        ("cancellations", cancellations()),
        ("metadata", metadata()),
    ]
}

fn cut_and_ended(it: &Conversation) -> Vec<Case> {
    let bytes = it.bytes();
    let cut =
        |at| case(format!("{} cut at {at}, ended", it.name), bytes[..at].to_vec(), Then::Ends);
    (0..bytes.len()).map(cut).collect()
}

fn cut_and_silent(it: &Conversation) -> Vec<Case> {
    let bytes = it.bytes();
    // Between two boxes nothing is missing.
    let mut ends = vec![0];
    ends.extend(it.boxes.iter().scan(0, |at, it| {
        *at += it.bytes().len();
        Some(*at)
    }));
    let places = (0..bytes.len()).filter(|at| !ends.contains(at));
    places
        .map(|at| case(format!("{} cut at {at}", it.name), bytes[..at].to_vec(), Then::Starves))
        .collect()
}

/// Every length in a conversation, overwritten: `which` picks those of keys or of values.
fn with_lengths(
    it: &Conversation,
    which: fn(&(usize, usize)) -> usize,
    length: impl Fn(u16) -> Option<(u16, Then)>,
) -> Vec<Case> {
    let (mut cases, mut before) = (Vec::new(), 0);
    for fields in &it.boxes {
        for at in fields.lengths().iter().map(which) {
            let mut bytes = it.bytes();
            let place = before + at..before + at + 2;
            let own = u16::from_be_bytes([bytes[place.start], bytes[place.start + 1]]);
            if let Some((length, then)) = length(own).filter(|(length, _)| *length != own) {
                bytes[place].copy_from_slice(&length.to_be_bytes());
                let name = format!("{}: a length of {length} at {}", it.name, before + at);
                cases.push(case(name, bytes, then));
            }
        }
        before += fields.bytes().len();
    }
    cases
}

fn key_lengths(it: &Conversation) -> Vec<Case> {
    let too_long = [(256, "of 256"), (257, "of 257"), (0x0fff, "of 4095"), (65_535, "of 65535")];
    let mut cases = Vec::new();
    for (length, why) in too_long {
        cases.extend(with_lengths(it, |place| place.0, |_| Some((length, Then::Closes(why)))));
    }
    // The box ends there, and its rest is taken for another.
    cases.extend(with_lengths(it, |place| place.0, |_| Some((0, Then::Any))));
    cases.extend(with_lengths(it, |place| place.0, |own| Some((own + 1, Then::Any))));
    cases.extend(with_lengths(it, |place| place.0, |own| Some((own - 1, Then::Any))));
    cases
}

fn value_lengths(it: &Conversation) -> Vec<Case> {
    let mut cases = with_lengths(it, |place| place.1, |_| Some((65_535, Then::Starves)));
    cases.extend(with_lengths(it, |place| place.1, |_| Some((0, Then::Any))));
    cases.extend(with_lengths(it, |place| place.1, |own| Some((own + 1, Then::Any))));
    cases.extend(with_lengths(it, |place| place.1, |own| Some((own.checked_sub(1)?, Then::Any))));
    cases
}

/// Does something to one field of one box at a time.
fn with_fields(
    it: &Conversation,
    what: &str,
    then: impl Fn(&[u8]) -> Then,
    bent: impl Fn(&Fields, usize) -> Fields,
) -> Vec<Case> {
    let mut cases = Vec::new();
    for (number, fields) in it.boxes.iter().enumerate() {
        for (at, (key, _)) in fields.0.iter().enumerate() {
            let mut boxes = it.boxes.clone();
            boxes[number] = bent(fields, at);
            let name = format!("{}: {what}, `{}`, box {number}", it.name, key.escape_ascii());
            let bytes = boxes.iter().flat_map(Fields::bytes).collect();
            cases.push(case(name, bytes, then(key)));
        }
    }
    cases
}

fn fields_twice(it: &Conversation) -> Vec<Case> {
    // Of two values the last counts, so with the good one last nothing is amiss.
    let before = with_fields(
        it,
        "a bad one before",
        |_| Then::Lives,
        |fields, at| {
            let mut fields = fields.clone();
            let key = fields.0[at].0.clone();
            fields.0.insert(at, (key, b"\xffnonsense".to_vec()));
            fields
        },
    );
    let again = with_fields(
        it,
        "the same again",
        |_| Then::Lives,
        |fields, at| {
            let mut fields = fields.clone();
            let field = fields.0[at].clone();
            fields.0.push(field);
            fields
        },
    );
    let after = with_fields(
        it,
        "a bad one behind",
        |_| Then::Any,
        |fields, at| {
            let mut fields = fields.clone();
            let key = fields.0[at].0.clone();
            fields.0.push((key, b"\xffnonsense".to_vec()));
            fields
        },
    );
    [before, again, after].concat()
}

fn fields_missing(it: &Conversation) -> Vec<Case> {
    let then = |key: &[u8]| match key {
        b"_command" => Then::Closes("neither asks nor answers"),
        // Half of a large box is none.
        b"bytes" | b"_part" => Then::Any,
        _ => Then::Lives,
    };
    with_fields(it, "missing", then, Fields::without)
}

fn values(it: &Conversation) -> Vec<Case> {
    let (longest, number) = (vec![b'x'; 65_535], u64::MAX.to_string());
    let values: [&[u8]; 7] = [b"", b"\0", b"\xff\xfe", b"-1", b" ", number.as_bytes(), &longest];
    let mut cases = Vec::new();
    for value in values {
        let shown = value[..value.len().min(20)].escape_ascii().to_string();
        let what = format!("{} bytes \"{shown}\"", value.len());
        cases.extend(with_fields(it, &what, |_| Then::Any, |it, at| it.with_value(at, value)));
    }
    cases
}

fn bytes(it: &Conversation) -> Vec<Case> {
    let good = it.bytes();
    let mut cases = Vec::new();
    for at in 0..good.len() {
        for (what, bent) in [("inverted", !good[at]), ("off by one bit", good[at] ^ 1)] {
            let mut bytes = good.clone();
            bytes[at] = bent;
            cases.push(case(format!("{}: byte {at} {what}", it.name), bytes, Then::Any));
        }
    }
    cases
}

fn asks_that_answer(it: &Conversation) -> Vec<Case> {
    let mut cases = Vec::new();
    for (number, fields) in it.boxes.iter().enumerate() {
        for key in ["_answer", "_error"] {
            let then = Then::Closes("an answer to `\"99\"`");
            let name = format!("{}: box {number} has `{key}` as well", it.name);
            cases.push(case(name, fields.with(key, b"99").bytes(), then));
        }
    }
    cases
}

fn answers_to_nothing() -> Vec<Case> {
    let (long, longest) = (vec![b'1'; 17], vec![b'1'; 65_535]);
    let tags: [&[u8]; 15] = [
        b"",
        b"0",
        b"00",
        b"01",
        b"99",
        b"ffffffffffffffff",
        b"FF",
        b"0x1",
        b"1 ",
        b" 1",
        b"-1",
        b"two",
        b"\xff\0",
        &long,
        &longest,
    ];
    let mut cases = Vec::new();
    for tag in tags {
        for key in ["_answer", "_error"] {
            let shown = tag[..tag.len().min(20)].escape_ascii();
            let name = format!("`{key}` to \"{shown}\"");
            let fields = Fields::of(&[(key, tag), ("total", b"3")]);
            cases.push(case(name, fields.bytes(), Then::Closes("an answer to `")));
        }
    }
    cases
}

fn streams() -> Vec<Case> {
    let numbers: [&[u8]; 7] =
        [b"", b"abc", b"-1", b"18446744073709551615", b"99999999999999999999", b"\xff", b"1e9"];
    let mut cases = Vec::new();
    for command in ["Item", "Credit", "End", "Unwanted", "Nonsense"] {
        for keys in
            [&["_stream_ask"][..], &["_stream_answer"], &["_stream_ask", "_stream_answer"], &[]]
        {
            for tag in [&b"5"[..], b"99", b"", b"\xff", b"ffffffffffffffffff"] {
                for number in numbers {
                    let mut fields = Fields::of(&[("_command", command.as_bytes())]);
                    for key in keys {
                        fields = fields.with(key, tag);
                    }
                    let bytes = fields.with("bytes", number).with("number", number).bytes();
                    let name = format!("{command} {keys:?} {tag:?} {number:?}");
                    // There is no such stream: it may have been on its way when the stream ended.
                    cases.push(case(name, bytes, Then::Lives));
                }
            }
        }
    }
    let open = ask(b"5", "Gather").with("_stream", b"").bytes();
    let item = Fields::of(&[("_command", b"Item"), ("_stream_ask", b"5"), ("number", b"7")]);
    let flood: Vec<u8> = (0..400).flat_map(|_| item.bytes()).collect();
    let hold = ask(b"5", "Hoard").with("_stream", b"").bytes();
    let over = Then::Closes("more than may be sent ahead");
    cases.push(case("items without credit", [hold, flood].concat(), over));
    for (what, bent) in [
        ("an item that does not decode", item.with_value(2, b"seven")),
        ("an item without a field", item.without(2)),
    ] {
        cases.push(case(what, [open.clone(), bent.bytes()].concat(), Then::Lives));
    }
    cases.push(case("one stream twice", [open.clone(), open].concat(), Then::Lives));
    cases
}

fn parts() -> Vec<Case> {
    let part = |number: &[u8], bytes: &[u8]| {
        Fields::of(&[("_command", b"Part"), ("_part", number), ("bytes", bytes)])
    };
    let mut cases = Vec::new();
    for number in [&b""[..], b"x", b"-1", b"99999999999999999999", b"\xff"] {
        let it = part(number, b"abc");
        let shown = number.escape_ascii();
        cases.push(case(format!("a part of \"{shown}\""), it.bytes(), Then::Lives));
        let it = it.with("_last", b"1");
        cases.push(case(format!("the last part of \"{shown}\""), it.bytes(), Then::Lives));
        let it = Fields::of(&[("_command", b"Part"), ("_part", number), ("_given_up", b"")]);
        cases.push(case(format!("\"{shown}\" given up"), it.bytes(), Then::Lives));
    }
    let torn = Then::Closes("are not one box");
    let wholes = [
        ("nothing", Vec::new(), torn),
        ("half a box", sum(b"1").bytes()[..9].to_vec(), torn),
        ("a box without its end", sum(b"1").bytes()[..sum(b"1").bytes().len() - 2].to_vec(), torn),
        ("an empty box", vec![0, 0], Then::Closes("an empty box")),
        ("a key of 256 bytes", vec![1, 0, 1], Then::Closes("a key length of 256")),
        ("two boxes", [sum(b"1").bytes(), sum(b"2").bytes()].concat(), torn),
        ("a part of a part", part(b"1", b"abc").bytes(), Then::Any),
        (
            "an answer to nothing",
            Fields::of(&[("_answer", b"99")]).bytes(),
            Then::Closes("an answer to `\"99\"`"),
        ),
        (
            "a box that says nothing",
            Fields::of(&[("k", b"v")]).bytes(),
            Then::Closes("neither asks nor answers"),
        ),
    ];
    for (what, whole, then) in wholes {
        let bytes = part(b"1", &whole).with("_last", b"1").bytes();
        cases.push(case(format!("the whole is {what}"), bytes, then));
    }
    let five: Vec<u8> = (1..=5).flat_map(|it: u8| part(&[b'0' + it], b"abc").bytes()).collect();
    cases.push(case("five large boxes at once", five, Then::Closes("large boxes at once")));
    let piece = part(b"1", &[7; 1000]).bytes();
    // The whole may have ten thousand bytes: see the limits of the mesh.
    let too_much = Then::Closes("more than");
    cases.push(case("a large box without end", piece.repeat(20), too_much));
    cases
}

fn cancellations() -> Vec<Case> {
    let longest = vec![b'1'; 65_535];
    let cancel = |tag: &[u8]| Fields::of(&[("_command", b"Cancel"), ("tag", tag)]);
    let mut cases = vec![case(
        "Cancel without a tag",
        Fields::of(&[("_command", b"Cancel")]).bytes(),
        Then::Lives,
    )];
    for tag in [&b""[..], b"1", b"99", b"\xff\0", &longest] {
        let it = cancel(tag);
        let shown = tag[..tag.len().min(9)].escape_ascii().to_string();
        cases.push(case(format!("Cancel \"{shown}\""), it.bytes(), Then::Lives));
        let twice = it.bytes().repeat(2);
        cases.push(case(format!("Cancel \"{shown}\" twice"), twice, Then::Lives));
        let asked = it.with("_ask", b"7").bytes();
        cases.push(case(format!("Cancel \"{shown}\" that wants an answer"), asked, Then::Lives));
        let after = [sum(tag).bytes(), it.bytes()].concat();
        cases.push(case(format!("Cancel \"{shown}\" after its answer"), after, Then::Lives));
    }
    cases
}

fn metadata() -> Vec<Case> {
    let zeros = [0; 17];
    let mut version_four = [0x11; 16];
    version_four[6] = 0x41;
    let mut of_a_time_to_come = [0xff; 16];
    of_a_time_to_come[6] = 0x7f;
    let mut of_long_ago = [0; 16];
    of_long_ago[6] = 0x70;
    of_long_ago[8] = 0x80;
    let trace = vec![b'0'; 300];
    let values: [(&str, &[&[u8]]); 7] = [
        ("_deadline_ms", &[b"", b"x", b"-1", b"1.5", b"0", b"99999999999999999999", b"\xff"]),
        ("_trace", &[b"", b"00", b"\xff", &trace, b"00-0-0-01"]),
        (
            "_once",
            &[
                b"",
                &zeros[..1],
                &zeros[..15],
                &zeros[..16],
                &zeros,
                &version_four,
                &of_a_time_to_come,
                &of_long_ago,
            ],
        ),
        ("_stream", &[b"x", b"\xff"]),
        ("_unheard_of", &[b"", b"x"]),
        ("_error_code", &[b"", b"UNKNOWN"]),
        ("_last", &[b"1"]),
    ];
    let mut cases = Vec::new();
    for (key, values) in values {
        for value in values {
            let shown = value[..value.len().min(20)].escape_ascii();
            let name = format!("`{key}` \"{shown}\"");
            cases.push(case(name, sum(b"1").with(key, value).bytes(), Then::Lives));
        }
    }
    cases
}
