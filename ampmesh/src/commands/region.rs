//! `ampmesh region`.

use anyhow::Context as _;
use region::{Listen, RegionController, StartError};
use tokio_util::sync::CancellationToken;

use crate::config::{RegionSettings, StartTlsFiles};
use crate::demo::Tower;
use crate::exit::Exit;
use crate::keys::KeyFile;
use crate::operator::OperatorSocket;
use crate::ready::Ready;
use crate::shutdown::{DRAIN_TIMEOUT, finish};
use crate::stores::Stores;
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
    private::warn_if_writable(&settings.data_dir);
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
    let Stores { registry, keys } = Stores::open(settings.registry, &settings.data_dir).await?;
    key_file.settle(&*keys).await.context("cannot change to the next key")?;
    let (pair, _) = key_file.read_or_make()?;
    let mut builder = RegionController::builder()
        .name(settings.name.as_str())
        .version(env!("CARGO_PKG_VERSION"))
        .listen(Listen { ip: settings.listen, ports: settings.ports.0.clone() })
        .advertise(settings.advertise)
        .key_pair(pair)
        .keys(keys)
        .registry(registry)
        .drain_timeout(DRAIN_TIMEOUT)
        .memory_budget(settings.memory_budget)
        .limits(settings.limits.clone());
    if let Some(max) = settings.connections_max {
        builder = builder.connections_max(max.get());
    }
    if let Some(secret) = plain_secret {
        builder = builder.secret(secret);
    }
    if let Some(certificate) = certificate {
        builder = builder.start_tls(certificate);
    }
    if settings.demo {
        builder = builder.responders(Tower::new());
    }
    let started = builder.start().await;
    let region = started.map_err(|error| with_remedy(error, &key_file))?;
    let operators = socket.serve(&region, key_file)?;
    let ready = Ready::Region {
        name: region.name().to_owned(),
        id: region.id().to_string(),
        address: region.address().to_owned(),
        operator_socket: operators.path().to_owned(),
        threads: Ready::threads(),
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

/// Why the region did not start, and where its key is if that is no good any more.
fn with_remedy(error: StartError, key_file: &KeyFile) -> anyhow::Error {
    let context = match &error {
        StartError::KeyRefused { .. } => {
            let path = key_file.path().display();
            format!("cannot start the region; once {path} is removed it makes itself a new key")
        }
        _ => "cannot start the region".to_owned(),
    };
    anyhow::Error::new(error).context(context)
}
