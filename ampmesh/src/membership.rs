//! What a cluster that has joined keeps of it: the file `regions.json` in its data directory.

use std::io;
use std::path::{Path, PathBuf};

use amp_proto::PublicKey;
use cluster::Membership;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::private::{self, PrivateError};

/// Whom a cluster believes, where they are, and as whom it has joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Joined {
    /// The uuid that its key stands for. Absent: it was not written down.
    pub(crate) uuid: Option<Uuid>,
    /// The keys of the region processes, and where they were when it joined.
    pub(crate) membership: Membership,
}

/// The file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    #[serde(default)]
    uuid: Option<Uuid>,
    keys: Vec<String>,
    addresses: Vec<String>,
}

impl Joined {
    /// Writes it down, in place of what may be there.
    ///
    /// # Errors
    /// [`PrivateError`].
    pub(crate) fn write(&self, data_dir: &Path) -> Result<(), PrivateError> {
        let Self { uuid, membership: Membership { keys, addresses } } = self;
        let keys = keys.iter().map(ToString::to_string).collect();
        let kept = Kept { uuid: *uuid, keys, addresses: addresses.clone() };
        let path = path(data_dir);
        let text = serde_json::to_string_pretty(&kept).map_err(io::Error::from);
        let written = text.and_then(|text| private::replace_file(&path, &format!("{text}\n")));
        written.map_err(|error| PrivateError::File { path, error })
    }

    /// What [`Joined::write`] wrote, if the cluster has joined.
    ///
    /// # Errors
    /// [`PrivateError`], also when something else is written there.
    pub(crate) fn read(data_dir: &Path) -> Result<Option<Self>, PrivateError> {
        let path = path(data_dir);
        let text = match std::fs::read_to_string(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read,
        };
        let read = text.and_then(|text| {
            let Kept { uuid, keys, addresses } =
                serde_json::from_str(&text).map_err(io::Error::from)?;
            let keys: Result<Vec<PublicKey>, _> = keys.iter().map(|key| key.parse()).collect();
            let keys = keys.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            Ok(Self { uuid, membership: Membership { keys, addresses } })
        });
        read.map(Some).map_err(|error| PrivateError::File { path, error })
    }
}

fn path(data_dir: &Path) -> PathBuf {
    data_dir.join("regions.json")
}

#[cfg(test)]
mod tests {
    use mesh::KeyPair;

    use super::*;
    use crate::scratch::Scratch;

    #[test]
    fn a_membership_is_kept() {
        let scratch = Scratch::new().unwrap();
        assert_eq!(Joined::read(scratch.path()).unwrap(), None);
        let keys = vec![KeyPair::generate().public()];
        let membership = Membership { keys, addresses: vec!["192.0.2.1:5250".to_owned()] };
        let joined = Joined { uuid: Some(Uuid::new_v4()), membership };
        joined.write(scratch.path()).unwrap();
        assert_eq!(Joined::read(scratch.path()).unwrap(), Some(joined));
        std::fs::write(path(scratch.path()), "{}").unwrap();
        assert!(Joined::read(scratch.path()).is_err(), "it is not replaced in silence");
    }
}
