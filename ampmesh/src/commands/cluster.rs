//! `ampmesh cluster`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use cluster::{ClusterBuilder, ClusterController, KeyPair, KeyStep, Membership, Pins};
use mesh::chain;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use crate::config::{ClusterSettings, ConfigError, RegionAddress, StartTlsFiles};
use crate::demo::Cellar;
use crate::exit::Exit;
use crate::keys::{KeyFile, read_membership, write_membership};
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
    let secret = settings.secret.as_ref().map(secret::read).transpose()?;
    let certificate = settings.start_tls.as_ref().map(StartTlsFiles::read).transpose();
    let certificate = certificate.context("cannot use the certificate for StartTLS")?;
    let membership = match &secret {
        Some(_) => None,
        None => Some(read_membership(&settings.data_dir)?.ok_or(ConfigError::NotJoined)?),
    };
    let uuid = match settings.uuid {
        Some(uuid) => uuid,
        None => own_uuid(&settings.data_dir)?,
    };
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
    if let Some(membership) = membership {
        builder = by_key(builder, settings.data_dir, &settings.regions, membership)?;
    }
    if let Some(cellar) = &cellar {
        builder = builder.responders_arc(Arc::clone(cellar));
    }
    let cluster = builder.start().await.context("cannot start")?;
    if let Some(cellar) = cellar {
        cellar.join(cluster.clone());
    }
    let ready = Ready::Cluster { name: cluster.name().to_owned(), uuid: uuid.to_string() };
    let said = ready.write(terminal.out, json);
    if said.is_ok() {
        drain.cancelled().await;
    }
    let exit = finish(cluster.shutdown()).await;
    said?;
    Ok(exit)
}

/// Has the cluster be known by its key, and write down what becomes of keys.
fn by_key(
    mut builder: ClusterBuilder,
    data_dir: PathBuf,
    regions: &[RegionAddress],
    membership: Membership,
) -> anyhow::Result<ClusterBuilder> {
    let file = KeyFile::of_cluster(&data_dir);
    let (pair, _) = file.read_or_make()?;
    if let Some(next) = file.next()? {
        builder = builder.next_key_pair(next);
    }
    if regions.is_empty() {
        builder = builder.regions(membership.addresses.clone());
    }
    let pins = Pins::new(membership.keys.iter().copied());
    let mut changes = pins.changes();
    let keep = async move {
        while changes.changed().await.is_ok() {
            let keys = changes.borrow_and_update().iter().copied().collect();
            let membership = Membership { keys, addresses: membership.addresses.clone() };
            if let Err(error) = write_membership(&data_dir, &membership) {
                tracing::error!(error = %chain(&error), "cannot write the keys of regions down");
            }
        }
    };
    let keep_key = move |step, pair: &KeyPair| match step {
        KeyStep::Announcing => file.keep_next(pair),
        _ => file.change(),
    };
    Ok(builder.key_pair(pair).region_keys(pins).keep_keys(keep_key).service(|_| keep))
}

/// The uuid that the data directory keeps, made on first use.
pub(crate) fn own_uuid(data_dir: &Path) -> anyhow::Result<Uuid> {
    let path = data_dir.join("cluster-uuid");
    private::write_new_file(&path, &format!("{}\n", Uuid::new_v4()))?;
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
