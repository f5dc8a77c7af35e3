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

use amp_proto::RoleName;

use crate::operator::{Operator, OperatorError, Target};
use crate::target::{self, TargetError};

/// Connects to the region process that can ask whoever is meant by `wanted`.
///
/// # Errors
/// [`OperatorError`], [`TargetError`].
async fn reach(data_dir: &Path, wanted: &str) -> anyhow::Result<(Operator, Vec<Target>)> {
    let operator = Operator::connect_any(data_dir).await?;
    let directory = operator.directory().await?;
    let targets = target::resolve(wanted, &directory, &operator.as_target())?;
    match targets.as_slice() {
        [it] if it.role == RoleName::Region && it.id != operator.id() => {
            let elsewhere = || TargetError::Elsewhere { name: it.name.clone() };
            match Operator::connect_to(data_dir, &it.name).await {
                Ok(other) if other.id() == it.id => Ok((other, targets)),
                Ok(_) | Err(OperatorError::NoRegion { .. }) => Err(elsewhere().into()),
                Err(error) => Err(error.into()),
            }
        }
        _ => Ok((operator, targets)),
    }
}
