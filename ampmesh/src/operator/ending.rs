//! What operators are told by a region process that ends.

use amp_proto::{Failure, Never, PassedError, responders};
use mesh::commands::{Ident, Identify};

/// The code on the wire.
pub(super) const ENDING: &str = "ENDING";

/// Answers operators who come too late: there is nobody to ask any more. The connection is closed
/// after it.
#[derive(Debug)]
pub(super) struct Ending;

#[responders]
impl Ending {
    #[responder]
    async fn identify(&self, _: Identify) -> Result<Ident, Failure<Never>> {
        let description = "the process is ending and takes no new calls".to_owned();
        Err(Failure::Passed(PassedError { code: ENDING.to_owned(), description, fatal: true }))
    }
}
