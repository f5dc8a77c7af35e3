//! The demonstration: cheez, kept in cellars at the clusters, rated in towers at the regions.

mod cellar;
mod commands;
mod tower;

pub(crate) use self::cellar::Cellar;
pub(crate) use self::tower::Tower;
