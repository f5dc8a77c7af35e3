//! Commands as JSON. Types are in their exact notation.

use amp_proto::dynamic::FieldDescription;
use mesh::CommandDescription;
use serde::Serialize;

use super::is_of_the_mesh;
use crate::operator::Target;

/// The shape of `--json`.
#[derive(Serialize)]
pub(super) struct Report<'a> {
    target: &'a Target,
    commands: Vec<ReportedCommand<'a>>,
}

#[derive(Serialize)]
struct ReportedCommand<'a> {
    name: &'a str,
    doc: &'a str,
    answered_by: Vec<&'static str>,
    arguments: Vec<ReportedField<'a>>,
    response: Vec<ReportedField<'a>>,
    errors: Vec<&'a str>,
    requires_answer: bool,
    /// Whether it is one of the mesh's own, not of the application.
    of_the_mesh: bool,
}

#[derive(Serialize)]
struct ReportedField<'a> {
    name: &'a str,
    #[serde(rename = "type")]
    kind: String,
    optional: bool,
    doc: &'a str,
}

impl<'a> Report<'a> {
    /// What a target answers.
    pub(super) fn of(target: &'a Target, known: &[&'a CommandDescription]) -> Self {
        Self { target, commands: known.iter().copied().map(reported_command).collect() }
    }
}

fn reported_command(it: &CommandDescription) -> ReportedCommand<'_> {
    ReportedCommand {
        name: &it.name,
        doc: &it.doc,
        answered_by: it.answered_by.iter().map(|role| role.as_str()).collect(),
        arguments: it.arguments.iter().map(reported_field).collect(),
        response: it.response.iter().map(reported_field).collect(),
        errors: it.errors.iter().map(|(code, _)| code.as_str()).collect(),
        requires_answer: it.requires_answer,
        of_the_mesh: is_of_the_mesh(it),
    }
}

fn reported_field(it: &FieldDescription) -> ReportedField<'_> {
    let FieldDescription { name, kind, optional, doc } = it;
    ReportedField { name, kind: kind.to_string(), optional: *optional, doc }
}
