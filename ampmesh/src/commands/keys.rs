//! `ampmesh keys`.

use std::io::{self, Write};
use std::path::Path;
use std::time::Duration;

use amp_proto::{Command as _, PublicKey, RoleName};
use mesh::commands::RotateKey;
use serde::Serialize;

use super::reach;
use crate::cli::{KeysArgs, KeysCommands, RevokeArgs, RotateArgs};
use crate::exit::Exit;
use crate::operator::{Operator, ReportedKey};
use crate::table::Table;
use crate::target::TargetError;
use crate::terminal::{Style, Terminal};
use crate::text::{harmless, uptime};

/// How long a cluster may take to change its key.
const ROTATE_PATIENCE: Duration = Duration::from_secs(30);

/// What every key begins with.
const KEY_WORD: &str = "amp1";

/// No key is meant, or several are.
#[derive(Debug, thiserror::Error)]
pub(crate) enum KeyChoiceError {
    /// None is.
    #[error("no key is `{0}`, or begins so; `ampmesh keys ls` lists them")]
    None(String),
    /// Several are.
    #[error("{1} keys begin with `{0}`; write more of the one that is meant")]
    Several(String, usize),
    /// It is the name of an owner, and that or the beginning of a key of others.
    #[error("`{name}` may mean any of several: {owners}; write the uuid or the key that is meant")]
    Owners {
        /// The name.
        name: String,
        /// Roles and identities.
        owners: String,
    },
}

/// Lists keys, revokes one, or has one followed by the next.
///
/// # Errors
/// [`OperatorError`](crate::operator::OperatorError), [`KeyChoiceError`], or those of stdout.
pub(crate) async fn run(
    args: &KeysArgs,
    data_dir: &Path,
    terminal: &mut Terminal<'_>,
) -> anyhow::Result<Exit> {
    match &args.command {
        KeysCommands::Ls { json } => {
            let keys = Operator::connect_any(data_dir, Duration::MAX).await?.keys().await?;
            if *json {
                terminal.json(&keys.iter().map(Listed::of).collect::<Vec<_>>())?;
            } else {
                write(&keys, terminal.out, terminal.style)?;
            }
        }
        KeysCommands::Revoke(args) => revoke(args, data_dir, terminal).await?,
        KeysCommands::Rotate(args) => return rotate(args, data_dir, terminal).await,
    }
    Ok(Exit::Ok)
}

async fn revoke(
    args: &RevokeArgs,
    data_dir: &Path,
    terminal: &mut Terminal<'_>,
) -> anyhow::Result<()> {
    let operator = Operator::connect_any(data_dir, Duration::MAX).await?;
    // Whoever names a key in full needs no list of all.
    let key = match args.key.parse() {
        Ok(key) => key,
        Err(_) => choose(&operator.keys().await?, &args.key)?,
    };
    let revoked = operator.revoke(key).await?;
    if revoked.is_empty() {
        // It was revoked before, or there is no such key.
        choose(&operator.keys().await?, &args.key)?;
    }
    if args.json {
        let revoked = revoked.iter().map(ToString::to_string).collect();
        terminal.json(&Revoked { revoked })?;
    } else if revoked.is_empty() {
        writeln!(terminal.out, "{key} was revoked before")?;
    } else {
        for key in revoked {
            writeln!(terminal.out, "revoked {key}")?;
        }
    }
    Ok(())
}

async fn rotate(
    args: &RotateArgs,
    data_dir: &Path,
    terminal: &mut Terminal<'_>,
) -> anyhow::Result<Exit> {
    let (operator, targets) = reach(data_dir, &args.target, Duration::MAX).await?;
    let mut rotated = Vec::new();
    let mut exit = Exit::Ok;
    for target in &targets {
        let name = target.name.clone();
        if target.role == RoleName::Region {
            let next = operator.rotate_region_key(args.overlap.0).await?.to_string();
            rotated.push(Rotated { name, key: Some(next), error: None });
            continue;
        }
        // One cluster that cannot must not keep the others from it.
        match operator.call(target, RotateKey::NAME, Vec::new(), ROTATE_PATIENCE).await {
            Ok(_) => rotated.push(Rotated { name, key: None, error: None }),
            Err(problem) => {
                exit = exit.max(Exit::of_problem(problem.kind));
                rotated.push(Rotated { name, key: None, error: Some(problem.to_string()) });
            }
        }
    }
    if args.json {
        terminal.json(&rotated)?;
    } else {
        for Rotated { name, error, .. } in &rotated {
            match error {
                None => writeln!(terminal.out, "{} has a new key", harmless(name))?,
                Some(error) => writeln!(terminal.err, "{}: {}", harmless(name), harmless(error))?,
            }
        }
    }
    Ok(exit)
}

/// The key that is meant: in full, by its owner's uuid, by its owner's name, or by its beginning,
/// in this order. A cluster chooses its name itself, so a name that may as well be the beginning of
/// another's key means neither.
fn choose(keys: &[ReportedKey], wanted: &str) -> Result<PublicKey, anyhow::Error> {
    if wanted.is_empty() {
        return Err(TargetError::Empty.into());
    }
    let begins = |it: &ReportedKey| it.key.to_string().starts_with(wanted);
    let tells_of_a_key = wanted.len() > KEY_WORD.len() && wanted.starts_with(KEY_WORD);
    let by_name = |it: &ReportedKey| it.name == wanted || (tells_of_a_key && begins(it));
    let ways: [&dyn Fn(&ReportedKey) -> bool; 4] =
        [&|it| it.key.to_string() == wanted, &|it| it.ident == wanted, &by_name, &begins];
    let ways = ways.into_iter().map(|is_meant| keys.iter().filter(|it| is_meant(it)).collect());
    let found: Vec<_> =
        ways.into_iter().find(|found: &Vec<_>| !found.is_empty()).unwrap_or_default();
    // All keys of one owner are revoked together.
    let mut owners: Vec<_> = found.iter().map(|it| (&it.role, &it.ident)).collect();
    owners.sort_unstable();
    owners.dedup();
    let good = found.iter().find(|it| it.is_good);
    match (good.or_else(|| found.first()), owners.as_slice()) {
        (Some(it), [_]) => Ok(it.key),
        (None, _) => Err(KeyChoiceError::None(wanted.to_owned()).into()),
        (Some(_), owners) if found.iter().any(|it| it.name == wanted) => {
            let owners = owners.iter().map(|(role, ident)| format!("{role} {}", harmless(ident)));
            let owners = owners.collect::<Vec<_>>().join(", ");
            Err(KeyChoiceError::Owners { name: wanted.to_owned(), owners }.into())
        }
        (Some(_), _) => Err(KeyChoiceError::Several(wanted.to_owned(), found.len()).into()),
    }
}

fn write(keys: &[ReportedKey], out: &mut dyn Write, style: Style) -> io::Result<()> {
    let mut table = Table::new(["OWNER", "NAME", "IDENTITY", "KNOWN", "STATE", "KEY"]);
    for it in keys {
        table.push([
            harmless(&it.role),
            harmless(&it.name),
            harmless(&it.ident),
            uptime(Duration::from_millis(it.known_ms)),
            state(it),
            it.key.to_string(),
        ]);
    }
    table.write(out, style)
}

fn state(key: &ReportedKey) -> String {
    match key.ends_in_ms {
        Some(ms) => format!("good for {}", uptime(Duration::from_millis(ms))),
        None if key.is_good => "good".to_owned(),
        None if key.is_revoked => "revoked".to_owned(),
        None => "ended".to_owned(),
    }
}

/// The shape of `keys ls --json`.
#[derive(Serialize)]
struct Listed<'a> {
    key: String,
    role: &'a str,
    ident: &'a str,
    name: &'a str,
    known_s: f64,
    good: bool,
    revoked: bool,
    ends_in_s: Option<f64>,
}

impl<'a> Listed<'a> {
    fn of(it: &'a ReportedKey) -> Self {
        let seconds = |ms: u64| Duration::from_millis(ms).as_secs_f64();
        Self {
            key: it.key.to_string(),
            role: &it.role,
            ident: &it.ident,
            name: &it.name,
            known_s: seconds(it.known_ms),
            good: it.is_good,
            revoked: it.is_revoked,
            ends_in_s: it.ends_in_ms.map(seconds),
        }
    }
}

#[derive(Serialize)]
struct Revoked {
    revoked: Vec<String>,
}

#[derive(Serialize)]
struct Rotated {
    name: String,
    key: Option<String>,
    error: Option<String>,
}

#[cfg(test)]
mod tests {
    use mesh::KeyPair;

    use super::*;

    fn key(name: &str, is_good: bool) -> ReportedKey {
        ReportedKey {
            key: KeyPair::generate().public(),
            role: "cluster".to_owned(),
            ident: format!("uuid-of-{name}"),
            name: name.to_owned(),
            known_ms: 9000,
            is_good,
            is_revoked: !is_good,
            ends_in_ms: None,
        }
    }

    #[test]
    fn a_key_is_meant_by_its_text_its_beginning_or_its_owner() {
        let keys = [key("north", true), key("south", false), key("south", true)];
        let south = KeyChoiceError::Several("amp1".to_owned(), 3).to_string();
        for wanted in [&keys[0].key.to_string(), "north", "uuid-of-north"] {
            assert_eq!(choose(&keys, wanted).unwrap(), keys[0].key);
        }
        assert_eq!(choose(&keys, "south").unwrap(), keys[2].key, "the one that is good");
        assert_eq!(choose(&keys, "amp1").unwrap_err().to_string(), south);
        assert!(choose(&keys, "west").is_err() && choose(&keys, "").is_err());
    }

    #[test]
    fn a_name_that_somebody_chose_stands_for_nobody_else() {
        let mut keys = [key("north", true), key("south", true), key("west", true)];
        let (south, beginning) = (keys[1].key, keys[1].key.to_string()[..12].to_owned());
        for name in [keys[1].key.to_string(), "uuid-of-south".to_owned()] {
            keys[0].name.clone_from(&name);
            assert_eq!(choose(&keys, &name).unwrap(), south, "by what cannot be chosen");
        }
        for name in ["south", &beginning] {
            name.clone_into(&mut keys[0].name);
            let refused = choose(&keys, name).unwrap_err().to_string();
            assert!(
                refused.contains("cluster uuid-of-north, cluster uuid-of-south")
                    && !refused.contains("write more"),
                "{refused}"
            );
        }
        // Every key begins so: it tells of none.
        "amp".clone_into(&mut keys[0].name);
        assert_eq!(choose(&keys, "amp").unwrap(), keys[0].key);
    }
}
