//! A whole mesh in one process, for tests: regions, clusters, and the wires between them.
//!
//! [`Mesh::builder`] starts region and cluster processes that find each other as they would in the
//! field, over streams in memory or over loopback TCP. When it returns, every cluster is connected
//! to every region process. From then on the test is the weather: processes
//! [crash](RegionProcess::crash), [stop](RegionProcess::stop), [pause](RegionProcess::pause) and
//! [come back](RegionProcess::restart); links are [cut](Link::cut), [frozen](Link::freeze) and
//! [healed](Link::heal).
//!
//! ```
//! use amp_proto::{Cluster, Command, Never, responders};
//! use mesh_harness::{Mesh, TestResult};
//!
//! #[derive(Debug, Command)]
//! #[command(answered_by = Cluster)]
//! struct Knock;
//!
//! struct Door;
//!
//! #[responders]
//! impl Door {
//!     #[responder]
//!     async fn knock(&self, _: Knock) -> Result<(), Never> {
//!         Ok(())
//!     }
//! }
//!
//! # #[tokio::main(flavor = "current_thread", start_paused = true)]
//! # async fn main() -> TestResult {
//! let mesh = Mesh::builder().regions(2).clusters(3).cluster_responders(|_uuid| Door);
//! let mesh = mesh.start().await?;
//! let (region, cluster) = (mesh.region(0), mesh.cluster(1));
//! region.get_client_for(cluster.uuid()).await?.call(Knock).await?;
//!
//! cluster.crash().await; // no goodbye
//! assert!(region.get_client_for(cluster.uuid()).await.is_err());
//! # Ok(())
//! # }
//! ```
//!
//! In memory, time can stand still: under `#[tokio::test(start_paused = true)]` a test that waits
//! for a time-out of half a minute is over at once. Over TCP it cannot, because the operating
//! system does not know.
//!
//! Every box that crosses a wire is kept in a [`Transcript`]. When a test fails, by a panic or by
//! the `?` of a [`TestResult`], its mesh prints it.
//!
//! [`Recorder`] and [`ClientDouble`] are for tests that need no mesh, [`Logs`] for those that want
//! to know what was logged.

mod builder;
mod doubles;
mod error;
mod failure;
mod link;
mod logs;
mod mesh;
mod process;
mod transcript;
mod wire;

pub use crate::builder::MeshBuilder;
pub use crate::doubles::{ClientDouble, Recorder};
pub use crate::error::{MeshError, NotSettled};
pub use crate::failure::{TestFailure, TestResult};
pub use crate::link::Link;
pub use crate::logs::Logs;
pub use crate::mesh::Mesh;
pub use crate::process::{ClusterProcess, RegionProcess};
pub use crate::transcript::{Direction, Line, Transcript};
