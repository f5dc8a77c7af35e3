//! Errors in the log.

use std::error::Error;
use std::fmt;

/// An error and its causes in one line: `cannot connect: connection refused`. For the log, where
/// whoever reads has nothing but the line; an error's own `Display` leaves its source out.
///
/// # Examples
/// ```
/// # use mesh::{SecretError, chain};
/// fn tell(error: &SecretError) {
///     eprintln!("{}", chain(error));
/// }
/// ```
pub fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl fmt::Display + use<'a> {
    Chain(error)
}

struct Chain<'a>(&'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(error) = self;
        error.fmt(f)?;
        let mut causes = std::iter::successors(error.source(), |&cause| cause.source());
        causes.try_for_each(|cause| write!(f, ": {cause}"))
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("the door is shut")]
    struct Shut(#[source] io::Error);

    #[test]
    fn every_cause_is_told_once() {
        let shut = Shut(io::Error::from(io::ErrorKind::PermissionDenied));
        assert_eq!(chain(&shut).to_string(), "the door is shut: permission denied");
        assert_eq!(chain(&shut.0).to_string(), "permission denied");
    }
}
