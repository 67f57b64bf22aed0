//! A map from address ranges, quick to search when there are thousands: a table for each prefix
//! length in use, so a lookup costs one probe a length and not one a range.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::address::{normalise, normalise_range};

/// Ranges, each with a value. Ranges and addresses are normalised on the way in.
#[derive(Debug)]
pub(super) struct Ranges<T> {
    v4: BTreeMap<u8, HashMap<u32, T>>,
    v6: BTreeMap<u8, HashMap<u128, T>>,
}

impl<T> Default for Ranges<T> {
    fn default() -> Self {
        Self {
            v4: BTreeMap::new(),
            v6: BTreeMap::new(),
        }
    }
}

impl<T> Ranges<T> {
    /// Whether some range holds `address` with a value that `counts`.
    pub(super) fn any(&self, address: IpAddr, counts: impl Fn(&T) -> bool) -> bool {
        match normalise(address) {
            IpAddr::V4(address) => self.v4.iter().any(|(length, table)| {
                let bits = address.to_bits() & mask_v4(*length);
                table.get(&bits).is_some_and(&counts)
            }),
            IpAddr::V6(address) => self.v6.iter().any(|(length, table)| {
                let bits = address.to_bits() & mask_v6(*length);
                table.get(&bits).is_some_and(&counts)
            }),
        }
    }

    pub(super) fn insert(&mut self, range: IpNet, value: T) {
        match normalise_range(range) {
            IpNet::V4(range) => {
                let table = self.v4.entry(range.prefix_len()).or_default();
                table.insert(range.addr().to_bits(), value);
            }
            IpNet::V6(range) => {
                let table = self.v6.entry(range.prefix_len()).or_default();
                table.insert(range.addr().to_bits(), value);
            }
        }
    }

    pub(super) fn remove(&mut self, range: IpNet) -> Option<T> {
        let removed = match normalise_range(range) {
            IpNet::V4(range) => {
                let table = self.v4.get_mut(&range.prefix_len())?;
                table.remove(&range.addr().to_bits())
            }
            IpNet::V6(range) => {
                let table = self.v6.get_mut(&range.prefix_len())?;
                table.remove(&range.addr().to_bits())
            }
        };
        self.drop_empty_tables();
        removed
    }

    pub(super) fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        for table in self.v4.values_mut() {
            table.retain(|_, value| keep(value));
        }
        for table in self.v6.values_mut() {
            table.retain(|_, value| keep(value));
        }
        self.drop_empty_tables();
    }

    /// Every range, in no order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (IpNet, &T)> {
        let v4 = self.v4.iter().flat_map(|(length, table)| {
            table.iter().filter_map(|(bits, value)| {
                let range = Ipv4Net::new(Ipv4Addr::from_bits(*bits), *length).ok()?;
                Some((IpNet::V4(range), value))
            })
        });
        let v6 = self.v6.iter().flat_map(|(length, table)| {
            table.iter().filter_map(|(bits, value)| {
                let range = Ipv6Net::new(Ipv6Addr::from_bits(*bits), *length).ok()?;
                Some((IpNet::V6(range), value))
            })
        });
        v4.chain(v6)
    }

    fn drop_empty_tables(&mut self) {
        self.v4.retain(|_, table| !table.is_empty());
        self.v6.retain(|_, table| !table.is_empty());
    }
}

impl<T: Default> FromIterator<IpNet> for Ranges<T> {
    fn from_iter<I: IntoIterator<Item = IpNet>>(ranges: I) -> Self {
        let mut map = Self::default();
        for range in ranges {
            map.insert(range, T::default());
        }
        map
    }
}

fn mask_v4(length: u8) -> u32 {
    u32::MAX
        .checked_shl(32 - u32::from(length.min(32)))
        .unwrap_or(0)
}

fn mask_v6(length: u8) -> u128 {
    u128::MAX
        .checked_shl(128 - u32::from(length.min(128)))
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn finds_what_a_plain_search_finds(
            ranges in prop::collection::vec((any::<IpAddr>(), 0_u8..=128), 0..20),
            addresses in prop::collection::vec(any::<IpAddr>(), 0..20),
        ) {
            let ranges: Vec<IpNet> = ranges
                .into_iter()
                .map(|(address, length)| {
                    let most = if address.is_ipv4() { 32 } else { 128 };
                    IpNet::new(address, length.min(most)).unwrap()
                })
                .collect();
            let map: Ranges<()> = ranges.iter().copied().collect();
            let inside = ranges.iter().map(IpNet::addr);
            for address in addresses.into_iter().chain(inside) {
                let plain = ranges
                    .iter()
                    .any(|range| normalise_range(*range).contains(&normalise(address)));
                prop_assert_eq!(map.any(address, |()| true), plain);
            }
        }

        #[test]
        fn what_is_removed_is_gone(address in any::<IpAddr>(), length in 0_u8..=32) {
            let range = IpNet::new(address, length).unwrap();
            let mut map: Ranges<()> = [range].into_iter().collect();
            prop_assert_eq!(map.iter().count(), 1);
            prop_assert!(map.remove(range).is_some());
            prop_assert!(map.remove(range).is_none());
            prop_assert!(!map.any(address, |()| true));
            prop_assert!(map.v4.is_empty() && map.v6.is_empty());
        }
    }
}
