//! Which addresses a connection may go to: what its owner may reach anyway, and what the operator
//! allows. A URL that somebody else wrote must not reach what only this machine can.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::IpNet;

/// What may be reached without being listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// Public addresses.
    Public,
    /// Private ones too, but neither this machine nor what a cloud tells its machines.
    Private,
}

/// What may be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guard {
    /// Without being listed.
    pub reach: Reach,
    /// Listed.
    pub allow: Vec<IpNet>,
    /// This machine.
    pub loopback: bool,
    /// A host that is written as an address, or as `localhost`, is meant: the operator wrote it.
    pub literal: bool,
}

impl Guard {
    /// Whether a connection for `host` may go to `address`.
    pub fn permits(&self, host: &str, address: IpAddr) -> bool {
        // `::ffff:127.0.0.1` reaches 127.0.0.1.
        let address = address.to_canonical();
        is_public(address)
            || (self.reach == Reach::Private && is_private(address))
            || (self.loopback && address.is_loopback())
            || self.allow.iter().any(|range| range.contains(&address))
            || (self.literal && is_meant(host, address))
    }
}

/// Whether `host` says nothing but `address`.
fn is_meant(host: &str, address: IpAddr) -> bool {
    let literal = host.trim_start_matches('[').trim_end_matches(']');
    match literal.parse::<IpAddr>() {
        Ok(written) => written.to_canonical() == address,
        Err(_) => host.eq_ignore_ascii_case("localhost") && address.is_loopback(),
    }
}

/// Networks of one's own, but for the addresses at which clouds hand out credentials.
fn is_private(address: IpAddr) -> bool {
    const METADATA_V4: Ipv4Addr = Ipv4Addr::new(100, 100, 100, 200);
    match address {
        IpAddr::V4(address) => {
            let [a, b, ..] = address.octets();
            let shared = a == 100 && (64..=127).contains(&b);
            (address.is_private() || shared) && address != METADATA_V4
        }
        IpAddr::V6(address) => {
            let metadata = matches!(address.segments(), [0xfd00, 0xec2, ..] | [0xfd20, 0xce, ..]);
            address.is_unique_local() && !metadata
        }
    }
}

fn is_public(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => is_public_v4(address),
        IpAddr::V6(address) => is_public_v6(address),
    }
}

/// By IANA's registry of special-purpose addresses.
fn is_public_v4(address: Ipv4Addr) -> bool {
    let [a, b, c, _] = address.octets();
    let special = match (a, b, c) {
        // This network, private ones, loopback, multicast and what is reserved.
        (0 | 10 | 127 | 224..=255, ..) => true,
        // Shared by a carrier's customers, where a cloud also has its metadata.
        (100, 64..=127, _) => true,
        // Link-local; metadata too.
        (169, 254, _) => true,
        (172, 16..=31, _) | (192, 168, _) => true,
        // Protocol assignments, examples, old 6to4 relays, benchmarks.
        (192, 0, 0 | 2) | (192, 88, 99) => true,
        (198, 18 | 19, _) | (198, 51, 100) | (203, 0, 113) => true,
        // A cloud's host, public by its number only.
        (168, 63, 129) => address.octets()[3] == 16,
        _ => false,
    };
    !special
}

/// Of IPv6 only what is handed out for the internet, and what is translated to IPv4 by its own
/// rules.
fn is_public_v6(address: Ipv6Addr) -> bool {
    let [a, b, c, d, e, f, g, h] = address.segments();
    match (a, b) {
        // NAT64: what it is translated to counts (RFC 6052).
        (0x64, 0xff9b) if [c, d, e, f] == [0; 4] => {
            let [[a, b], [c, d]] = [g.to_be_bytes(), h.to_be_bytes()];
            is_public_v4(Ipv4Addr::new(a, b, c, d))
        }
        // Protocol assignments, Teredo among them; examples; 6to4, which hides an IPv4 address.
        (0x2001, 0..=0x1ff | 0xdb8) | (0x2002, _) | (0x3fff, 0..=0xfff) => false,
        (0x2000..=0x3fff, _) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn guard(allow: &[&str]) -> Guard {
        Guard {
            reach: Reach::Public,
            allow: allow.iter().map(|range| range.parse().unwrap()).collect(),
            loopback: false,
            literal: false,
        }
    }

    const PRIVATE: [&str; 40] = [
        "0.0.0.0",
        "0.1.2.3",
        "10.0.0.1",
        "10.255.255.255",
        "100.64.0.1",
        "100.100.100.200",
        "100.127.255.255",
        "127.0.0.1",
        "127.255.255.254",
        "168.63.129.16",
        "169.254.0.1",
        "169.254.169.254",
        "172.16.0.1",
        "172.31.255.255",
        "192.0.0.192",
        "192.0.2.1",
        "192.168.0.1",
        "198.18.0.1",
        "198.51.100.1",
        "203.0.113.1",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "::",
        "::1",
        "::127.0.0.1",
        "::ffff:127.0.0.1",
        "::ffff:10.0.0.1",
        "::ffff:169.254.169.254",
        "64:ff9b::7f00:1",
        "64:ff9b::a9fe:a9fe",
        "64:ff9b:1::1",
        "2001::1",
        "2001:db8::1",
        "2002:7f00:1::",
        "fc00::1",
        "fd00:ec2::254",
        "fe80::1",
        "ff02::1",
    ];

    #[test]
    fn what_is_not_public_is_refused() {
        for address in PRIVATE {
            assert!(
                !guard(&[]).permits("h", address.parse().unwrap()),
                "{address}"
            );
        }
        for address in [
            "1.1.1.1",
            "9.255.255.255",
            "100.63.255.255",
            "100.128.0.1",
            "168.63.129.17",
            "172.15.0.1",
            "172.32.0.1",
            "192.1.0.1",
            "223.255.255.255",
            "::ffff:1.1.1.1",
            "64:ff9b::101:101",
            "2001:4860:4860::8888",
            "2606:4700::1111",
        ] {
            assert!(
                guard(&[]).permits("h", address.parse().unwrap()),
                "{address}"
            );
        }
    }

    #[test]
    fn what_is_allowed_is_allowed_and_no_more() {
        let some = guard(&["10.1.0.0/16", "fd00::/8"]);
        for (address, permitted) in [
            ("10.1.2.3", true),
            ("::ffff:10.1.2.3", true),
            ("10.2.0.1", false),
            ("fd12::1", true),
            ("fc00::1", false),
            ("127.0.0.1", false),
        ] {
            assert_eq!(
                some.permits("h", address.parse().unwrap()),
                permitted,
                "{address}"
            );
        }
        let own = Guard {
            loopback: true,
            ..guard(&[])
        };
        for (address, permitted) in [
            ("127.0.0.1", true),
            ("::1", true),
            ("::ffff:127.0.0.1", true),
            ("0.0.0.0", false),
            ("10.0.0.1", false),
            ("169.254.169.254", false),
        ] {
            assert_eq!(
                own.permits("h", address.parse().unwrap()),
                permitted,
                "{address}"
            );
        }
    }

    #[test]
    fn an_upstream_may_be_private_but_not_this_machine_nor_metadata() {
        let upstream = Guard {
            reach: Reach::Private,
            ..guard(&[])
        };
        for address in [
            "10.0.0.1",
            "172.16.0.1",
            "192.168.0.1",
            "100.64.0.1",
            "fd12::1",
        ] {
            assert!(upstream.permits("h", address.parse().unwrap()), "{address}");
        }
        for address in [
            "0.0.0.0",
            "127.0.0.1",
            "169.254.169.254",
            "100.100.100.200",
            "168.63.129.16",
            "192.0.0.192",
            "224.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "64:ff9b::a9fe:a9fe",
            "fd00:ec2::254",
            "fd20:ce::254",
            "fe80::1",
            "ff02::1",
        ] {
            assert!(
                !upstream.permits("h", address.parse().unwrap()),
                "{address}"
            );
        }
    }

    #[test]
    fn only_what_the_operator_wrote_itself_is_meant() {
        let meant = Guard {
            literal: true,
            ..guard(&[])
        };
        for (host, address, permitted) in [
            ("127.0.0.1", "127.0.0.1", true),
            ("[::1]", "::1", true),
            ("localhost", "127.0.0.1", true),
            ("LocalHost", "::1", true),
            ("localhost", "10.0.0.1", false),
            ("127.0.0.1", "127.0.0.2", false),
            ("example.org", "127.0.0.1", false),
            ("localhost.example.org", "127.0.0.1", false),
            ("169.254.169.254", "169.254.169.254", true),
        ] {
            let address = address.parse().unwrap();
            assert_eq!(meant.permits(host, address), permitted, "{host} {address}");
            assert!(!guard(&[]).permits(host, address), "{host}");
        }
    }

    proptest! {
        #[test]
        fn no_spelling_of_an_ipv4_address_says_more_than_the_address(bits: u32) {
            let plain = Ipv4Addr::from_bits(bits);
            let permitted = guard(&[]).permits("h", plain.into());
            let [a, b, c, d] = plain.octets().map(u16::from);
            let (high, low) = (a << 8 | b, c << 8 | d);
            for spelled in [
                plain.to_ipv6_mapped(),
                Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, high, low),
            ] {
                prop_assert_eq!(guard(&[]).permits("h", spelled.into()), permitted);
            }
            for hidden in [plain.to_ipv6_compatible(), Ipv6Addr::new(0x2002, high, low, 0, 0, 0, 0, 1)] {
                prop_assert!(!guard(&[]).permits("h", hidden.into()));
            }
        }

        #[test]
        fn what_the_standard_library_calls_private_is_refused(bits: u32) {
            let address = Ipv4Addr::from_bits(bits);
            let private = address.is_private() || address.is_loopback() || address.is_link_local()
                || address.is_multicast() || address.is_broadcast() || address.is_unspecified()
                || address.is_documentation();
            prop_assert!(!private || !guard(&[]).permits("h", address.into()));
        }
    }
}
