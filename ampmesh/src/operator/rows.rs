//! Descriptions that came through a relay, as [`mesh::Client::describe`] gives them.

use amp_proto::RoleName;
use amp_proto::dynamic::{FieldDescription, TypeDescription};
use mesh::CommandDescription;
use mesh::commands::{CommandRow, FieldRow};

/// A type that this program does not know is taken for bytes, so that the command can be called
/// all the same.
pub(super) fn described(row: CommandRow) -> CommandDescription {
    let role = |name: &String| match name.as_str() {
        "region" => Some(RoleName::Region),
        "cluster" => Some(RoleName::Cluster),
        _ => None,
    };
    let error = |code: &String| match code.strip_suffix('!') {
        Some(code) => (code.to_owned(), true),
        None => (code.clone(), false),
    };
    CommandDescription {
        name: row.name,
        doc: row.doc,
        answered_by: row.answered_by.iter().filter_map(role).collect(),
        arguments: row.arguments.into_iter().map(field).collect(),
        response: row.response.into_iter().map(field).collect(),
        errors: row.errors.iter().map(error).collect(),
        requires_answer: row.requires_answer,
    }
}

fn field(row: FieldRow) -> FieldDescription {
    let FieldRow { name, kind, optional, doc } = row;
    let kind = kind.parse().unwrap_or(TypeDescription::Bytes);
    FieldDescription { name, kind, optional, doc }
}
