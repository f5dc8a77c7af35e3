//! Commands for the tests of connections, written by hand: what the derives write.

use alloc::string::String;

use crate::{
    Argument as _, Arguments, BoxWriter, Command, CommandSchema, DecodeError, EncodeError,
    FieldSchema, Fields, Never, Parameter,
};

#[derive(Debug, PartialEq)]
pub(super) struct Sum {
    pub(super) a: i64,
    pub(super) b: i64,
}

#[derive(Debug, PartialEq)]
pub(super) struct Total {
    pub(super) total: i64,
}

#[derive(Debug, PartialEq)]
pub(super) struct Say {
    pub(super) text: String,
}

impl Arguments for Sum {
    const FIELDS: &'static [FieldSchema] = &[field("a"), field("b")];

    fn encode(&self, out: &mut BoxWriter<'_>) -> Result<(), EncodeError> {
        self.a.put("a", out)?;
        self.b.put("b", out)
    }

    fn decode(fields: &Fields<'_>) -> Result<Self, DecodeError> {
        Ok(Self { a: i64::take("a", fields)?, b: i64::take("b", fields)? })
    }
}

impl Arguments for Total {
    const FIELDS: &'static [FieldSchema] = &[field("total")];

    fn encode(&self, out: &mut BoxWriter<'_>) -> Result<(), EncodeError> {
        self.total.put("total", out)
    }

    fn decode(fields: &Fields<'_>) -> Result<Self, DecodeError> {
        Ok(Self { total: i64::take("total", fields)? })
    }
}

impl Arguments for Say {
    const FIELDS: &'static [FieldSchema] = &[field("text")];

    fn encode(&self, out: &mut BoxWriter<'_>) -> Result<(), EncodeError> {
        out.put(b"text", |out| self.text.encode(out))
    }

    fn decode(fields: &Fields<'_>) -> Result<Self, DecodeError> {
        Ok(Self { text: String::take("text", fields)? })
    }
}

impl Command for Sum {
    type Response = Total;
    type Error = Never;
    const NAME: &'static str = "Sum";
    const SCHEMA: CommandSchema = schema("Sum", Self::FIELDS, Total::FIELDS);
}

impl Command for Say {
    type Response = ();
    type Error = Never;
    const NAME: &'static str = "Say";
    const SCHEMA: CommandSchema = schema("Say", Self::FIELDS, &[]);
}

const fn field(name: &'static str) -> FieldSchema {
    FieldSchema { name, doc: "", kind: crate::ArgumentType::Integer, optional: false }
}

const fn schema(
    name: &'static str,
    arguments: &'static [FieldSchema],
    response: &'static [FieldSchema],
) -> CommandSchema {
    CommandSchema {
        name,
        doc: "",
        answered_by: &[crate::RoleName::Cluster],
        arguments,
        response,
        takes: None,
        gives: None,
        errors: &[],
        requires_answer: true,
    }
}
