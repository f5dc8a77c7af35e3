//! `ampmesh region`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::Context as _;
use region::{Listen, PostgresRegistry, RegionController, Registry, SqliteKeys, SqliteRegistry};
use tokio_util::sync::CancellationToken;

use crate::config::{RegionSettings, RegistryPlace, StartTlsFiles};
use crate::demo::Tower;
use crate::exit::Exit;
use crate::keys::KeyFile;
use crate::operator::OperatorSocket;
use crate::ready::Ready;
use crate::shutdown::{DRAIN_TIMEOUT, finish};
use crate::terminal::Terminal;
use crate::{private, secret};

/// Runs a region process until `drain` is cancelled, and then ends it in good order.
///
/// # Errors
/// Whatever keeps it from starting.
///
/// # Cancellation
/// The process drops everything where it stands.
pub(crate) async fn run(
    settings: RegionSettings,
    json: bool,
    terminal: &mut Terminal<'_>,
    drain: &CancellationToken,
) -> anyhow::Result<Exit> {
    private::make_directory(&settings.data_dir)?;
    let plain_secret = match &settings.secret {
        Some(place) => {
            let (secret, made) = secret::read_or_make(place)?;
            if made {
                let path = place.path().display();
                writeln!(
                    terminal.err,
                    "made a new secret: {path}; clusters elsewhere need a copy"
                )?;
            }
            Some(secret)
        }
        None => None,
    };
    let certificate = settings.start_tls.as_ref().map(StartTlsFiles::read).transpose();
    let certificate = certificate.context("cannot use the certificate for StartTLS")?;
    let socket = OperatorSocket::claim(&settings.data_dir, &settings.name).await?;
    // The name is ours from here on, and with it the key.
    let key_file = KeyFile::of_region(&settings.data_dir, settings.name.as_str());
    if key_file.next()?.is_some() {
        key_file.change().context("cannot change to the next key")?;
    }
    let (pair, _) = key_file.read_or_make()?;
    let keys_path = keys_beside(&settings.registry, &settings.data_dir);
    let keys = SqliteKeys::open(&keys_path).await;
    let keys = keys.with_context(|| format!("cannot open the keys {}", keys_path.display()))?;
    let registry = open(settings.registry).await?;
    let mut builder = RegionController::builder()
        .name(settings.name.as_str())
        .version(env!("CARGO_PKG_VERSION"))
        .listen(Listen { ip: settings.listen, ports: settings.ports.0.clone() })
        .advertise(settings.advertise)
        .key_pair(pair)
        .keys(Arc::new(keys))
        .registry(registry)
        .drain_timeout(DRAIN_TIMEOUT)
        .limits(settings.limits.clone());
    if let Some(secret) = plain_secret {
        builder = builder.secret(secret);
    }
    if let Some(certificate) = certificate {
        builder = builder.start_tls(certificate);
    }
    if settings.demo {
        builder = builder.responders(Tower::new());
    }
    let region = builder.start().await.context("cannot start the region")?;
    let operators = socket.serve(&region, key_file, settings.limits)?;
    let ready = Ready::Region {
        name: region.name().to_owned(),
        id: region.id().to_string(),
        address: region.address().to_owned(),
        operator_socket: operators.path().to_owned(),
    };
    let said = ready.write(terminal.out, json);
    if said.is_ok() {
        drain.cancelled().await;
    }
    // Both at once: operators' calls go on through the region's connections.
    let exit = finish(async {
        tokio::join!(operators.drain(DRAIN_TIMEOUT), region.shutdown());
    })
    .await;
    operators.shutdown().await;
    said?;
    Ok(exit)
}

/// Keys outlive the registry, which may be deleted, so they have a file of their own.
fn keys_beside(registry: &RegistryPlace, data_dir: &Path) -> PathBuf {
    match registry {
        RegistryPlace::Sqlite(path) => path.with_file_name("keys.sqlite"),
        RegistryPlace::Postgres(_) => data_dir.join("keys.sqlite"),
    }
}

async fn open(place: RegistryPlace) -> anyhow::Result<Arc<dyn Registry>> {
    Ok(match place {
        RegistryPlace::Sqlite(path) => {
            let opened = SqliteRegistry::open(&path).await;
            let told = || format!("cannot open the registry {}", path.display());
            Arc::new(opened.with_context(told)?)
        }
        RegistryPlace::Postgres(settings) => {
            let opened = PostgresRegistry::open(settings).await;
            Arc::new(opened.context("cannot open the registry")?)
        }
    })
}
