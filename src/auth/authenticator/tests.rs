//! Tests of authenticator.
