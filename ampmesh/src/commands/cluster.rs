//! `ampmesh cluster`.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use amp_proto::PublicKey;
use anyhow::Context as _;
use cluster::{ClusterBuilder, ClusterController, KeyPair, KeyStep, Pins};
use mesh::chain;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::config::{ClusterSettings, ConfigError, RegionAddress, StartTlsFiles};
use crate::demo::Cellar;
use crate::exit::Exit;
use crate::keys::KeyFile;
use crate::membership::Joined;
use crate::ready::Ready;
use crate::shutdown::{DRAIN_TIMEOUT, finish};
use crate::terminal::Terminal;
use crate::{private, secret};

/// Runs a cluster process until `drain` is cancelled, and then ends it in good order.
///
/// # Errors
/// Whatever keeps it from starting.
///
/// # Cancellation
/// The process drops everything where it stands.
pub(crate) async fn run(
    settings: ClusterSettings,
    json: bool,
    terminal: &mut Terminal<'_>,
    drain: &CancellationToken,
) -> anyhow::Result<Exit> {
    private::warn_if_writable(&settings.data_dir);
    let secret = settings.secret.as_ref().map(secret::read).transpose()?;
    let certificate = settings.start_tls.as_ref().map(StartTlsFiles::read).transpose();
    let certificate = certificate.context("cannot use the certificate for StartTLS")?;
    let joined = match &secret {
        Some(_) => None,
        None => Some(Joined::read(&settings.data_dir)?.ok_or(ConfigError::NotJoined)?),
    };
    let uuid = identity(&settings, joined.as_ref())?;
    let cellar = settings.demo.then(|| Arc::new(Cellar::new()));
    let mut builder = ClusterController::builder()
        .uuid(uuid)
        .name(settings.name.as_str())
        .version(env!("CARGO_PKG_VERSION"))
        .regions(settings.regions.iter().map(RegionAddress::as_str))
        .drain_timeout(DRAIN_TIMEOUT)
        .memory_budget(settings.memory_budget)
        .limits(settings.limits);
    if let Some(secret) = secret {
        builder = builder.secret(secret);
    }
    if let Some(certificate) = certificate {
        builder = builder.start_tls(certificate);
    }
    if let Some(joined) = joined {
        builder = by_key(builder, settings.data_dir, &settings.regions, joined)?;
    }
    if let Some(cellar) = &cellar {
        builder = builder.responders_arc(Arc::clone(cellar));
    }
    let cluster = builder.start().await.context("cannot start")?;
    if let Some(cellar) = cellar {
        cellar.join(cluster.clone());
    }
    let ready = Ready::Cluster {
        name: cluster.name().to_owned(),
        uuid: uuid.to_string(),
        threads: Ready::threads(),
    };
    let said = ready.write(terminal.out, json);
    if said.is_ok() {
        drain.cancelled().await;
    }
    let exit = finish(cluster.shutdown()).await;
    said?;
    Ok(exit)
}

/// The uuid that the cluster runs with: with a key, the one that the key stands for.
fn identity(settings: &ClusterSettings, joined: Option<&Joined>) -> anyhow::Result<Uuid> {
    match (settings.uuid, joined.and_then(|joined| joined.uuid)) {
        (Some(claimed), Some(joined)) if claimed != joined => {
            Err(ConfigError::JoinedAs { joined, claimed }.into())
        }
        (Some(uuid), _) | (None, Some(uuid)) => Ok(uuid),
        (None, None) => own_uuid(&settings.data_dir),
    }
}

/// Has the cluster be known by its key, and write down what becomes of keys.
fn by_key(
    mut builder: ClusterBuilder,
    data_dir: PathBuf,
    regions: &[RegionAddress],
    joined: Joined,
) -> anyhow::Result<ClusterBuilder> {
    let file = KeyFile::of_cluster(&data_dir);
    let (pair, _) = file.read_or_make()?;
    if let Some(next) = file.next()? {
        builder = builder.next_key_pair(next);
    }
    if regions.is_empty() {
        builder = builder.regions(joined.addresses());
    }
    let pins = Pins::new(joined.membership.keys.iter().copied());
    let changes = pins.changes();
    let keep_key = move |step, pair: &KeyPair| match step {
        KeyStep::Announcing => file.keep_next(pair),
        _ => file.change(),
    };
    let builder = builder.key_pair(pair).region_keys(pins).keep_keys(keep_key);
    Ok(builder.service(move |cluster| keep_written(data_dir, joined, changes, cluster)))
}

/// Writes down whom the cluster believes and where they are, whenever it hears of something new.
async fn keep_written(
    data_dir: PathBuf,
    mut joined: Joined,
    mut keys: watch::Receiver<BTreeSet<PublicKey>>,
    cluster: ClusterController,
) {
    let mut addresses = cluster.region_addresses();
    // They may have been told before this began.
    addresses.mark_changed();
    let mut written = joined.clone();
    loop {
        let changed = tokio::select! {
            changed = keys.changed() => changed,
            changed = addresses.changed() => changed,
        };
        if changed.is_err() {
            return;
        }
        joined.membership.keys = keys.borrow_and_update().iter().copied().collect();
        joined.learn(&addresses.borrow_and_update());
        if joined == written {
            continue;
        }
        match joined.write(&data_dir) {
            Ok(()) => written.clone_from(&joined),
            Err(error) => {
                let error = chain(&error);
                tracing::error!(%error, "cannot write the keys and addresses of regions down");
            }
        }
    }
}

/// The uuid that the data directory keeps, made on first use.
pub(crate) fn own_uuid(data_dir: &Path) -> anyhow::Result<Uuid> {
    let path = data_dir.join("cluster-uuid");
    private::write_new_file(&path, || format!("{}\n", Uuid::new_v4()))?;
    let text = std::fs::read_to_string(&path)
        .map_err(|error| private::PrivateError::File { path: path.clone(), error })?;
    text.trim().parse().map_err(|_| ConfigError::NotAUuid { path }.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn a_cluster_keeps_its_uuid() {
        let scratch = Scratch::new().unwrap();
        let uuid = own_uuid(scratch.path()).unwrap();
        assert_eq!(own_uuid(scratch.path()).unwrap(), uuid);
    }

    #[test]
    fn a_damaged_uuid_is_not_replaced_in_silence() {
        let scratch = Scratch::new().unwrap();
        std::fs::write(scratch.path().join("cluster-uuid"), "seven").unwrap();
        let error = own_uuid(scratch.path()).unwrap_err();
        assert!(error.to_string().contains("does not hold a uuid"), "{error}");
    }
}
