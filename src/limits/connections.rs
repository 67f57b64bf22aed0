//! How many connections each address has open. The map holds only addresses that have some, so
//! the bound on sessions and handshakes bounds it too.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::AddressKey;

#[derive(Debug, Default)]
pub(super) struct Connections(Mutex<HashMap<AddressKey, u32>>);

/// A connection's slot among its address's; dropping it gives the slot back.
#[derive(Debug)]
#[must_use = "dropping it gives the slot back"]
pub struct ConnectionPermit(Option<(Arc<Connections>, AddressKey)>);

impl Connections {
    /// A slot, unless `key` has `most` already.
    pub(super) fn enter(this: &Arc<Self>, key: AddressKey, most: u32) -> Option<ConnectionPermit> {
        let mut open = this.lock();
        let count = open.entry(key).or_insert(0);
        if *count >= most {
            return None;
        }
        *count += 1;
        drop(open);
        Some(ConnectionPermit(Some((Arc::clone(this), key))))
    }

    fn leave(&self, key: AddressKey) {
        if let Entry::Occupied(mut entry) = self.lock().entry(key) {
            *entry.get_mut() = entry.get().saturating_sub(1);
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<AddressKey, u32>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ConnectionPermit {
    /// A permit that counts nowhere, for exempt addresses.
    pub const fn exempt() -> Self {
        Self(None)
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        if let Some((connections, key)) = self.0.take() {
            connections.leave(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_come_back_and_nothing_is_left_behind() {
        let connections = Arc::<Connections>::default();
        let (one, other) = (AddressKey::V4(1), AddressKey::V4(2));
        let first = Connections::enter(&connections, one, 2).unwrap();
        let second = Connections::enter(&connections, one, 2).unwrap();
        assert!(Connections::enter(&connections, one, 2).is_none());
        let third = Connections::enter(&connections, other, 2).unwrap();
        drop(first);
        let first = Connections::enter(&connections, one, 2).unwrap();
        assert!(
            Connections::enter(&connections, one, 1).is_none(),
            "a lower bound counts at once"
        );
        drop((first, second, third));
        assert!(connections.lock().is_empty());
    }
}
