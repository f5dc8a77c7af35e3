//! What every region process answers, beside what both sides do.

use std::sync::Arc;

use amp_proto::{Failure, Never, Peer, responders};
use mesh::PeerExt as _;
use mesh::commands::{ClusterRegistered, ListRegions, RegionRow, Regions, RegisterCluster};
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
    ) -> Result<ClusterRegistered, Failure<Never>> {
        let link = peer.link().ok_or_else(|| Failure::undeclared(AdmissionError::Gone))?;
        if self.admission == Admission::Identity {
            let cluster = it.uuid.parse().map_err(Failure::undeclared)?;
            let RegisterCluster { name, version, .. } = it;
            let admitted = self.admissions.admit_link(&link, cluster, Some(name), Some(version));
            admitted.map_err(Failure::undeclared)?;
        }
        Ok(ClusterRegistered { admitted: link.ident().is_some() })
    }

    #[responder]
    async fn list_regions(&self, _: ListRegions) -> Result<Regions, Never> {
        Ok(Regions { regions: rows_of(&self.known.borrow()) })
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
