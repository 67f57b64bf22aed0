//! Tests of the core.

mod converge;
mod interleave;
mod losses;
mod outcome;
mod scenarios;
mod world;
