//! The tables of the registry's file.

use crate::registry::sqlite_file::Layout;

/// What is in the file is true for seconds: nothing has to wait for a disk.
pub(super) const LAYOUT: Layout = Layout { migrations: &MIGRATIONS, synchronous: "normal" };

/// The versions of the schema, oldest first: each entry brings a database from the version before.
const MIGRATIONS: [&str; 2] = [
    "
    CREATE TABLE regions (
        id TEXT PRIMARY KEY,
        name TEXT NOT NULL,
        addresses TEXT NOT NULL,
        version TEXT NOT NULL,
        started_ms INTEGER NOT NULL,
        seen_ms INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE links (
        region TEXT NOT NULL REFERENCES regions (id) ON DELETE CASCADE,
        cluster TEXT NOT NULL,
        cluster_name TEXT NOT NULL,
        cluster_version TEXT,
        address TEXT NOT NULL,
        round_trip_us INTEGER,
        since_ms INTEGER NOT NULL,
        PRIMARY KEY (region, cluster)
    ) STRICT, WITHOUT ROWID;
    ",
    // `seen_ms` is by the lease clock from here on, which counts from the start of the machine.
    "
    DELETE FROM regions;
    ALTER TABLE regions ADD COLUMN boot TEXT NOT NULL DEFAULT '';
    ",
];
