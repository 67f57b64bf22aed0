//! The memory broker: one node, nothing else needed.

/// Settings of the memory broker.
#[derive(Debug, Clone, Default)]
pub struct MemoryConfig {}

/// The memory broker.
#[derive(Debug)]
pub struct MemoryBroker {}
