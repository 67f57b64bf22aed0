//! How much an address may do: deny and allow lists, rates, connections. Everything is kept by
//! [`AddressKey`] and bounded; what is refused here is counted here (`pogo_rate_limited_total`).

mod address;
mod connections;
mod deny_list;
mod forwarded;
mod ranges;
mod rate;

use std::net::IpAddr;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use ipnet::IpNet;
use prometheus_client::metrics::counter::Counter;

pub use address::{AddressKey, normalise, normalise_range};
pub use connections::ConnectionPermit;
pub use deny_list::{DeniedRange, DenyList};
pub use forwarded::{Conflict, TrustedProxies};

use crate::clock::Now;
use crate::metrics::{Metrics, WhatLabel};
use connections::Connections;
use rate::Rate;

/// What an address may do. An IPv6 address counts with its whole /64.
#[derive(Debug, Clone)]
pub struct Config {
    /// New connections.
    pub connects: RateConfig,
    /// Commands of all its sessions.
    pub commands: RateConfig,
    /// Tokens that were refused.
    pub failed_tokens: RateConfig,
    /// Plain HTTP requests.
    pub requests: RateConfig,
    /// Connections open at a time.
    pub connections: NonZeroU32,
    /// Ranges that are refused.
    pub deny: Vec<IpNet>,
    /// Ranges that are exempt from every limit and from every denial.
    pub allow: Vec<IpNet>,
    /// Most addresses that each rate remembers; those beyond share one allowance.
    pub max_tracked_addresses: NonZeroUsize,
    /// How often addresses that have their whole allowance again are forgotten.
    pub sweep_interval: Duration,
}

/// A rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateConfig {
    /// In the long run.
    pub per_second: NonZeroU32,
    /// At once, after a quiet time.
    pub burst: NonZeroU32,
}

impl RateConfig {
    /// `per_second` in the long run, `burst` at once; zeros count as one.
    pub const fn new(per_second: u32, burst: u32) -> Self {
        const fn at_least_one(n: u32) -> NonZeroU32 {
            match NonZeroU32::new(n) {
                Some(n) => n,
                None => NonZeroU32::MIN,
            }
        }
        Self {
            per_second: at_least_one(per_second),
            burst: at_least_one(burst),
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            connects: RateConfig::new(20, 100),
            commands: RateConfig::new(100, 500),
            failed_tokens: RateConfig::new(1, 20),
            requests: RateConfig::new(50, 200),
            connections: NonZeroU32::new(1_000).unwrap_or(NonZeroU32::MAX),
            deny: Vec::new(),
            allow: Vec::new(),
            max_tracked_addresses: NonZeroUsize::new(100_000).unwrap_or(NonZeroUsize::MAX),
            sweep_interval: Duration::from_secs(10),
        }
    }
}

/// Why a connection is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The address is denied.
    #[error("the address is denied")]
    Denied,
    /// It connects too often.
    #[error("the address connects too often; again in {0:?}")]
    TooFast(Duration),
    /// It has too many connections.
    #[error("the address has too many connections")]
    TooMany,
}

/// The limits in force.
#[derive(Debug)]
pub struct Limits {
    rates: ArcSwap<Rates>,
    connections: Arc<Connections>,
    most_connections: AtomicU32,
    denied: Arc<DenyList>,
    counters: Counters,
}

#[derive(Debug)]
struct Rates {
    connects: Arc<Rate>,
    commands: Arc<Rate>,
    failed_tokens: Arc<Rate>,
    requests: Arc<Rate>,
    sweep_interval: Duration,
}

#[derive(Debug)]
struct Counters {
    connects: Counter,
    connections: Counter,
    commands: Counter,
    failed_tokens: Counter,
    requests: Counter,
}

impl Limits {
    /// Puts `config` in force; its deny and allow ranges go into `denied`.
    pub fn new(config: &Config, denied: Arc<DenyList>, metrics: &Metrics) -> Self {
        denied.configure(&config.deny, &config.allow);
        metrics.set_bound("tracked_addresses", config.max_tracked_addresses.get());
        let counter = |what| {
            metrics
                .rate_limited
                .get_or_create(&WhatLabel { what })
                .clone()
        };
        Self {
            rates: ArcSwap::from_pointee(Rates::new(config, None)),
            connections: Arc::default(),
            most_connections: AtomicU32::new(config.connections.get()),
            denied,
            counters: Counters {
                connects: counter("connects"),
                connections: counter("connections"),
                commands: counter("commands"),
                failed_tokens: counter("failed_tokens"),
                requests: counter("requests"),
            },
        }
    }

    /// Puts another configuration in force. A rate that did not change keeps what it remembers;
    /// open connections stay and count.
    pub fn reload(&self, config: &Config) {
        self.denied.configure(&config.deny, &config.allow);
        self.most_connections
            .store(config.connections.get(), Ordering::Relaxed);
        let rates = Rates::new(config, Some(&self.rates.load()));
        self.rates.store(Arc::new(rates));
    }

    /// The deny list.
    pub fn denied(&self) -> &Arc<DenyList> {
        &self.denied
    }

    /// Lets a new connection from `address` in.
    ///
    /// # Errors
    /// It is denied, connects too often or has too many connections.
    pub fn admit(&self, address: IpAddr, now: Now) -> Result<ConnectionPermit, Refusal> {
        if self.denied.is_exempt(address) {
            return Ok(ConnectionPermit::exempt());
        }
        if self.denied.is_denied(address, now) {
            return Err(Refusal::Denied);
        }
        let key = AddressKey::of(address);
        if let Err(wait) = self.rates.load().connects.take(key) {
            self.counters.connects.inc();
            return Err(Refusal::TooFast(wait));
        }
        self.enter(key)
    }

    /// A place among the connections of `address`, for one that has been let in already.
    ///
    /// # Errors
    /// It has too many.
    pub fn connection(&self, address: IpAddr) -> Result<ConnectionPermit, Refusal> {
        if self.denied.is_exempt(address) {
            return Ok(ConnectionPermit::exempt());
        }
        self.enter(AddressKey::of(address))
    }

    fn enter(&self, key: AddressKey) -> Result<ConnectionPermit, Refusal> {
        let most = self.most_connections.load(Ordering::Relaxed);
        Connections::enter(&self.connections, key, most).ok_or_else(|| {
            self.counters.connections.inc();
            Refusal::TooMany
        })
    }

    /// Counts a connection from `address` that never came to a request.
    pub fn idle_connect(&self, address: IpAddr) {
        // It is over already; what it leaves is a smaller allowance.
        let _ = self.take(address, |rates| &rates.connects, &self.counters.connects);
    }

    /// Whether `address` connects or asks so often that its next connection would be refused.
    /// Takes nothing from its rates.
    pub fn is_over(&self, address: IpAddr) -> bool {
        if self.denied.is_exempt(address) {
            return false;
        }
        let (rates, key) = (self.rates.load(), AddressKey::of(address));
        rates.connects.peek(key).is_err() || rates.requests.peek(key).is_err()
    }

    /// Takes a command from `address`.
    ///
    /// # Errors
    /// How long to wait: it is over its rate.
    pub fn command(&self, address: IpAddr) -> Result<(), Duration> {
        self.take(address, |rates| &rates.commands, &self.counters.commands)
    }

    /// Takes a plain HTTP request from `address`.
    ///
    /// # Errors
    /// How long to wait: it is over its rate.
    pub fn request(&self, address: IpAddr) -> Result<(), Duration> {
        self.take(address, |rates| &rates.requests, &self.counters.requests)
    }

    /// Counts a token from `address` that was refused.
    ///
    /// # Errors
    /// How long to wait: it is over its rate.
    pub fn failed_token(&self, address: IpAddr) -> Result<(), Duration> {
        self.take(
            address,
            |rates| &rates.failed_tokens,
            &self.counters.failed_tokens,
        )
    }

    /// Whether `address` may present a token: asked before the token is checked, so that guessing
    /// costs the guesser only. Takes nothing from the rate.
    ///
    /// # Errors
    /// How long to wait: too many of its tokens were refused.
    pub fn may_present_token(&self, address: IpAddr) -> Result<(), Duration> {
        if self.denied.is_exempt(address) {
            return Ok(());
        }
        let answer = self
            .rates
            .load()
            .failed_tokens
            .peek(AddressKey::of(address));
        answer.inspect_err(|_| {
            self.counters.failed_tokens.inc();
        })
    }

    fn take(
        &self,
        address: IpAddr,
        rate: impl Fn(&Rates) -> &Arc<Rate>,
        refused: &Counter,
    ) -> Result<(), Duration> {
        if self.denied.is_exempt(address) {
            return Ok(());
        }
        rate(&self.rates.load())
            .take(AddressKey::of(address))
            .inspect_err(|_| {
                refused.inc();
            })
    }

    /// Forgets what need not be remembered: idle addresses, denials that have ended.
    pub fn sweep(&self, now: Now) {
        let rates = self.rates.load();
        for rate in [
            &rates.connects,
            &rates.commands,
            &rates.failed_tokens,
            &rates.requests,
        ] {
            rate.sweep();
        }
        self.denied.sweep(now);
    }

    /// Sweeps at the configured interval, for ever; drop the future to end it.
    pub async fn keep_swept(&self) {
        loop {
            let interval = self.rates.load().sweep_interval;
            tokio::time::sleep(interval).await;
            self.sweep(Now::read());
        }
    }
}

impl Rates {
    fn new(config: &Config, before: Option<&Self>) -> Self {
        let bound = config.max_tracked_addresses;
        let rate = |config: RateConfig, before: Option<&Arc<Rate>>| match before {
            Some(rate) if rate.is(config, bound) => Arc::clone(rate),
            _ => Arc::new(Rate::new(config, bound)),
        };
        Self {
            connects: rate(config.connects, before.map(|rates| &rates.connects)),
            commands: rate(config.commands, before.map(|rates| &rates.commands)),
            failed_tokens: rate(
                config.failed_tokens,
                before.map(|rates| &rates.failed_tokens),
            ),
            requests: rate(config.requests, before.map(|rates| &rates.requests)),
            sweep_interval: config.sweep_interval,
        }
    }
}

/// `wait` as `Retry-After` says it: whole seconds, rounded up, so that one who obeys is let in.
pub fn retry_seconds(wait: Duration) -> u64 {
    let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
    seconds.max(1)
}

#[cfg(test)]
mod tests;
