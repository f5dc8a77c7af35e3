//! Boxes as lists of fields, so that rules can bend them, and the good conversations that are bent.

use mesh::CallId;
use uuid::Uuid;

/// One field: its key and its value.
pub(super) type Field = (Vec<u8>, Vec<u8>);

/// A box that can be bent.
#[derive(Clone, Debug)]
pub(super) struct Fields(pub(super) Vec<Field>);

impl Fields {
    pub(super) fn of(fields: &[(&str, &[u8])]) -> Self {
        let fields = fields.iter().map(|(key, value)| (key.as_bytes().to_vec(), value.to_vec()));
        Self(fields.collect())
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (key, value) in &self.0 {
            put(&mut bytes, key);
            put(&mut bytes, value);
        }
        bytes.extend([0, 0]);
        bytes
    }

    /// The same, with one field more at the end.
    pub(super) fn with(&self, key: &str, value: &[u8]) -> Self {
        let mut fields = self.0.clone();
        fields.push((key.as_bytes().to_vec(), value.to_vec()));
        Self(fields)
    }

    /// The same, without one field.
    pub(super) fn without(&self, at: usize) -> Self {
        let mut fields = self.0.clone();
        fields.remove(at);
        Self(fields)
    }

    /// The same, with another value in one field.
    pub(super) fn with_value(&self, at: usize, value: &[u8]) -> Self {
        let mut fields = self.0.clone();
        fields[at].1 = value.to_vec();
        Self(fields)
    }

    /// Where each length stands in [`Fields::bytes`], with its field: that of the key, then that of
    /// the value.
    pub(super) fn lengths(&self) -> Vec<(usize, usize)> {
        let mut at = 0;
        let places = self.0.iter().map(|(key, value)| {
            let (of_key, of_value) = (at, at + 2 + key.len());
            at = of_value + 2 + value.len();
            (of_key, of_value)
        });
        places.collect()
    }
}

fn put(bytes: &mut Vec<u8>, part: &[u8]) {
    bytes.extend(u16::try_from(part.len()).unwrap().to_be_bytes());
    bytes.extend(part);
}

/// Something that a peer that is well may say.
pub(super) struct Conversation {
    pub(super) name: &'static str,
    pub(super) boxes: Vec<Fields>,
}

impl Conversation {
    pub(super) fn bytes(&self) -> Vec<u8> {
        self.boxes.iter().flat_map(Fields::bytes).collect()
    }
}

pub(super) fn ask(tag: &[u8], command: &str) -> Fields {
    Fields::of(&[("_ask", tag), ("_command", command.as_bytes())])
}

pub(super) fn sum(tag: &[u8]) -> Fields {
    ask(tag, "Sum").with("a", b"1").with("b", b"2")
}

/// A conversation of each kind, after the handshake.
pub(super) fn conversations() -> Vec<Conversation> {
    let of_stream = |command: &str| Fields::of(&[("_command", command.as_bytes())]);
    let item = of_stream("Item").with("_stream_ask", b"s").with("number", b"7");
    let echo = ask(b"l", "Echo").with("bytes", &[7; 300]).with("note", b"large").bytes();
    let (first, second) = echo.split_at(echo.len() / 2);
    let part = |bytes: &[u8]| of_stream("Part").with("_part", b"1").with("bytes", bytes);
    let once = Uuid::from(CallId::generate());
    vec![
        Conversation {
            name: "call",
            boxes: vec![
                sum(b"1"),
                ask(b"2", "Echo").with("bytes", b"word").with("note", b"hm"),
                Fields::of(&[("_command", b"Tell"), ("note", b"hm")]),
            ],
        },
        Conversation {
            name: "stream",
            boxes: vec![
                ask(b"5", "Gather").with("_stream", b""),
                item.with_value(1, b"5"),
                item.with_value(1, b"5"),
                of_stream("End").with("_stream_ask", b"5"),
                ask(b"6", "Scatter").with("_stream", b""),
                of_stream("Credit").with("_stream_ask", b"6").with("bytes", b"1000"),
                of_stream("Unwanted").with("_stream_ask", b"6"),
            ],
        },
        Conversation { name: "large", boxes: vec![part(first), part(second).with("_last", b"1")] },
        Conversation { name: "once", boxes: vec![sum(b"1").with("_once", once.as_bytes())] },
    ]
}
