//! Asking through a region process: the process itself, or a cluster by way of it.

use std::time::Duration;

use amp_proto::{Arguments as _, CallError, Never, PassedError, RoleName};
use mesh::CommandDescription;
use mesh::commands::Commands;
use tokio::time::Instant;

use super::client::Operator;
use super::commands::PingCluster;
use super::encoded::{self, EncodedFields};
use super::problem::Problem;
use super::relay::RelayCommand;

/// How long a region process waits for a cluster that is not connected at the moment.
const CONNECT_WAIT: Duration = Duration::from_secs(2);

/// How much longer than the time limit a region process may take, to say that it was the cluster
/// that did not answer. A region process that says nothing has cost no more than this on top.
const GRACE: Duration = Duration::from_millis(500);

/// Who is asked.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub(crate) struct Target {
    /// `region`: the process that the operator is connected to. `cluster`: one that is connected
    /// to it.
    #[serde(rename = "kind", serialize_with = "as_word")]
    pub(crate) role: RoleName,
    /// Its name for people.
    pub(crate) name: String,
    /// A region process's identity or a cluster's uuid.
    pub(crate) id: String,
}

fn as_word<S: serde::Serializer>(role: &RoleName, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_str(role.as_str())
}

/// A response as it came, and how long it took.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) fields: EncodedFields,
    pub(crate) round_trip: Duration,
}

impl Operator {
    /// The region process itself, as a target.
    pub(crate) fn as_target(&self) -> Target {
        let (name, id) = (self.name().to_owned(), self.id().to_owned());
        Target { role: RoleName::Region, name, id }
    }

    /// Has `target` carry out a command. `arguments` have to be sorted by key.
    ///
    /// # Errors
    /// [`Problem`].
    ///
    /// # Cancellation
    /// Dropping the future forgets the answer; the command may still be carried out.
    pub(crate) async fn call(
        &self,
        target: &Target,
        command: &str,
        arguments: EncodedFields,
        patience: Duration,
    ) -> Result<Answer, Problem> {
        if target.role == RoleName::Cluster {
            return self.relay(&target.id, command, arguments, patience).await;
        }
        let start = Instant::now();
        let client = self.client.clone().within(patience);
        let received = client.call_encoded(command, &arguments).await;
        let round_trip = start.elapsed();
        let received = received.map_err(|error| Problem::from(error).after(round_trip))?;
        Ok(Answer { fields: encoded::of_response(&received.fields()), round_trip })
    }

    async fn relay(
        &self,
        cluster: &str,
        command: &str,
        arguments: EncodedFields,
        patience: Duration,
    ) -> Result<Answer, Problem> {
        let connect = CONNECT_WAIT.min(patience);
        let relay = RelayCommand {
            arguments,
            cluster: cluster.to_owned(),
            command: command.to_owned(),
            connect_ms: milliseconds(connect),
            timeout_ms: milliseconds(patience),
        };
        let client = self.client.clone().within(patience.saturating_add(GRACE));
        let relayed = client.call(relay).await;
        let mut relayed = relayed.map_err(|error| self.lost_on_the_way(error, patience))?;
        let round_trip = Duration::from_micros(relayed.round_trip_us);
        match relayed.problem.pop() {
            Some(problem) => Err(Problem::from(problem).after(round_trip)),
            None => Ok(Answer { fields: relayed.response, round_trip }),
        }
    }

    /// The region process failed, not the cluster that is asked through it.
    fn lost_on_the_way(&self, error: CallError<Never>, patience: Duration) -> Problem {
        let problem = without_declared(as_waited(error, patience));
        let description =
            format!("asked through the region process {}: {}", self.name(), problem.description);
        Problem { description, ..problem }
    }

    /// Measures the way to `target` and back: to a cluster from the region process, which waits for
    /// it to be connected if it is not. `patience` is for all of it.
    ///
    /// # Errors
    /// [`Problem`].
    ///
    /// # Cancellation
    /// Nothing is left behind.
    pub(crate) async fn ping(
        &self,
        target: &Target,
        patience: Duration,
    ) -> Result<Duration, Problem> {
        if target.role == RoleName::Region {
            let pinged = self.client.clone().within(patience).ping().await;
            return pinged.map_err(without_declared);
        }
        let ping = PingCluster {
            cluster: target.id.clone(),
            connect_ms: milliseconds(patience),
            timeout_ms: milliseconds(patience),
        };
        let client = self.client.clone().within(patience.saturating_add(GRACE));
        let pinged = client.call(ping).await;
        let mut pinged = pinged.map_err(|error| self.lost_on_the_way(error, patience))?;
        match (pinged.problem.pop(), pinged.round_trip_us) {
            (None, Some(time)) => Ok(Duration::from_micros(time)),
            (Some(problem), _) => Err(problem.into()),
            (None, None) => {
                Err(Problem::unreadable(&amp_proto::ValueError::Missing.at("round_trip_us")))
            }
        }
    }

    /// The commands that `target` answers, sorted by name.
    ///
    /// # Errors
    /// [`Problem`]; a stock peer, which has no reflection, gives
    /// [`ProblemKind::Unhandled`](super::ProblemKind::Unhandled).
    ///
    /// # Cancellation
    /// Nothing is left behind.
    pub(crate) async fn describe(
        &self,
        target: &Target,
        patience: Duration,
    ) -> Result<Vec<CommandDescription>, Problem> {
        let mut described: Vec<CommandDescription> = Vec::new();
        loop {
            let after = described.last().map(|last| ("after".to_owned(), last.name.clone().into()));
            let answer =
                self.call(target, "Describe", after.into_iter().collect(), patience).await?;
            let page = encoded::with_fields(&answer.fields, Commands::decode);
            let page = page.map_err(|error| Problem::unreadable(&error))?;
            let progress = !page.commands.is_empty();
            described.extend(page.commands.into_iter().map(CommandDescription::from));
            if !page.more || !progress {
                return Ok(described);
            }
        }
    }
}

fn without_declared(error: CallError<Never>) -> Problem {
    error.map_declared(|never| -> PassedError { match never {} }).into()
}

/// The same failure, with the time limit that was given where another was kept.
pub(super) fn as_waited<E>(error: CallError<E>, patience: Duration) -> CallError<E> {
    match error {
        CallError::TimedOut { maybe_done, .. } => {
            CallError::TimedOut { after: patience, maybe_done }
        }
        other => other,
    }
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
