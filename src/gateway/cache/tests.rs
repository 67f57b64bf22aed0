//! The cache as a whole, over an upstream whose answers the tests hold back.

mod keeping;
mod property;
mod races;
mod said;
mod support;
