//! A PostgreSQL server of the row's own, for the registry. It listens on loopback alone, so that
//! regions reach it through a proxy, at an address that they can be cut from.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use postgres_harness::{Database, Postgres};
use region::PostgresSettings;
use rustix::process::{Pid, Signal, kill_process};
use uuid::Uuid;

use crate::processes::output;
use crate::proxy::Proxy;

/// Where regions reach it.
pub(crate) const FRONT: Ipv4Addr = Ipv4Addr::new(10, 79, 0, 1);

/// What writes down who changes which rows. A row is its region process's: whoever else changes it
/// changes what is not his. A process goes by the name of its connections, however often it makes
/// them: [`named_settings`].
const WATCH: &str = "
CREATE TABLE chaos_writes (who text, deed text, region text);
CREATE FUNCTION chaos_watch() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS $$
BEGIN
    INSERT INTO chaos_writes VALUES
        (current_setting('application_name'), TG_OP, CASE TG_TABLE_NAME
            WHEN 'ampmesh_regions' THEN to_jsonb(coalesce(NEW, OLD)) ->> 'id'
            ELSE to_jsonb(coalesce(NEW, OLD)) ->> 'region' END);
    RETURN NULL;
END $$;
CREATE TRIGGER chaos_watch AFTER INSERT OR UPDATE OR DELETE ON ampmesh_regions
    FOR EACH ROW EXECUTE FUNCTION chaos_watch();
CREATE TRIGGER chaos_watch AFTER INSERT OR UPDATE OR DELETE ON ampmesh_links
    FOR EACH ROW EXECUTE FUNCTION chaos_watch();
";

/// The settings in the file with the URL, under a name that no other process has.
///
/// # Errors
/// The file cannot be read.
pub(crate) fn named_settings(url_file: &Path) -> anyhow::Result<PostgresSettings> {
    let url = std::fs::read_to_string(url_file)?;
    let joint = if url.contains('?') { '&' } else { '?' };
    Ok(format!("{}{joint}application_name=chaos-{}", url.trim(), Uuid::new_v4()).parse()?)
}

/// The server, its one database, and the way to it.
#[derive(Debug)]
pub(crate) struct Server {
    postgres: Postgres,
    database: Database,
    /// Kept: it is the way.
    _proxy: Proxy,
    url_file: tempfile::NamedTempFile,
}

impl Server {
    /// Starts it. The network's router has to be there, or at least loopback be up.
    ///
    /// # Errors
    /// PostgreSQL is not installed, or does not start.
    pub(crate) async fn start() -> anyhow::Result<Self> {
        output("ip", &["link", "set", "lo", "up"]).await?;
        output("ip", &["address", "add", &format!("{FRONT}/32"), "dev", "lo"]).await?;
        let postgres = Postgres::own().await?;
        let database = postgres.database().await?;
        let (_, port) = database.socket();
        let target = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        let proxy = Proxy::listen(SocketAddr::from((FRONT, 0)), target).await?;
        let place = format!("@{}/", proxy.address());
        let url = database.url_over_tcp().replace(&format!("@localhost:{port}/"), &place);
        // It is for us alone, as such files are made.
        let url_file = tempfile::NamedTempFile::new()?;
        std::fs::write(url_file.path(), url)?;
        Ok(Self { postgres, database, _proxy: proxy, url_file })
    }

    /// The file with the URL that regions are given.
    pub(crate) fn url_file(&self) -> PathBuf {
        self.url_file.path().to_owned()
    }

    /// From now on it is written down who changes which rows. The tables have to be there.
    ///
    /// # Errors
    /// The server is away.
    pub(crate) async fn watch_writes(&self) -> anyhow::Result<()> {
        Ok(self.database.execute(WATCH).await?)
    }

    /// How often somebody changed what belongs to a region process, and it was not that process;
    /// and how often it was.
    ///
    /// # Errors
    /// The server is away.
    pub(crate) async fn writes_to(&self, region: &str) -> anyhow::Result<(i64, i64)> {
        let own = format!(
            "who IN (SELECT who FROM chaos_writes WHERE deed = 'INSERT' AND region = '{region}')"
        );
        let count = |which: &str| {
            format!("SELECT count(*) FROM chaos_writes WHERE region = '{region}' AND {which}")
        };
        let others = self.database.number(&count(&format!("NOT {own}"))).await?;
        Ok((others, self.database.number(&count(&own)).await?))
    }

    /// Changes a row of a region process that is none of ours, as nobody may, and leaves it as it
    /// was: [`Server::writes_to`] has to count it.
    ///
    /// # Errors
    /// The server is away.
    pub(crate) async fn trespass(&self, region: &str) -> anyhow::Result<()> {
        let deed = format!("UPDATE ampmesh_regions SET name = name WHERE id = '{region}'");
        Ok(self.database.execute(&deed).await?)
    }

    /// Whether a region process is in the registry, and has announced itself within its time.
    ///
    /// # Errors
    /// The server is away.
    pub(crate) async fn knows(&self, region: &str) -> anyhow::Result<bool> {
        let question = format!(
            "SELECT count(*) FROM ampmesh_regions
             WHERE id = '{region}' AND seen > clock_timestamp() - interval '5 s'"
        );
        Ok(self.database.number(&question).await? == 1)
    }

    /// How many connections of a region process to clusters are written down.
    ///
    /// # Errors
    /// The server is away.
    pub(crate) async fn links_of(&self, region: &str) -> anyhow::Result<i64> {
        let question = format!("SELECT count(*) FROM ampmesh_links WHERE region = '{region}'");
        Ok(self.database.number(&question).await?)
    }

    /// Kills the server and all its processes.
    ///
    /// # Errors
    /// It does not run.
    pub(crate) fn kill(&self) -> anyhow::Result<()> {
        let (folder, _) = self.database.socket();
        let file = std::fs::read_to_string(folder.join("data/postmaster.pid"))?;
        let first: i32 = file.lines().next().context("no process in its file")?.parse()?;
        // The others end when they find it gone; the next one waits for that.
        let first = Pid::from_raw(first).context("no process in its file")?;
        kill_process(first, Signal::KILL).context("the server does not run")
    }

    /// Starts it again after [`Server::kill`].
    ///
    /// # Errors
    /// It does not start.
    pub(crate) async fn start_again(&self) -> anyhow::Result<()> {
        Ok(self.postgres.start().await?)
    }
}
