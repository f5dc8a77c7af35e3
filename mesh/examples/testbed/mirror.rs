//! The answering side of [`crate::types`].

use amp_proto::{Failure, Never, responders};

use crate::types::{Fail, FailError, Types, Values};

/// Gives back what it is asked.
pub(crate) struct Mirror;

#[responders]
impl Mirror {
    #[responder]
    async fn types(&self, it: Types) -> Result<Values, Never> {
        Ok(it.into())
    }

    #[responder]
    async fn fail(&self, it: Fail) -> Result<(), Failure<FailError>> {
        match it.kind.as_str() {
            "declared" => Err(FailError::Declared.into()),
            "fatal" => Err(FailError::Fatal.into()),
            _ => Err(Failure::undeclared("undeclared")),
        }
    }
}
