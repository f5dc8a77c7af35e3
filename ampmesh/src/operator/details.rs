//! What only the region process that holds a connection knows of it: who proved what, what both
//! ends agreed on, and what is under way. Every region process of the data directory is asked for
//! its own connections.

use std::path::Path;
use std::time::{Duration, SystemTime};

use amp_proto::{Arguments, Authentication, CallError, Choice, Command, Never, PublicKey};
use amp_proto::{Cluster, responders};
use futures_util::future::join_all;
use mesh::{Agreement, Client, chain};
use region::RegionController;

use super::client::{Operator, OperatorError};
use super::desk::{bounded, microseconds, milliseconds_since, page};
use super::find::{ANSWER_MAX, connect_all};

/// Lists the connections of the region process that is asked, a page at a time.
#[derive(Clone, Debug, PartialEq, Eq, Command)]
#[command(answered_by = Region, response = DetailsPage)]
pub(super) struct ReportDetails {
    /// Where the page before ended: the uuid of its last cluster.
    pub(super) after: Option<String>,
}

/// A page of connections.
#[derive(Clone, Debug, PartialEq, Eq, Arguments)]
pub(super) struct DetailsPage {
    /// The connections, sorted by the cluster's uuid.
    pub(super) connections: Vec<ReportedDetails>,
    /// Whether there are more.
    pub(super) more: bool,
}

/// One connection to a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Arguments)]
pub(crate) struct ReportedDetails {
    /// The cluster's uuid.
    pub(crate) cluster: String,
    /// The cluster's name.
    pub(crate) cluster_name: String,
    /// The version of the cluster's program, if it told.
    pub(crate) cluster_version: Option<String>,
    /// Where the region process sees the cluster.
    pub(crate) address: String,
    /// How long the connection has been up, in milliseconds.
    pub(crate) up_ms: u64,
    /// The last round trip, in microseconds.
    pub(crate) round_trip_us: Option<u64>,
    /// How the cluster proved who it is.
    pub(crate) proof: Proof,
    /// The key by which it is known, if that is how.
    pub(crate) key: Option<PublicKey>,
    /// Whether the connection is TLS.
    pub(crate) is_encrypted: bool,
    /// Calls of the region process that the cluster has not answered.
    pub(crate) calls_to_cluster: u64,
    /// Calls of the cluster that the region process has not answered.
    pub(crate) calls_to_region: u64,
    /// What both ends agreed on: none with a stock peer, or one.
    pub(crate) agreed: Vec<ReportedAgreement>,
}

/// How a cluster proved who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Choice, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub(crate) enum Proof {
    /// It has a private key, to which the public one is known.
    #[wire("key")]
    Key,
    /// It knows the shared secret.
    #[wire("secret")]
    Secret,
    /// It did not.
    #[wire("nothing")]
    Nothing,
}

/// What both ends of a connection agreed on.
#[derive(Clone, Debug, PartialEq, Eq, Arguments, serde::Serialize)]
pub(crate) struct ReportedAgreement {
    /// The version of the extensions.
    pub(crate) version: u16,
    /// The features that both know.
    pub(crate) features: Vec<String>,
    /// The largest box that both take, in bytes.
    pub(crate) box_bytes_max: u64,
    /// The largest ask or answer in pieces that both take, in bytes.
    pub(crate) large_bytes_max: u64,
    /// How many calls of the region process the cluster works on at once.
    pub(crate) calls_to_cluster_max: u64,
    /// How many calls of the cluster the region process works on at once.
    pub(crate) calls_to_region_max: u64,
    /// How much the cluster takes ahead on a stream, in bytes.
    pub(crate) window_to_cluster_bytes: u64,
    /// How much the region process takes ahead on a stream, in bytes.
    pub(crate) window_to_region_bytes: u64,
}

/// What one region process told of its connections.
#[derive(Debug)]
pub(crate) struct Told {
    /// The region process's identity.
    pub(crate) region_id: String,
    /// Its name.
    pub(crate) region_name: String,
    /// Its connections, or why it told nothing.
    pub(crate) details: Result<Vec<ReportedDetails>, Untold>,
}

/// Why nothing is known of a region process's connections.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Untold {
    /// It has no socket in this data directory: it runs elsewhere.
    #[error("not asked: it does not run with this data directory")]
    NotAsked,
    /// It did not answer for so long.
    #[error("no answer in {}", crate::text::span(*.0))]
    Silent(Duration),
    /// It answered with an error, as one does that does not know the question.
    #[error("it cannot tell: {0}")]
    Failed(String),
}

/// Answers for one region process.
#[derive(Debug)]
pub(super) struct DetailsDesk {
    region: RegionController,
}

impl DetailsDesk {
    pub(super) fn new(region: RegionController) -> Self {
        Self { region }
    }
}

#[responders]
impl DetailsDesk {
    #[responder]
    async fn report_details(&self, it: ReportDetails) -> Result<DetailsPage, Never> {
        let now = SystemTime::now();
        let clients = self.region.get_all_clients().into_iter();
        let mut clients: Vec<_> = clients.filter_map(|it| Some((it.ident()?, it))).collect();
        clients.retain(|(uuid, _)| it.after.as_ref().is_none_or(|after| uuid > after));
        clients.sort_by(|(a, _), (b, _)| a.cmp(b));
        let (connections, more) = page(&clients, 0, |(uuid, it)| reported(uuid, it, now));
        Ok(DetailsPage { connections, more })
    }
}

fn reported(uuid: &str, client: &Client<Cluster>, now: SystemTime) -> ReportedDetails {
    let link = client.link();
    let peer = link.peer();
    ReportedDetails {
        cluster: uuid.to_owned(),
        cluster_name: bounded(&client.name()),
        cluster_version: client.version().as_deref().map(bounded),
        address: bounded(client.address()),
        up_ms: milliseconds_since(link.since(), now),
        round_trip_us: client.round_trip().map(microseconds),
        proof: match peer.authentication {
            Authentication::Key => Proof::Key,
            Authentication::SharedSecret => Proof::Secret,
            _ => Proof::Nothing,
        },
        key: peer.key.as_ref().map(|it| it.key),
        is_encrypted: peer.is_encrypted,
        calls_to_cluster: whole(link.calls_in_flight()),
        calls_to_region: whole(link.asks_answering()),
        agreed: link.agreement().map(reported_agreement).into_iter().collect(),
    }
}

fn reported_agreement(agreed: &Agreement) -> ReportedAgreement {
    ReportedAgreement {
        version: agreed.version,
        features: agreed.features.names().map(str::to_owned).collect(),
        box_bytes_max: whole(agreed.box_bytes_max),
        large_bytes_max: whole(agreed.large_bytes_max),
        calls_to_cluster_max: whole(agreed.asks_in_flight_max),
        calls_to_region_max: whole(agreed.asks_answered_max),
        window_to_cluster_bytes: whole(agreed.stream_window_bytes),
        window_to_region_bytes: whole(agreed.own_window_bytes),
    }
}

fn whole(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// Asks every region process of the data directory for its connections, all at the same time. Those
/// that do not say who they are within [`ANSWER_MAX`] are left out; a page takes no longer either.
///
/// # Errors
/// [`OperatorError::Unreadable`].
///
/// # Cancellation
/// Nothing is left behind.
pub(crate) async fn details_of_all(data_dir: &Path) -> Result<Vec<Told>, OperatorError> {
    let operators = connect_all(data_dir, ANSWER_MAX).await?;
    let told = operators.iter().map(|operator| async {
        let (region_id, region_name) = (operator.id().to_owned(), operator.name().to_owned());
        Told { region_id, region_name, details: operator.details().await }
    });
    Ok(join_all(told).await)
}

impl Operator {
    async fn details(&self) -> Result<Vec<ReportedDetails>, Untold> {
        let mut connections: Vec<ReportedDetails> = Vec::new();
        loop {
            let after = connections.last().map(|last| last.cluster.clone());
            let answer = self.client.clone().within(ANSWER_MAX).call(ReportDetails { after }).await;
            let page = answer.map_err(|error| match error {
                CallError::TimedOut { .. } => Untold::Silent(ANSWER_MAX),
                error => Untold::Failed(chain(&error).to_string()),
            })?;
            let progress = !page.connections.is_empty();
            connections.extend(page.connections);
            if !page.more || !progress {
                return Ok(connections);
            }
        }
    }
}
