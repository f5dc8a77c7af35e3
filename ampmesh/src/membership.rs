//! What a cluster that has joined keeps of it: the file `regions.json` in its data directory.

use std::io;
use std::path::{Path, PathBuf};

use amp_proto::PublicKey;
use cluster::Membership;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::config::RegionAddress;
use crate::private::{self, PrivateError};

/// How many addresses are written down of those that were told: each is dialled at the next start.
const KNOWN_MAX: usize = 256;

/// Whom a cluster believes, where they are, and as whom it has joined.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Joined {
    /// The uuid that its key stands for. Absent: it was not written down.
    pub(crate) uuid: Option<Uuid>,
    /// The keys of the region processes, and where they were when it joined.
    pub(crate) membership: Membership,
    /// Where they were told to be since then.
    pub(crate) known: Vec<String>,
}

/// The file.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Kept {
    #[serde(default)]
    uuid: Option<Uuid>,
    keys: Vec<String>,
    addresses: Vec<String>,
    #[serde(default)]
    known: Vec<String>,
}

impl Joined {
    /// Where to look for region processes: where they were last, and then where they were when it
    /// joined, for all of the others may be gone, or be behind addresses that they do not know.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = &str> {
        let joined = &self.membership.addresses;
        let others = joined.iter().filter(|address| !self.known.contains(address));
        self.known.iter().chain(others).map(String::as_str)
    }

    /// Takes over what was told of where region processes are. What is no address is left out: the
    /// cluster would not start with it.
    pub(crate) fn learn(&mut self, addresses: &[String]) {
        let good = addresses.iter().filter(|it| it.parse::<RegionAddress>().is_ok());
        let good: Vec<_> = good.take(KNOWN_MAX).cloned().collect();
        if !good.is_empty() {
            self.known = good;
        }
    }

    /// Writes it down, in place of what may be there.
    ///
    /// # Errors
    /// [`PrivateError`].
    pub(crate) fn write(&self, data_dir: &Path) -> Result<(), PrivateError> {
        let Self { uuid, membership: Membership { keys, addresses }, known } = self.clone();
        let keys = keys.iter().map(ToString::to_string).collect();
        let kept = Kept { uuid, keys, addresses, known };
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
            let Kept { uuid, keys, addresses, known } =
                serde_json::from_str(&text).map_err(io::Error::from)?;
            let keys: Result<Vec<PublicKey>, _> = keys.iter().map(|key| key.parse()).collect();
            let keys = keys.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
            Ok(Self { uuid, membership: Membership { keys, addresses }, known })
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
        let known = vec!["192.0.2.2:5250".to_owned()];
        let joined = Joined { uuid: Some(Uuid::new_v4()), membership, known };
        joined.write(scratch.path()).unwrap();
        assert_eq!(Joined::read(scratch.path()).unwrap(), Some(joined));
        std::fs::write(path(scratch.path()), "{}").unwrap();
        assert!(Joined::read(scratch.path()).is_err(), "it is not replaced in silence");
    }

    #[test]
    fn addresses_that_were_told_come_first_and_nonsense_is_left_out() {
        let at = |hosts: &[&str]| hosts.iter().map(ToString::to_string).collect::<Vec<_>>();
        let membership = Membership { keys: Vec::new(), addresses: at(&["a:1", "b:1"]) };
        let mut joined = Joined { uuid: None, membership, known: Vec::new() };
        joined.learn(&at(&["c:1", "nowhere", "b:1", "d:1 "]));
        assert_eq!(joined.addresses().collect::<Vec<_>>(), ["c:1", "b:1", "a:1"]);
        joined.learn(&at(&["nowhere"]));
        assert_eq!(joined.known, ["c:1", "b:1"], "better than none");
        joined.learn(&vec!["e:1".to_owned(); 2 * KNOWN_MAX]);
        assert_eq!(joined.known.len(), KNOWN_MAX);
    }
}
