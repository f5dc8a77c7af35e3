//! How a test of a mesh fails when it does not panic.

use std::cell::Cell;
use std::error::Error;
use std::fmt;
use std::panic::Location;

/// What a test function returns, so that it can use `?`.
///
/// Any error becomes a [`TestFailure`], which knows the place of the `?`, and has a
/// [`Mesh`](crate::Mesh) that is dropped on the way out print its transcript.
pub type TestResult<T = ()> = Result<T, TestFailure>;

thread_local! {
    static FAILED: Cell<bool> = const { Cell::new(false) };
}

/// An error that ends a test.
pub struct TestFailure {
    text: String,
}

/// For every error, and for those that are none themselves but become a box of one, as
/// `anyhow::Error` does.
impl<E: Into<Box<dyn Error>>> From<E> for TestFailure {
    #[track_caller]
    fn from(error: E) -> Self {
        FAILED.set(true);
        let error = error.into();
        let mut text = format!("{error} (at {})", Location::caller());
        let mut source = error.source();
        while let Some(error) = source {
            text.push_str(&format!("\n  because: {error}"));
            source = error.source();
        }
        Self { text }
    }
}

/// The test harness prints this one.
impl fmt::Debug for TestFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Whether the test on this thread is failing, by a panic or by an error.
pub(crate) fn is_failing() -> bool {
    std::thread::panicking() || FAILED.get()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_that_others_have_wrapped_keep_their_causes() {
        fn fails() -> TestResult {
            let opened: anyhow::Result<()> = "seven"
                .parse::<u8>()
                .map(drop)
                .map_err(|error| anyhow::Error::new(error).context("no age"));
            Ok(opened?)
        }
        let text = format!("{:?}", fails().unwrap_err());
        assert!(text.starts_with("no age (at ") && text.contains("failure.rs"), "{text}");
        assert!(text.contains("because: invalid digit"), "{text}");
        fn is_boxed() -> TestResult {
            Err(Box::<dyn Error>::from("out of cheez"))?
        }
        assert!(format!("{:?}", is_boxed().unwrap_err()).starts_with("out of cheez"));
    }

    #[test]
    fn a_failure_tells_its_place_and_its_causes() {
        fn fails() -> TestResult {
            "seven".parse::<u8>()?;
            Ok(())
        }
        let text = format!("{:?}", fails().unwrap_err());
        assert!(text.contains("invalid digit"), "{text}");
        assert!(text.contains("failure.rs"), "{text}");
        assert!(is_failing());
    }
}
