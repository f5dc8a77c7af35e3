//! What the fuzz targets do, and what they begin with. The tests of the mesh run the same
//! functions.

pub mod seeds;
pub mod targets;
