//! `RelayCommand`: a command for a cluster in the hands of a region process.
//!
//! Written out where others derive, because the fields of the relayed command stand beside its own.

use amp_proto::{
    AnsweredBy, Argument as _, ArgumentType, Arguments, BoxWriter, Command, CommandSchema,
    DecodeError, EncodeError, FieldSchema, Fields, ListItem, Never, Parameter, Region, RoleName,
};

use super::encoded::{self, EncodedFields};
use super::problem::ReportedProblem;

/// Has a cluster carry out a command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RelayCommand {
    /// The arguments as they stand on the wire.
    pub(super) arguments: EncodedFields,
    /// The cluster's uuid.
    pub(super) cluster: String,
    /// The command's name.
    pub(super) command: String,
    /// How long to wait for the cluster to be connected, in milliseconds.
    pub(super) connect_ms: u64,
    /// How long all of it may take, in milliseconds.
    pub(super) timeout_ms: u64,
}

/// What the cluster answered, or why it did not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Relayed {
    /// The response as it stands on the wire.
    pub(super) response: EncodedFields,
    /// None, or one.
    pub(super) problem: Vec<ReportedProblem>,
    /// How long the region process waited for the cluster's answer, in microseconds. 0 if none
    /// came.
    pub(super) round_trip_us: u64,
}

const fn field(name: &'static str, doc: &'static str, kind: ArgumentType) -> FieldSchema {
    FieldSchema { name, doc, kind, optional: false }
}

impl Arguments for RelayCommand {
    const FIELDS: &'static [FieldSchema] = &[
        field("cluster", "The cluster's uuid.", ArgumentType::Text),
        field("command", "The command's name.", ArgumentType::Text),
        field("connect_ms", "How long to wait for a connection.", <u64 as Parameter>::TYPE),
        field("timeout_ms", "How long all of it may take.", <u64 as Parameter>::TYPE),
    ];

    fn encode(&self, out: &mut BoxWriter<'_>) -> Result<(), EncodeError> {
        encoded::put(&self.arguments, out)?;
        self.cluster.put("cluster", out)?;
        self.command.put("command", out)?;
        self.connect_ms.put("connect_ms", out)?;
        self.timeout_ms.put("timeout_ms", out)
    }

    fn decode(fields: &Fields<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            arguments: encoded::take(fields),
            cluster: Parameter::take("cluster", fields)?,
            command: Parameter::take("command", fields)?,
            connect_ms: Parameter::take("connect_ms", fields)?,
            timeout_ms: Parameter::take("timeout_ms", fields)?,
        })
    }
}

impl Arguments for Relayed {
    const FIELDS: &'static [FieldSchema] = &[
        field("problem", "None, or one.", <ReportedProblem as ListItem>::LIST_TYPE),
        field("round_trip_us", "How long the answer took.", <u64 as Parameter>::TYPE),
    ];

    fn encode(&self, out: &mut BoxWriter<'_>) -> Result<(), EncodeError> {
        encoded::put(&self.response, out)?;
        out.put(b"problem", |out| self.problem.encode(out))?;
        self.round_trip_us.put("round_trip_us", out)
    }

    fn decode(fields: &Fields<'_>) -> Result<Self, DecodeError> {
        Ok(Self {
            response: encoded::take(fields),
            problem: Parameter::take("problem", fields)?,
            round_trip_us: Parameter::take("round_trip_us", fields)?,
        })
    }
}

impl Command for RelayCommand {
    type Response = Relayed;
    type Error = Never;

    const NAME: &'static str = "RelayCommand";
    const SCHEMA: CommandSchema = CommandSchema {
        name: Self::NAME,
        doc: "Has a cluster carry out a command. Its arguments stand beside, each with `=` before \
              its key; likewise the response.",
        answered_by: &[RoleName::Region],
        arguments: Self::FIELDS,
        response: Relayed::FIELDS,
        takes: None,
        gives: None,
        errors: &[],
        requires_answer: true,
    };
}

impl AnsweredBy<Region> for RelayCommand {}

#[cfg(test)]
mod tests {
    use amp_proto::{AmpBox, Limits, write_box};
    use bytes::Bytes;

    use super::*;

    #[test]
    fn the_largest_value_passes_and_names_do_not_clash() {
        let relay = RelayCommand {
            arguments: vec![
                ("cluster".to_owned(), b"an argument of that name".to_vec()),
                ("huge".to_owned(), vec![7; amp_proto::VALUE_BYTES_MAX]),
            ],
            cluster: "5f0d".to_owned(),
            command: "EatCheez".to_owned(),
            connect_ms: 1,
            timeout_ms: 2,
        };
        let mut wire = Vec::new();
        let limits = Limits::default();
        write_box(&mut wire, &[], &limits, |out| relay.encode(out)).unwrap();
        let (whole, _) = AmpBox::decode(&Bytes::from(wire.clone()), &limits).unwrap().unwrap();
        let keys: Vec<_> = whole.iter().map(|(key, _)| key.clone()).collect();
        assert!(keys.is_sorted(), "a box is written in the order of its keys");

        let mut scanner = amp_proto::Scanner::default();
        scanner.scan(&wire, &limits).unwrap();
        let fields = Fields::in_place(&wire, scanner.spans(), &limits);
        assert_eq!(RelayCommand::decode(&fields), Ok(relay));
    }
}
