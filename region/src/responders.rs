//! What every region process answers, beside what both sides do.

use std::sync::Arc;
use std::time::Duration;

use amp_proto::{Lost, Never, Peer, responders};
use mesh::commands::{
    AnnounceKey, CannotAnnounceKey, CannotJoin, ClusterRegistered, Join, Joined, KeyAnnounced,
    ListRegionKeys, ListRegions, RegionKeys, RegionRow, Regions, RegisterCluster,
    RegisterClusterError,
};
use mesh::{KeyPair, PeerExt as _, chain};
use tokio::sync::watch;

use crate::admission::{Admission, AdmissionError, Admissions};
use crate::key_book::{self, KeyBook};
use crate::registry::RegionEntry;

#[derive(Debug)]
pub(crate) struct MeshResponders {
    admission: Admission,
    admissions: Admissions,
    known: Arc<watch::Sender<Vec<RegionEntry>>>,
    book: Arc<KeyBook>,
    key_overlap: Duration,
}

impl MeshResponders {
    pub(crate) fn new(
        admission: Admission,
        admissions: Admissions,
        known: Arc<watch::Sender<Vec<RegionEntry>>>,
        book: Arc<KeyBook>,
        key_overlap: Duration,
    ) -> Self {
        Self { admission, admissions, known, book, key_overlap }
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
        if matches!(admitted, Err(AdmissionError::BoundToKey { .. }))
            && let Some(link) = peer.link()
        {
            link.close(Lost::ClosedHere);
        }
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

    #[responder]
    async fn list_region_keys(&self, _: ListRegionKeys) -> Result<RegionKeys, Never> {
        Ok(RegionKeys { keys: self.book.of_regions() })
    }

    /// Whoever gets here is known already: perhaps the answer to its first try was lost.
    #[responder]
    async fn join(&self, it: Join, peer: &Peer) -> Result<Joined, CannotJoin> {
        match (peer.key(), peer.ident()) {
            (None, _) => Err(CannotJoin::NoKey),
            (Some(_), Some(ident)) if ident == it.uuid => {
                Ok(key_book::joined(&self.book, &self.known.borrow()))
            }
            (Some(_), _) => Err(CannotJoin::KeyTaken),
        }
    }

    #[responder]
    async fn announce_key(
        &self,
        it: AnnounceKey,
        peer: &Peer,
    ) -> Result<KeyAnnounced, CannotAnnounceKey> {
        let AnnounceKey { next, signature } = it;
        let present = peer.key().ok_or(CannotAnnounceKey::NoKey)?;
        let signed = present.as_bytes();
        if !KeyPair::is_signature(&next, AnnounceKey::PURPOSE, signed, &signature) {
            return Err(CannotAnnounceKey::BadSignature);
        }
        self.book.succeed(present, next, self.key_overlap).await?;
        let cluster = peer.ident();
        tracing::info!(cluster, key = %present, %next, "a cluster has announced its next key");
        let overlap_s = u32::try_from(self.key_overlap.as_secs()).unwrap_or(u32::MAX);
        Ok(KeyAnnounced { overlap_s })
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
