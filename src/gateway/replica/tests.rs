//! Tests of the core.

mod converge;
mod interleave;
mod scenarios;
mod world;
