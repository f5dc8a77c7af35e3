//! What every cluster process answers, beside what both sides do.

use amp_proto::{Never, responders};
use mesh::commands::{RegionRow, RegionsChanged};
use tokio::sync::mpsc;

#[derive(Debug)]
pub(crate) struct MeshResponders {
    told: mpsc::Sender<Vec<RegionRow>>,
}

impl MeshResponders {
    pub(crate) fn new(told: mpsc::Sender<Vec<RegionRow>>) -> Self {
        Self { told }
    }
}

#[responders]
impl MeshResponders {
    #[responder]
    async fn regions_changed(&self, it: RegionsChanged) -> Result<(), Never> {
        // When nobody listens any more the cluster is shutting down.
        let _told = self.told.send(it.regions).await;
        Ok(())
    }
}
