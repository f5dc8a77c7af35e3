//! Who answers: regions in the centre, clusters at the sites.

/// A side of the mesh. Commands say which side answers them, and clients which side they reach, so
/// that a call in the wrong direction does not compile. There are two: [`Region`] and [`Cluster`].
pub trait Role: Copy + Default + Send + Sync + 'static {
    /// The role's name as it stands in logs and descriptions.
    const NAME: RoleName;
}

/// The role of a region process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Region;

/// The role of a cluster process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Cluster;

impl Role for Region {
    const NAME: RoleName = RoleName::Region;
}

impl Role for Cluster {
    const NAME: RoleName = RoleName::Cluster;
}

/// A [`Role`] as a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[expect(clippy::exhaustive_enums, reason = "the mesh has two sides")]
pub enum RoleName {
    /// See [`Region`].
    Region,
    /// See [`Cluster`].
    Cluster,
}

impl RoleName {
    /// `region` or `cluster`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Region => "region",
            Self::Cluster => "cluster",
        }
    }
}

impl core::fmt::Display for RoleName {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str(self.as_str())
    }
}
