//! Limits as their callers see them.

use super::*;

fn limits(config: &Config) -> Limits {
    Limits::new(config, Arc::default(), &Metrics::new())
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn connections(most: u32) -> Config {
    Config {
        connections: NonZeroU32::new(most).unwrap(),
        ..Config::default()
    }
}

#[test]
fn connections_are_counted_by_64() {
    let limits = limits(&connections(2));
    let now = Now::read();
    let first = limits.admit(ip("2001:db8::1"), now).unwrap();
    let _second = limits.admit(ip("2001:db8::2"), now).unwrap();
    assert_eq!(
        limits.admit(ip("2001:db8::3"), now).unwrap_err(),
        Refusal::TooMany
    );
    assert!(limits.admit(ip("2001:db8:0:1::3"), now).is_ok());
    drop(first);
    assert!(limits.admit(ip("2001:db8::3"), now).is_ok());
}

#[test]
fn a_mapped_address_is_the_ipv4_address() {
    let limits = limits(&connections(1));
    let _permit = limits.admit(ip("::ffff:192.0.2.1"), Now::read()).unwrap();
    assert!(limits.admit(ip("192.0.2.1"), Now::read()).is_err());
}

#[test]
fn connects_over_the_rate_are_told_when() {
    let config = Config {
        connects: RateConfig::new(1, 3),
        ..Config::default()
    };
    let limits = limits(&config);
    let address = ip("192.0.2.1");
    for _ in 0..3 {
        drop(limits.admit(address, Now::read()).unwrap());
    }
    let Err(Refusal::TooFast(wait)) = limits.admit(address, Now::read()) else {
        panic!("let in");
    };
    assert!(wait <= Duration::from_secs(1));
}

#[test]
fn exempt_addresses_have_no_limits_and_denied_ones_no_entry() {
    let config = Config {
        connects: RateConfig::new(1, 1),
        commands: RateConfig::new(1, 1),
        deny: vec!["0.0.0.0/0".parse().unwrap()],
        allow: vec!["192.0.2.0/24".parse().unwrap()],
        ..connections(1)
    };
    let limits = limits(&config);
    let now = Now::read();
    let permits: Vec<_> = (0..5)
        .map(|_| limits.admit(ip("192.0.2.1"), now).unwrap())
        .collect();
    assert_eq!(permits.len(), 5);
    assert!((0..5).all(|_| limits.command(ip("192.0.2.1")).is_ok()));
    assert_eq!(
        limits.admit(ip("198.51.100.1"), now).unwrap_err(),
        Refusal::Denied
    );
    limits.reload(&connections(1));
    assert!(limits.admit(ip("198.51.100.1"), now).is_ok());
}

#[test]
fn failed_tokens_bar_the_address_that_sent_them() {
    let config = Config {
        failed_tokens: RateConfig::new(1, 3),
        ..Config::default()
    };
    let metrics = Metrics::new();
    let limits = Limits::new(&config, Arc::default(), &metrics);
    let guesser = ip("192.0.2.1");
    for _ in 0..3 {
        assert!(limits.may_present_token(guesser).is_ok());
        limits.failed_token(guesser).unwrap();
    }
    assert!(limits.may_present_token(guesser).is_err());
    assert!(limits.failed_token(guesser).is_err());
    assert!(limits.may_present_token(ip("192.0.2.2")).is_ok());
    let what = WhatLabel {
        what: "failed_tokens",
    };
    assert_eq!(metrics.rate_limited.get_or_create(&what).get(), 2);
}

#[test]
fn a_reload_changes_rates_and_keeps_what_it_can() {
    let config = |commands| Config {
        commands: RateConfig::new(1, commands),
        requests: RateConfig::new(1, 1),
        ..Config::default()
    };
    let limits = limits(&config(1));
    let address = ip("192.0.2.1");
    assert!(limits.command(address).is_ok() && limits.command(address).is_err());
    assert!(limits.request(address).is_ok());
    limits.reload(&config(5));
    assert!(limits.command(address).is_ok(), "a new rate begins anew");
    assert!(
        limits.request(address).is_err(),
        "one that did not change remembers"
    );
}
