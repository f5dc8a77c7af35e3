//! The subcommands, one module each.

pub(crate) mod call;
pub(crate) mod cluster;
pub(crate) mod completions;
pub(crate) mod describe;
pub(crate) mod dev;
pub(crate) mod invite;
pub(crate) mod join;
pub(crate) mod keys;
pub(crate) mod ls;
pub(crate) mod ping;
pub(crate) mod region;

use std::path::Path;
use std::time::Duration;

use amp_proto::RoleName;
use mesh::CommandDescription;

use crate::arguments::ArgumentsError;
use crate::operator::{ANSWER_MAX, Directory, Operator, OperatorError, Target, connect_all};
use crate::target::{self, TargetError};
use crate::text::harmless;

/// Connects to the region process that can ask whoever is meant by `wanted`. No region process may
/// take longer than `patience` to answer for itself, and most have less.
///
/// # Errors
/// [`OperatorError`], [`TargetError`].
async fn reach(
    data_dir: &Path,
    wanted: &str,
    patience: Duration,
) -> anyhow::Result<(Operator, Vec<Target>)> {
    if wanted.is_empty() {
        return Err(TargetError::Empty.into());
    }
    let operator = match Operator::connect_any(data_dir, patience).await {
        Err(OperatorError::Silent { names, waited }) if names.iter().any(|name| name == wanted) => {
            return Err(TargetError::silent(wanted, waited, false).into());
        }
        connected => connected?,
    };
    let mut directory = operator.directory().await?;
    let wait = ANSWER_MAX.min(patience);
    leave_out_namesakes(&mut directory, data_dir, wanted, wait).await;
    match target::resolve(wanted, &directory, &operator.as_target()) {
        Ok(targets) => match targets.as_slice() {
            [it] if it.role == RoleName::Region && it.id != operator.id() => {
                let other = named_region(data_dir, it, wanted, wait).await?;
                let target = other.as_target();
                Ok((other, vec![target]))
            }
            _ => Ok((operator, targets)),
        },
        // The registry forgets a process that says nothing, but its socket is still there.
        Err(unknown @ TargetError::Unknown { .. }) => {
            match Operator::connect_to(data_dir, wanted, wait).await {
                Ok(other) => {
                    let target = other.as_target();
                    Ok((other, vec![target]))
                }
                Err(OperatorError::Silent { waited, .. }) => {
                    Err(TargetError::silent(wanted, waited, false).into())
                }
                Err(ending @ OperatorError::Ending { .. }) => Err(ending.into()),
                Err(_) => match unregistered(data_dir, wanted, &directory, wait).await {
                    Some(found) => Ok(found),
                    None => Err(unknown.into()),
                },
            }
        }
        Err(error) => Err(error.into()),
    }
}

/// Leaves out, of several region processes of that name, all but the one that runs here. Of those
/// that do not, none could be asked; and one that was killed stays in the registry for a while,
/// beside the one that was started in its place.
async fn leave_out_namesakes(
    directory: &mut Directory,
    data_dir: &Path,
    wanted: &str,
    wait: Duration,
) {
    if directory.regions.iter().filter(|it| it.name == wanted).count() < 2 {
        return;
    }
    if let Ok(here) = Operator::connect_to(data_dir, wanted, wait).await {
        directory.regions.retain(|it| it.name != wanted || it.id == here.id());
    }
}

/// Looks for `wanted` where `directory` does not reach: at the region processes of the data
/// directory that have another registry.
async fn unregistered(
    data_dir: &Path,
    wanted: &str,
    directory: &Directory,
    wait: Duration,
) -> Option<(Operator, Vec<Target>)> {
    let is_known = |it: &Operator| directory.regions.iter().any(|region| region.id == it.id());
    for operator in connect_all(data_dir, wait).await.ok()? {
        if is_known(&operator) {
            continue;
        }
        let Ok(own) = operator.directory().await else { continue };
        if let Ok(targets) = target::resolve(wanted, &own, &operator.as_target()) {
            return Some((operator, targets));
        }
    }
    None
}

/// Connects to a region process that the registry knows; if it is `wanted` by its name, to the one
/// that has the name by now.
async fn named_region(
    data_dir: &Path,
    it: &Target,
    wanted: &str,
    wait: Duration,
) -> anyhow::Result<Operator> {
    let elsewhere = || TargetError::Elsewhere { name: it.name.clone() };
    match Operator::connect_to(data_dir, &it.name, wait).await {
        Ok(other) if other.id() == it.id || it.name == wanted => Ok(other),
        Ok(_) | Err(OperatorError::NoRegion { .. }) => Err(elsewhere().into()),
        Err(OperatorError::Silent { waited, .. }) => {
            Err(TargetError::silent(&it.name, waited, true).into())
        }
        Err(error) => Err(error.into()),
    }
}

/// Says that `target` does not answer the command, only what is `known`; and who does, if somebody
/// on the other side of the mesh does.
async fn no_such_command(
    operator: &Operator,
    target: &Target,
    command: &str,
    known: &[CommandDescription],
) -> ArgumentsError {
    let name = format!("the {} {}", target.role, harmless(&target.name));
    match other_side(operator, target, command).await {
        Some(side) => ArgumentsError::OtherSide { target: name, command: command.to_owned(), side },
        None => {
            let names = known.iter().map(|it| it.name.as_str());
            ArgumentsError::no_such_command(&name, command, names)
        }
    }
}

/// The other side than the target's, if somebody there answers the command.
async fn other_side(operator: &Operator, target: &Target, command: &str) -> Option<RoleName> {
    let other = match target.role {
        RoleName::Cluster => operator.as_target(),
        RoleName::Region => {
            let directory = operator.directory().await.ok()?;
            target::resolve("any", &directory, &operator.as_target()).ok()?.pop()?
        }
    };
    let known = operator.describe(&other, ANSWER_MAX).await.ok()?;
    known.iter().any(|it| it.name == command).then_some(other.role)
}
