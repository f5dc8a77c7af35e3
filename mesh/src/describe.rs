//! Reflection: what a live peer answers, and calls made from that alone.

use amp_proto::dynamic::FieldDescription;
use amp_proto::{CallError, Never, Role, RoleName, response_of};

use crate::Client;
use crate::commands::{CommandRow, Commands, Describe, FieldRow};

/// One command of a peer, as the peer describes it.
#[derive(Clone, Debug, PartialEq)]
pub struct CommandDescription {
    /// The name on the wire.
    pub name: String,
    /// What it does, in a sentence or two.
    pub doc: String,
    /// Who answers it.
    pub answered_by: Vec<RoleName>,
    /// The arguments in the order of declaration.
    pub arguments: Vec<FieldDescription>,
    /// The response's fields in the order of declaration.
    pub response: Vec<FieldDescription>,
    /// The codes of its declared errors, and whether each ends the connection.
    pub errors: Vec<(String, bool)>,
    /// Whether callers usually wait for an answer.
    pub requires_answer: bool,
}

/// No peer has more commands than this; a longer description is cut off.
const COMMANDS_MAX: usize = 10_000;

impl<R: Role> Client<R> {
    /// Asks the peer what commands it answers, sorted by name.
    ///
    /// A type that this side does not know is taken for bytes, so that the command can still be
    /// called.
    ///
    /// # Errors
    /// [`CallError::Unhandled`] from a stock peer, which has no reflection.
    ///
    /// # Cancellation
    /// As [`Client::call`].
    pub async fn describe(&self) -> Result<Vec<CommandDescription>, CallError<Never>> {
        let mut described: Vec<CommandDescription> = Vec::new();
        loop {
            let after = described.last().map(|command| command.name.clone());
            let page = Describe { after };
            let (outcome, timeout) =
                self.ask(<Describe as amp_proto::Command>::NAME, &page).await?;
            let page = response_of::<Describe>(outcome, timeout)?;
            let Commands { commands, more } = page;
            let progress = !commands.is_empty();
            described.extend(commands.into_iter().map(CommandDescription::from));
            if !more || !progress || described.len() >= COMMANDS_MAX {
                return Ok(described);
            }
        }
    }
}

impl From<CommandRow> for CommandDescription {
    fn from(row: CommandRow) -> Self {
        let role = |name: &String| match name.as_str() {
            "region" => Some(RoleName::Region),
            "cluster" => Some(RoleName::Cluster),
            _ => None,
        };
        let error = |code: &String| match code.strip_suffix('!') {
            Some(code) => (code.to_owned(), true),
            None => (code.clone(), false),
        };
        Self {
            name: row.name,
            doc: row.doc,
            answered_by: row.answered_by.iter().filter_map(role).collect(),
            arguments: row.arguments.into_iter().map(field_of).collect(),
            response: row.response.into_iter().map(field_of).collect(),
            errors: row.errors.iter().map(error).collect(),
            requires_answer: row.requires_answer,
        }
    }
}

fn field_of(row: FieldRow) -> FieldDescription {
    let FieldRow { name, kind, optional, doc } = row;
    let kind = kind.parse().unwrap_or(amp_proto::dynamic::TypeDescription::Bytes);
    FieldDescription { name, kind, optional, doc }
}
