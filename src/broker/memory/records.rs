//! Revocations, denied ranges, and endpoints that were put live.
//!
//! Invariants: the stores are bounded, and full is an error, never an eviction; where there is a
//! state file it holds a change before the change is answered, and a change that cannot be written
//! is not made.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use ipnet::IpNet;
use tokio::runtime::{Handle, RuntimeFlavor};

use super::bounds::MemoryConfig;
use super::lock;
use super::state_file::{StateError, StateFile};
use crate::auth::Revocation;
use crate::broker::{BrokerError, Denied};
use crate::resource::Endpoint;

/// Everything that is recorded.
#[derive(Debug, Clone, Default)]
pub(super) struct Records {
    pub(super) revocations: BTreeMap<Box<str>, Revocation>,
    pub(super) denied: BTreeMap<IpNet, Denied>,
    pub(super) endpoints: BTreeMap<Box<str>, Endpoint>,
}

impl Records {
    /// Whether it `fits`, if need be without what has expired.
    fn has_room(&mut self, now: Duration, fits: impl Fn(&Self) -> bool) -> bool {
        if !fits(self) {
            self.expire(now);
        }
        fits(self)
    }

    fn expire(&mut self, now: Duration) {
        self.revocations.retain(|_, record| record.expires_at > now);
        self.denied.retain(|_, denied| is_in_force(denied, now));
    }
}

fn is_in_force(denied: &Denied, now: Duration) -> bool {
    denied.expires_at.is_none_or(|end| end > now)
}

/// The records, in memory and in the file.
#[derive(Debug)]
pub(super) struct Store {
    records: Mutex<Records>,
    file: Option<StateFile>,
    /// Who writes the file.
    turn: Mutex<()>,
    max_revocations: usize,
    max_denied: usize,
    max_endpoints: usize,
}

impl Store {
    pub(super) fn open(config: &MemoryConfig, now: Duration) -> Result<Self, StateError> {
        let file = config.state.as_deref().map(StateFile::open).transpose()?;
        let mut records = match &file {
            Some(file) => file.read()?,
            None => Records::default(),
        };
        records.expire(now);
        Ok(Self {
            records: Mutex::new(records),
            file,
            turn: Mutex::default(),
            max_revocations: config.max_revocations,
            max_denied: config.max_denied,
            max_endpoints: config.max_endpoints,
        })
    }

    pub(super) fn revoke(&self, record: Revocation, now: Duration) -> Result<(), BrokerError> {
        let limit = self.max_revocations;
        self.change(|records| {
            let new = !records.revocations.contains_key(&record.id);
            if new && !records.has_room(now, |records| records.revocations.len() < limit) {
                return Err(BrokerError::Full {
                    what: "revocations",
                    limit,
                    setting: "broker.max_revocations",
                });
            }
            records.revocations.insert(record.id.clone(), record);
            Ok(())
        })
    }

    pub(super) fn unrevoke(&self, id: &str, now: Duration) -> Result<bool, BrokerError> {
        let in_force = |record: &Revocation| record.expires_at > now;
        if !self.records().revocations.get(id).is_some_and(in_force) {
            return Ok(false);
        }
        self.change(|records| Ok(records.revocations.remove(id).is_some()))
    }

    pub(super) fn revocations(&self, after: &str, limit: usize, now: Duration) -> Vec<Revocation> {
        let records = self.records();
        let following = (Bound::Excluded(after), Bound::Unbounded);
        let following = records.revocations.range::<str, _>(following);
        let in_force = following.filter(|(_, record)| record.expires_at > now);
        in_force
            .take(limit)
            .map(|(_, record)| record.clone())
            .collect()
    }

    pub(super) fn deny(&self, denied: Vec<Denied>, now: Duration) -> Result<(), BrokerError> {
        let limit = self.max_denied;
        self.change(|records| {
            let fits = |records: &Records| {
                let is_new = |row: &&Denied| !records.denied.contains_key(&row.range);
                records.denied.len() + denied.iter().filter(is_new).count() <= limit
            };
            if !records.has_room(now, fits) {
                return Err(BrokerError::Full {
                    what: "denied ranges",
                    limit,
                    setting: "broker.max_denied",
                });
            }
            let rows = denied.into_iter().map(|denied| (denied.range, denied));
            records.denied.extend(rows);
            Ok(())
        })
    }

    pub(super) fn allow(&self, ranges: &[IpNet], now: Duration) -> Result<Vec<IpNet>, BrokerError> {
        self.change(|records| {
            let taken_off = ranges.iter().filter(|range| {
                let row = records.denied.remove(*range);
                row.is_some_and(|row| is_in_force(&row, now))
            });
            Ok(taken_off.copied().collect())
        })
    }

    pub(super) fn denied(&self, now: Duration) -> Vec<Denied> {
        let records = self.records();
        let in_force = records.denied.values().filter(|row| is_in_force(row, now));
        in_force.cloned().collect()
    }

    pub(super) fn put_endpoint(&self, endpoint: Endpoint) -> Result<(), BrokerError> {
        let limit = self.max_endpoints;
        self.change(|records| {
            let new = !records.endpoints.contains_key(&endpoint.name);
            if new && records.endpoints.len() >= limit {
                return Err(BrokerError::Full {
                    what: "endpoints",
                    limit,
                    setting: "gateway.max_endpoints",
                });
            }
            records.endpoints.insert(endpoint.name.clone(), endpoint);
            Ok(())
        })
    }

    pub(super) fn delete_endpoint(&self, name: &str) -> Result<bool, BrokerError> {
        if !self.records().endpoints.contains_key(name) {
            return Ok(false);
        }
        self.change(|records| Ok(records.endpoints.remove(name).is_some()))
    }

    pub(super) fn endpoints(&self) -> Vec<Endpoint> {
        self.records().endpoints.values().cloned().collect()
    }

    /// Expired records leave the memory now and the file with the next change.
    pub(super) fn sweep(&self, now: Duration) {
        // While a change is being written the next round is early enough.
        if let Ok(_turn) = self.turn.try_lock() {
            self.records().expire(now);
        }
    }

    /// Makes one change, or none if it fails.
    fn change<T>(
        &self,
        change: impl FnOnce(&mut Records) -> Result<T, BrokerError>,
    ) -> Result<T, BrokerError> {
        let Some(file) = &self.file else {
            return change(&mut self.records());
        };
        blocking(|| {
            let _turn = lock(&self.turn);
            let mut next = self.records().clone();
            let answer = change(&mut next)?;
            file.write(&next)?;
            *self.records() = next;
            Ok(answer)
        })
    }

    fn records(&self) -> MutexGuard<'_, Records> {
        lock(&self.records)
    }
}

/// Writing takes milliseconds. On the control plane's runtime other tasks move to another thread
/// meanwhile; the call stays one poll, so that nobody can drop it between record and answer.
fn blocking<T>(work: impl FnOnce() -> T) -> T {
    match Handle::try_current().map(|handle| handle.runtime_flavor()) {
        Ok(RuntimeFlavor::MultiThread) => tokio::task::block_in_place(work),
        _ => work(),
    }
}
