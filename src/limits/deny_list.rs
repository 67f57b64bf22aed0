//! Addresses that are refused, by configuration or by the firewall, and those exempt from it.
//! The firewall's ranges are bounded by the broker, which records them first.

use std::net::IpAddr;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::time::Duration;

use ipnet::IpNet;

use super::address::normalise_range;
use super::ranges::Ranges;
use crate::clock::Now;

/// Ranges of addresses that are refused. What the configuration allows is never denied.
#[derive(Debug, Default)]
pub struct DenyList(RwLock<Lists>);

#[derive(Debug, Default)]
struct Lists {
    exempt: Ranges<()>,
    configured: Ranges<()>,
    denied: Ranges<Denial>,
}

#[derive(Debug)]
struct Denial {
    reason: Box<str>,
    expires_at: Option<Duration>,
}

/// A range that the firewall denies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeniedRange {
    /// The range, normalised.
    pub range: IpNet,
    /// Why.
    pub reason: Box<str>,
    /// When it ends, since the Unix epoch; `None`: when it is removed.
    pub expires_at: Option<Duration>,
}

impl DenyList {
    /// Replaces what the configuration denies and exempts.
    pub fn configure(&self, deny: &[IpNet], allow: &[IpNet]) {
        let mut lists = self.write();
        lists.configured = deny.iter().copied().collect();
        lists.exempt = allow.iter().copied().collect();
    }

    /// Whether the configuration exempts `address` from denials and limits.
    pub fn is_exempt(&self, address: IpAddr) -> bool {
        self.read().exempt.any(address, |()| true)
    }

    /// Whether `address` is refused.
    pub fn is_denied(&self, address: IpAddr, now: Now) -> bool {
        let lists = self.read();
        let denied = lists.configured.any(address, |()| true)
            || lists.denied.any(address, |denial| denial.holds(now));
        denied && !lists.exempt.any(address, |()| true)
    }

    /// Denies `range` until `expires_at` (since the Unix epoch); replaces an earlier denial of the
    /// same range.
    pub fn set(&self, range: IpNet, reason: &str, expires_at: Option<Duration>) {
        let denial = Denial {
            reason: reason.into(),
            expires_at,
        };
        self.write().denied.insert(range, denial);
    }

    /// Takes `range` off again: whether it was on. What the configuration denies stays.
    pub fn remove(&self, range: IpNet) -> bool {
        self.write().denied.remove(range).is_some()
    }

    /// What [`Self::set`] put on and still holds, ordered by range.
    pub fn list(&self, now: Now) -> Vec<DeniedRange> {
        let lists = self.read();
        let holding = lists.denied.iter().filter(|(_, denial)| denial.holds(now));
        let mut ranges: Vec<_> = holding
            .map(|(range, denial)| DeniedRange {
                range: normalise_range(range),
                reason: denial.reason.clone(),
                expires_at: denial.expires_at,
            })
            .collect();
        ranges.sort_unstable_by_key(|denied| denied.range);
        ranges
    }

    /// Forgets denials that have ended.
    pub fn sweep(&self, now: Now) {
        let ended = |denial: &Denial| !denial.holds(now);
        // Looked for under the shared lock first, so that the usual sweep stops no connection.
        if self.read().denied.iter().any(|(_, denial)| ended(denial)) {
            self.write().denied.retain(|denial| !ended(denial));
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Lists> {
        self.0.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Lists> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Denial {
    fn holds(&self, now: Now) -> bool {
        self.expires_at.is_none_or(|end| now.unix < end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Now {
        Now {
            unix: Duration::from_secs(seconds),
            ..Now::read()
        }
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn net(text: &str) -> IpNet {
        text.parse().unwrap()
    }

    #[test]
    fn a_denial_ends_at_its_time_or_when_removed() {
        let list = DenyList::default();
        list.set(net("10.0.0.0/8"), "scraper", Some(Duration::from_secs(100)));
        list.set(net("2001:db8::/32"), "", None);
        assert!(list.is_denied(ip("10.9.9.9"), at(99)));
        assert!(list.is_denied(ip("::ffff:10.9.9.9"), at(99)));
        assert!(!list.is_denied(ip("10.9.9.9"), at(100)));
        assert!(!list.is_denied(ip("11.0.0.0"), at(99)));
        assert!(list.is_denied(ip("2001:db8::1"), at(1_000)));
        assert!(list.remove(net("2001:db8::/32")));
        assert!(!list.remove(net("2001:db8::/32")));
        assert!(!list.is_denied(ip("2001:db8::1"), at(1_000)));
    }

    #[test]
    fn mapped_ranges_deny_ipv4() {
        let list = DenyList::default();
        list.set(net("::ffff:192.0.2.0/120"), "", None);
        assert!(list.is_denied(ip("192.0.2.200"), at(0)));
        assert!(list.remove(net("192.0.2.0/24")));
    }

    #[test]
    fn a_narrow_denial_that_ended_does_not_hide_a_wide_one() {
        let list = DenyList::default();
        list.set(net("192.0.2.0/24"), "", None);
        list.set(net("192.0.2.7/32"), "", Some(Duration::from_secs(1)));
        assert!(list.is_denied(ip("192.0.2.7"), at(50)));
    }

    #[test]
    fn the_configuration_is_apart() {
        let list = DenyList::default();
        list.configure(
            &[net("192.0.2.0/24")],
            &[net("192.0.2.7/32"), net("10.0.0.0/8")],
        );
        list.set(net("0.0.0.0/0"), "all", None);
        assert!(list.is_denied(ip("192.0.2.8"), at(0)));
        assert!(
            !list.is_denied(ip("192.0.2.7"), at(0)),
            "allowed beats denied"
        );
        assert!(!list.is_denied(ip("10.1.1.1"), at(0)));
        assert!(list.is_exempt(ip("10.1.1.1")));
        assert!(list.remove(net("0.0.0.0/0")));
        assert!(!list.remove(net("192.0.2.0/24")), "not the firewall's");
        assert!(list.is_denied(ip("192.0.2.8"), at(0)));
        list.configure(&[], &[]);
        assert!(!list.is_denied(ip("192.0.2.8"), at(0)));
    }

    #[test]
    fn lists_in_order_and_forgets_what_ended() {
        let list = DenyList::default();
        list.set(net("192.0.2.0/24"), "b", Some(Duration::from_secs(10)));
        list.set(net("10.1.0.0/8"), "a", None);
        let reasons = |now| {
            list.list(now)
                .iter()
                .map(|d| d.reason.to_string())
                .collect::<String>()
        };
        assert_eq!(reasons(at(9)), "ab");
        assert_eq!(reasons(at(10)), "a");
        list.sweep(at(10));
        assert_eq!(reasons(at(9)), "a");
        assert_eq!(list.list(at(9))[0].range, net("10.0.0.0/8"));
    }

    #[test]
    fn thousands_of_ranges_are_quick_to_ask() {
        let list = DenyList::default();
        for n in 0..20_000_u32 {
            let address = std::net::Ipv4Addr::from_bits(0x0A00_0000 + n * 7);
            list.set(IpNet::new(address.into(), 32).unwrap(), "", None);
        }
        let before = std::time::Instant::now();
        for _ in 0..10_000 {
            assert!(!list.is_denied(ip("192.0.2.1"), at(0)));
        }
        // 200 million comparisons, were they searched one by one.
        assert!(before.elapsed() < Duration::from_secs(1));
    }
}
