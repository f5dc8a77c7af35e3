//! mesh-harness
