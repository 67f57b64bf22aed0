//! Tests of jwk.
