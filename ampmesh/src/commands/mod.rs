//! The subcommands, one module each.

pub(crate) mod call;
pub(crate) mod cluster;
pub(crate) mod completions;
pub(crate) mod describe;
pub(crate) mod dev;
pub(crate) mod ls;
pub(crate) mod ping;
pub(crate) mod region;

use std::path::Path;
use std::time::Duration;

use amp_proto::RoleName;

use crate::operator::{ANSWER_MAX, Operator, OperatorError, Target};
use crate::target::{self, TargetError};

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
    let directory = operator.directory().await?;
    let wait = ANSWER_MAX.min(patience);
    match target::resolve(wanted, &directory, &operator.as_target()) {
        Ok(targets) => match targets.as_slice() {
            [it] if it.role == RoleName::Region && it.id != operator.id() => {
                let other = named_region(data_dir, it, wait).await?;
                Ok((other, targets))
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
                Err(_) => Err(unknown.into()),
            }
        }
        Err(error) => Err(error.into()),
    }
}

/// Connects to a region process that the registry knows.
async fn named_region(data_dir: &Path, it: &Target, wait: Duration) -> anyhow::Result<Operator> {
    let elsewhere = || TargetError::Elsewhere { name: it.name.clone() };
    match Operator::connect_to(data_dir, &it.name, wait).await {
        Ok(other) if other.id() == it.id => Ok(other),
        Ok(_) | Err(OperatorError::NoRegion { .. }) => Err(elsewhere().into()),
        Err(OperatorError::Silent { waited, .. }) => {
            Err(TargetError::silent(&it.name, waited, true).into())
        }
        Err(error) => Err(error.into()),
    }
}
