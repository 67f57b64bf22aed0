//! Addresses as limits see them: IPv4 in one form, IPv6 by its /64.

use std::net::{IpAddr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net};

/// What limits are kept by: an IPv4 address (also when it comes as `::ffff:a.b.c.d`), or the /64
/// that an IPv6 address is in, since whoever has one usually has them all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AddressKey {
    /// An IPv4 address.
    V4(u32),
    /// The upper half of an IPv6 address.
    V6(u64),
}

impl AddressKey {
    /// The key of `address`.
    pub fn of(address: IpAddr) -> Self {
        match normalise(address) {
            IpAddr::V4(address) => Self::V4(address.to_bits()),
            IpAddr::V6(address) => Self::V6((address.to_bits() >> 64) as u64),
        }
    }
}

/// `address`, an IPv4-mapped IPv6 address as the IPv4 address that it is.
pub fn normalise(address: IpAddr) -> IpAddr {
    address.to_canonical()
}

/// `range` without host bits, an IPv4-mapped one as IPv4. (A wider IPv6 range, `::/0` say, means
/// IPv6 addresses only.)
pub fn normalise_range(range: IpNet) -> IpNet {
    const MAPPED_BITS: u8 = 96;
    let range = range.trunc();
    let IpNet::V6(v6) = range else { return range };
    let mapped = Ipv6Addr::to_ipv4_mapped(&v6.addr());
    match (mapped, v6.prefix_len().checked_sub(MAPPED_BITS)) {
        (Some(address), Some(prefix)) => Ipv4Net::new(address, prefix).map_or(range, IpNet::V4),
        _ => range,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(text: &str) -> AddressKey {
        AddressKey::of(text.parse().unwrap())
    }

    #[test]
    fn mapped_addresses_are_ipv4() {
        assert_eq!(key("::ffff:192.0.2.7"), key("192.0.2.7"));
        assert_ne!(key("::192.0.2.7"), key("192.0.2.7"));
    }

    #[test]
    fn ipv6_counts_by_its_64() {
        assert_eq!(key("2001:db8:1:2::1"), key("2001:db8:1:2:ffff::9"));
        assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
    }

    #[test]
    fn ranges_are_normalised() {
        for (given, normal) in [
            ("10.1.2.3/8", "10.0.0.0/8"),
            ("::ffff:10.1.2.3/104", "10.0.0.0/8"),
            ("::ffff:10.1.2.3/128", "10.1.2.3/32"),
            ("::ffff:0.0.0.0/96", "0.0.0.0/0"),
            ("::/0", "::/0"),
            ("2001:db8::1/32", "2001:db8::/32"),
        ] {
            let range: IpNet = given.parse().unwrap();
            assert_eq!(normalise_range(range).to_string(), normal, "{given}");
        }
    }
}
