//! Keys and tokens for tests.
