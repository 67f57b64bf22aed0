//! How much an address may do: deny and allow lists, rates, connections.

/// Ranges of addresses that are refused.
#[derive(Debug, Default)]
pub struct DenyList {}

/// A connection's slot among its address's; dropping it gives the slot back.
#[derive(Debug, Default)]
pub struct ConnectionPermit {}
