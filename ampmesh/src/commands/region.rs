//! `ampmesh region`.

use std::sync::Arc;

use anyhow::Context as _;
use region::{Listen, PostgresRegistry, RegionController, Registry, SqliteRegistry};
use tokio_util::sync::CancellationToken;

use crate::config::{RegionSettings, RegistryPlace};
use crate::demo::Tower;
use crate::exit::Exit;
use crate::operator::OperatorSocket;
use crate::ready::Ready;
use crate::shutdown::DRAIN_TIMEOUT;
use crate::terminal::Terminal;
use crate::{private, secret};

/// Runs a region process until `drain` is cancelled, and then ends it in good order.
///
/// # Errors
/// Whatever keeps it from starting.
pub(crate) async fn run(
    settings: RegionSettings,
    json: bool,
    terminal: &mut Terminal<'_>,
    drain: &CancellationToken,
) -> anyhow::Result<Exit> {
    private::make_directory(&settings.data_dir)?;
    let (secret, made) = secret::read_or_make(&settings.secret)?;
    if made {
        let path = settings.secret.path().display();
        writeln!(terminal.err, "made a new secret: {path}; clusters elsewhere need a copy")?;
    }
    let socket = OperatorSocket::claim(&settings.data_dir, &settings.name).await?;
    let registry = open(settings.registry).await?;
    let mut builder = RegionController::builder()
        .name(settings.name.as_str())
        .version(env!("CARGO_PKG_VERSION"))
        .listen(Listen { ip: settings.listen, ports: settings.ports.0.clone() })
        .advertise(settings.advertise)
        .secret(secret)
        .registry(registry)
        .drain_timeout(DRAIN_TIMEOUT)
        .limits(settings.limits.clone());
    if settings.demo {
        builder = builder.responders(Tower::new());
    }
    let region = builder.start().await.context("cannot start the region")?;
    let operators = socket.serve(&region, settings.limits)?;
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
    operators.shutdown().await;
    region.shutdown().await;
    said?;
    Ok(Exit::Ok)
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
