//! What a process will answer, gathered and checked before it starts.

use std::sync::Arc;

use amp_proto::{Command as _, CommandSchema, ResponderTable, Responders, RoleName, TwoResponders};

use crate::commands::Cancel;

/// The responders of an application, and the vocabulary that they have to cover.
#[derive(Debug)]
pub struct Answering {
    responders: Result<Responders, TwoResponders>,
    vocabulary: Vec<&'static CommandSchema>,
}

/// Why a process cannot start with these responders. The fault is the application's.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AnsweringError {
    /// Two of the responders answer the same command.
    #[error(transparent)]
    TwoResponders(#[from] TwoResponders),
    /// A responder answers a command that this side never gets.
    #[error("`{command}` is not a command that a {role} answers")]
    WrongDirection {
        /// The command's name.
        command: &'static str,
        /// This side.
        role: RoleName,
    },
    /// A responder answers a command with a name that the mesh gives to one of its own.
    #[error("`{command}` is the name of a command of the mesh's own: give yours another")]
    Reserved {
        /// The command's name.
        command: &'static str,
    },
    /// A command of the vocabulary that this side should answer has no responder.
    #[error("`{command}` has no responder")]
    Unanswered {
        /// The command's name.
        command: &'static str,
    },
}

impl Answering {
    /// Nothing so far.
    #[must_use]
    pub fn new() -> Self {
        Self { responders: Ok(Responders::new()), vocabulary: Vec::new() }
    }

    /// Adds the commands that `responder` answers.
    pub fn add<S: ResponderTable>(&mut self, responder: Arc<S>) {
        if let Ok(responders) = &mut self.responders
            && let Err(error) = responders.add(responder)
        {
            self.responders = Err(error);
        }
    }

    /// Adds commands that have to be answered, if it is for this side to answer them.
    pub fn require(&mut self, commands: impl IntoIterator<Item = &'static CommandSchema>) {
        self.vocabulary.extend(commands);
    }

    /// The responders, if every command is for `role` to answer and none is missing.
    ///
    /// # Errors
    /// [`AnsweringError`].
    pub fn finish(self, role: RoleName) -> Result<Responders, AnsweringError> {
        let responders = self.responders?;
        let is_wrong = |schema: &&'static CommandSchema| !schema.answered_by.contains(&role);
        if let Some(CommandSchema { name, .. }) = responders.schemas().find(is_wrong) {
            return Err(AnsweringError::WrongDirection { command: name, role });
        }
        let is_reserved = |schema: &&'static CommandSchema| schema.name == Cancel::NAME;
        if let Some(CommandSchema { name, .. }) = responders.schemas().find(is_reserved) {
            return Err(AnsweringError::Reserved { command: name });
        }
        let is_missing = |schema: &&'static CommandSchema| {
            let mut answered = responders.schemas();
            schema.answered_by.contains(&role) && !answered.any(|known| known.name == schema.name)
        };
        match self.vocabulary.into_iter().find(is_missing) {
            Some(CommandSchema { name, .. }) => Err(AnsweringError::Unanswered { command: name }),
            None => Ok(responders),
        }
    }
}

impl Default for Answering {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use amp_proto::{Command, Never, responders};

    use super::*;

    #[derive(Debug, Command)]
    #[command(answered_by = Cluster)]
    struct Knock;

    #[derive(Debug, Command)]
    #[command(answered_by = Region)]
    struct Ring;

    struct Door;

    #[responders]
    impl Door {
        #[responder]
        async fn knock(&self, _: Knock) -> Result<(), Never> {
            Ok(())
        }
    }

    fn door(vocabulary: &[&'static CommandSchema]) -> Answering {
        let mut answering = Answering::new();
        answering.add(Arc::new(Door));
        answering.require(vocabulary.iter().copied());
        answering
    }

    /// Cancels an order.
    #[derive(Debug, Command)]
    #[command(answered_by = Cluster, name = "Cancel")]
    struct CancelOrder;

    struct Orders;

    #[responders]
    impl Orders {
        #[responder]
        async fn cancel(&self, _: CancelOrder) -> Result<(), Never> {
            Ok(())
        }
    }

    #[test]
    fn the_name_of_a_command_that_the_mesh_deals_with_itself_is_refused() {
        let mut answering = Answering::new();
        answering.add(Arc::new(Orders));
        let refused = answering.finish(RoleName::Cluster).unwrap_err();
        assert_eq!(refused, AnsweringError::Reserved { command: "Cancel" });
    }

    #[test]
    fn a_side_answers_its_part_of_the_vocabulary() {
        let finished = door(&[&Knock::SCHEMA, &Ring::SCHEMA]).finish(RoleName::Cluster);
        assert_eq!(finished.unwrap().schemas().count(), 1);
    }

    #[test]
    fn a_gap_is_refused_by_name() {
        let mut nobody = Answering::new();
        nobody.require([&Knock::SCHEMA]);
        let gap = nobody.finish(RoleName::Cluster).unwrap_err();
        assert_eq!(gap, AnsweringError::Unanswered { command: "Knock" });
    }

    #[test]
    fn what_the_other_side_answers_is_refused_by_name() {
        let wrong = door(&[]).finish(RoleName::Region).unwrap_err();
        assert_eq!(wrong.to_string(), "`Knock` is not a command that a region answers");
    }

    #[test]
    fn two_responders_for_one_command_are_refused_by_name() {
        let mut twice = door(&[]);
        twice.add(Arc::new(Door));
        assert_eq!(
            twice.finish(RoleName::Cluster).unwrap_err().to_string(),
            "`Knock` has two responders"
        );
    }
}
