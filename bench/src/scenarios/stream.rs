//! Small items from the listener, one after the other, as fast as they are read.

use anyhow::{Result, bail};
use tokio::task::JoinSet;

use super::meter::Meter;
use crate::figures::Figures;

/// Bytes of the text in an item; a number is beside it.
pub(crate) const ITEM_TEXT: &str = "sixteen-bytes-03";

/// The reading end of a stream.
pub(crate) trait Tap: Send + 'static {
    /// Waits for more, and says how many items came.
    fn next(&mut self) -> impl Future<Output = Result<u64>> + Send;
}

/// Reads for as long as is measured.
///
/// # Errors
/// When the stream fails, or ends.
pub(crate) async fn measure(seconds: f64, server: &[u32], mut tap: impl Tap) -> Result<Figures> {
    let meter = Meter::new(seconds);
    let mut counted = meter.counter(false);
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        while !counted.is_over() {
            let items = tap.next().await?;
            if items == 0 {
                bail!("the stream ended");
            }
            counted.done_many(items);
        }
        Ok(counted)
    });
    meter.measure(tasks, server).await
}
