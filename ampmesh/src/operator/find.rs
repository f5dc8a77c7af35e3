//! Which region process is asked. All that have a socket in the data directory are asked at once
//! who they are, so that one that hangs costs no more than a moment.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use futures_util::stream::FuturesUnordered;
use mesh::commands::Ident;
use tokio::time::sleep;

use super::client::{Operator, OperatorError};
use super::socket;

/// How long a region process may take to say who it is, where another one answers.
pub(crate) const ANSWER_MAX: Duration = Duration::from_secs(1);

/// How long it may take where none has answered: the machine may be a busy one.
const FIRST_ANSWER_MAX: Duration = Duration::from_secs(3);

/// How long the first by name is waited for when another one has answered already.
const HEAD_START: Duration = Duration::from_millis(100);

/// Whether a region process of this data directory answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// It does.
    Answers(Ident),
    /// It does not.
    Silent {
        /// Its name, from the name of its socket.
        name: String,
        /// How long it was waited for.
        waited: Duration,
    },
}

impl Operator {
    /// Connects to a live region process of the data directory: to the first by name, unless that
    /// one lets others answer first. Sockets of dead ones are passed over.
    ///
    /// No answer is waited for longer than `wait`.
    ///
    /// # Errors
    /// [`OperatorError`].
    ///
    /// # Cancellation
    /// Nothing is left behind.
    pub(crate) async fn connect_any(
        data_dir: &Path,
        wait: Duration,
    ) -> Result<Self, OperatorError> {
        let wait = FIRST_ANSWER_MAX.min(wait);
        let paths = sockets(data_dir)?;
        let mut unheard: BTreeSet<usize> = (0..paths.len()).collect();
        let asking = paths.iter().enumerate();
        let mut asking: FuturesUnordered<_> = asking
            .map(|(place, path)| async move { (place, Self::connect(path, wait).await) })
            .collect();
        let mut found = BTreeMap::new();
        let mut errors = Vec::new();
        let mut head_start = Some(Box::pin(sleep(HEAD_START)));
        loop {
            let over = async {
                match &mut head_start {
                    Some(rest) => rest.await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                answer = asking.next() => match answer {
                    Some((place, answer)) => {
                        unheard.remove(&place);
                        match answer {
                            Ok(operator) => found.extend(operator.map(|it| (place, it))),
                            Err(error) => errors.push(error),
                        }
                    }
                    None => return Err(nobody(errors, data_dir)),
                },
                () = over => head_start = None,
            }
            let first_unheard = unheard.first().copied().unwrap_or(usize::MAX);
            if let Some(first) = found.first_entry()
                && (head_start.is_none() || *first.key() < first_unheard)
            {
                return Ok(first.remove());
            }
        }
    }

    /// Connects to the region process with this name, if it runs with the data directory. Its
    /// answer is waited for as long as `wait`.
    ///
    /// # Errors
    /// [`OperatorError`].
    ///
    /// # Cancellation
    /// Nothing is left behind.
    pub(crate) async fn connect_to(
        data_dir: &Path,
        name: &str,
        wait: Duration,
    ) -> Result<Self, OperatorError> {
        let path = sockets(data_dir)?.into_iter().find(|path| socket::name(path) == name);
        let found = match path {
            Some(path) => Self::connect(&path, wait).await?,
            None => None,
        };
        found.ok_or_else(|| OperatorError::NoRegion { data_dir: data_dir.to_owned() })
    }
}

/// Asks every region process of the data directory who it is.
///
/// # Errors
/// [`OperatorError::Unreadable`].
///
/// # Cancellation
/// Nothing is left behind.
pub(crate) async fn ask_all(data_dir: &Path) -> Result<Vec<Asked>, OperatorError> {
    let paths = sockets(data_dir)?;
    let asked = join_all(paths.iter().map(|path| Operator::connect(path, ANSWER_MAX))).await;
    let asked = asked.into_iter().zip(&paths).filter_map(|(answer, path)| match answer {
        Ok(operator) => operator.map(|it| Asked::Answers(it.ident)),
        Err(OperatorError::Silent { waited, .. }) => {
            Some(Asked::Silent { name: socket::name(path), waited })
        }
        Err(error) => {
            tracing::debug!(%error, "cannot ask a region process");
            None
        }
    });
    Ok(asked.collect())
}

/// Every live region process of the data directory that answers within `wait`.
///
/// # Errors
/// [`OperatorError::Unreadable`].
///
/// # Cancellation
/// Nothing is left behind.
pub(crate) async fn connect_all(
    data_dir: &Path,
    wait: Duration,
) -> Result<Vec<Operator>, OperatorError> {
    let paths = sockets(data_dir)?;
    let answers = join_all(paths.iter().map(|path| Operator::connect(path, wait))).await;
    Ok(answers.into_iter().filter_map(Result::ok).flatten().collect())
}

/// Why none was found: those that are silent, or the first error, or that there are none.
fn nobody(errors: Vec<OperatorError>, data_dir: &Path) -> OperatorError {
    let mut silent = Vec::new();
    let mut longest = Duration::ZERO;
    let mut others = Vec::new();
    for error in errors {
        match error {
            OperatorError::Silent { names, waited } => {
                silent.extend(names);
                longest = longest.max(waited);
            }
            other => others.push(other),
        }
    }
    silent.sort();
    if !silent.is_empty() {
        return OperatorError::Silent { names: silent, waited: longest };
    }
    let none = || OperatorError::NoRegion { data_dir: data_dir.to_owned() };
    others.into_iter().next().unwrap_or_else(none)
}

fn sockets(data_dir: &Path) -> Result<Vec<PathBuf>, OperatorError> {
    socket::all(data_dir)
        .map_err(|error| OperatorError::Unreadable { folder: socket::folder(data_dir), error })
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;
    use crate::scratch::Scratch;

    /// A data directory with a socket at which somebody listens, and nobody answers.
    fn with_silent(names: &[&str]) -> (Scratch, Vec<UnixListener>) {
        let scratch = Scratch::new().unwrap();
        let folder = socket::folder(scratch.path());
        std::fs::create_dir(&folder).unwrap();
        let bind = |name: &&str| UnixListener::bind(folder.join(format!("{name}.sock"))).unwrap();
        let listeners = names.iter().map(bind).collect();
        (scratch, listeners)
    }

    #[tokio::test]
    async fn without_a_live_region_the_operator_is_told_so() {
        let scratch = Scratch::new().unwrap();
        let found = Operator::connect_any(scratch.path(), ANSWER_MAX).await;
        assert!(matches!(found, Err(OperatorError::NoRegion { .. })));

        let (scratch, listeners) = with_silent(&["north"]);
        drop(listeners);
        let dead = socket::folder(scratch.path()).join("north.sock");
        assert!(dead.exists(), "the dead leave their sockets");
        let found = Operator::connect_any(scratch.path(), ANSWER_MAX).await;
        assert!(matches!(found, Err(OperatorError::NoRegion { .. })));
        assert!(dead.exists(), "who asks removes nothing: the socket may be about to live");
    }

    #[tokio::test(start_paused = true)]
    async fn those_that_do_not_answer_are_waited_for_at_the_same_time_and_named() {
        let (scratch, _listeners) = with_silent(&["south", "north"]);
        let begun = tokio::time::Instant::now();
        let error = Operator::connect_any(scratch.path(), Duration::MAX).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "no region process answers: north and south did not within 3 s; look whether they \
             are stopped or hang"
        );
        assert_eq!(begun.elapsed().as_secs(), 3);

        let asked = ask_all(scratch.path()).await.unwrap();
        let silent = |name: &str| Asked::Silent { name: name.to_owned(), waited: ANSWER_MAX };
        assert_eq!(asked, [silent("north"), silent("south")]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_named_region_is_waited_for_no_longer_than_was_said() {
        let (scratch, _listeners) = with_silent(&["north"]);
        let wait = Duration::from_millis(300);
        let error = Operator::connect_to(scratch.path(), "north", wait).await.unwrap_err();
        assert!(matches!(error, OperatorError::Silent { waited, .. } if waited == wait));
        let error = Operator::connect_to(scratch.path(), "south", wait).await.unwrap_err();
        assert!(matches!(error, OperatorError::NoRegion { .. }));
    }
}
