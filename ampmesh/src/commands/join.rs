//! `ampmesh join`.

use std::io::Read as _;

use anyhow::Context as _;
use cluster::{Enrolled, Joining};
use mesh::{ClusterId, InviteToken};
use serde::Serialize;

use crate::cli::JoinArgs;
use crate::commands::cluster::own_uuid;
use crate::config::JoinSettings;
use crate::exit::Exit;
use crate::keys::KeyFile;
use crate::membership::Joined;
use crate::private;
use crate::terminal::Terminal;

/// The shape of `--json`.
#[derive(Serialize)]
struct Report<'a> {
    uuid: String,
    name: &'a str,
    key: String,
    regions: &'a [String],
    had_joined: bool,
}

/// Has the cluster of this data directory join, with the uuid that it has joined with before if
/// nobody says another.
///
/// # Errors
/// [`JoinError`](cluster::JoinError), or what is the matter with token, key or data directory.
pub(crate) async fn run(
    args: &JoinArgs,
    settings: JoinSettings,
    terminal: &mut Terminal<'_>,
) -> anyhow::Result<Exit> {
    let token: InviteToken = match args.token.as_str() {
        "-" => from_stdin()?.parse()?,
        token => token.parse()?,
    };
    let JoinSettings { data_dir, name, uuid } = settings;
    private::make_directory(&data_dir)?;
    let before = Joined::read(&data_dir)?;
    let had_said = before.is_some();
    let before = before.and_then(|joined| joined.uuid);
    let uuid = match uuid.or(before) {
        Some(uuid) => uuid,
        None => own_uuid(&data_dir)?,
    };
    let (pair, _) = KeyFile::of_cluster(&data_dir).read_or_make()?;
    let key = pair.public();
    let joining = Joining::new(token, pair, ClusterId(uuid), name.as_str());
    let Enrolled { membership, had_joined, .. } = joining.enrol().await.context("cannot join")?;
    // If not, it was killed before it could say that it had joined, and has come again.
    let had_joined = had_joined && had_said;
    let joined = Joined { uuid: Some(uuid), membership, known: Vec::new() };
    joined.write(&data_dir)?;
    if args.json {
        let (uuid, key) = (uuid.to_string(), key.to_string());
        let regions = &joined.membership.addresses;
        terminal.json(&Report { uuid, name: name.as_str(), key, regions, had_joined })?;
    } else if had_joined {
        writeln!(terminal.out, "{} had joined before, with the key {key}", name.as_str())?;
        writeln!(
            terminal.err,
            "the token was not used: unless the cluster has joined with this one, it is good \
             until it expires"
        )?;
    } else {
        writeln!(terminal.out, "{} has joined with the key {key}", name.as_str())?;
        writeln!(terminal.err, "run it with `ampmesh cluster`")?;
    }
    Ok(Exit::Ok)
}

fn from_stdin() -> anyhow::Result<String> {
    /// More than any token has.
    const BYTES_MAX: u64 = 64 * 1024;
    let mut text = String::new();
    std::io::stdin().take(BYTES_MAX).read_to_string(&mut text).context("cannot read stdin")?;
    Ok(text)
}
