//! What every cluster process answers, beside what both sides do.

use amp_proto::{Never, responders};
use mesh::commands::{RegionRow, RegionsChanged};
use tokio::sync::watch;

/// What regions told without being asked.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// How often any of them did.
    pub(crate) times: u64,
    /// The regions that the last one told of.
    pub(crate) regions: Vec<RegionRow>,
}

#[derive(Debug)]
pub(crate) struct MeshResponders {
    told: watch::Sender<Told>,
}

impl MeshResponders {
    pub(crate) fn new(told: watch::Sender<Told>) -> Self {
        Self { told }
    }
}

#[responders]
impl MeshResponders {
    #[responder]
    async fn regions_changed(&self, it: RegionsChanged) -> Result<(), Never> {
        self.told.send_modify(|told| {
            told.times += 1;
            told.regions = it.regions;
        });
        Ok(())
    }
}
