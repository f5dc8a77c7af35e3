//! ampmesh
