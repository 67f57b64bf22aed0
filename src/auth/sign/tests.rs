//! Tests of sign.
