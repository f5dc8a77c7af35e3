//! Tests of more than one module, by what they are about.

mod wire;
