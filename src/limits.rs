//! How much an address may do: deny and allow lists, rates, connections.

/// Ranges of addresses that are refused.
#[derive(Debug, Default)]
pub struct DenyList {}
