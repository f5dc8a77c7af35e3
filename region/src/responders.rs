//! What every region process answers, beside what both sides do.

use std::sync::Arc;

use amp_proto::{Never, Peer, responders};
use mesh::commands::{
    ClusterRegistered, ListRegions, RegionRow, Regions, RegisterCluster, RegisterClusterError,
};
use mesh::{PeerExt as _, chain};
use tokio::sync::watch;

use crate::admission::{Admission, AdmissionError, Admissions};
use crate::registry::RegionEntry;

#[derive(Debug)]
pub(crate) struct MeshResponders {
    admission: Admission,
    admissions: Admissions,
    known: Arc<watch::Sender<Vec<RegionEntry>>>,
}

impl MeshResponders {
    pub(crate) fn new(
        admission: Admission,
        admissions: Admissions,
        known: Arc<watch::Sender<Vec<RegionEntry>>>,
    ) -> Self {
        Self { admission, admissions, known }
    }
}

#[responders]
impl MeshResponders {
    #[responder]
    async fn register_cluster(
        &self,
        it: RegisterCluster,
        peer: &Peer,
    ) -> Result<ClusterRegistered, RegisterClusterError> {
        let admitted = self.register(it, peer);
        admitted.map_err(|error| {
            let (peer, words) = (peer.address(), chain(&error).to_string());
            tracing::warn!(peer, error = words, "a cluster was not admitted");
            RegisterClusterError::NotAdmitted(words)
        })
    }

    #[responder]
    async fn list_regions(&self, _: ListRegions) -> Result<Regions, Never> {
        Ok(Regions { regions: rows_of(&self.known.borrow()) })
    }
}

impl MeshResponders {
    fn register(
        &self,
        RegisterCluster { uuid, name, version }: RegisterCluster,
        peer: &Peer,
    ) -> Result<ClusterRegistered, AdmissionError> {
        let link = peer.link().ok_or(AdmissionError::Gone)?;
        if self.admission == Admission::Identity {
            self.admissions.admit_link(&link, uuid, Some(name), Some(version))?;
        }
        Ok(ClusterRegistered { admitted: link.ident().is_some() })
    }
}

pub(crate) fn rows_of(regions: &[RegionEntry]) -> Vec<RegionRow> {
    let row = |region: &RegionEntry| RegionRow {
        uuid: region.id.to_string(),
        name: region.name.clone(),
        addresses: region.addresses.clone(),
    };
    regions.iter().map(row).collect()
}
