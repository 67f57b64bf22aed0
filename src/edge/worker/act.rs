//! What the node asks of a worker's sessions: lists, and actions on those that match. To subscribe
//! and to send wait for a busy session; an end does not: see `end`.

use std::ops::Bound;
use std::time::Duration;

use super::Worker;
use super::client::Phase;
use crate::code::CloseCode;
use crate::hub::{SessionAction, SessionFilter, SessionInfo};
use crate::session_id::SessionId;

/// Most actions that wait for a busy session.
const MAX_DEFERRED: usize = 64;

impl Worker {
    /// Sessions that match, in order of id, beyond `after`.
    pub(super) fn list(
        &self,
        filter: &SessionFilter,
        after: Option<SessionId>,
        limit: usize,
    ) -> Vec<SessionInfo> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        self.by_id
            .range((from, Bound::Unbounded))
            .filter_map(|(_, key)| {
                let client = &self.clients[*key as usize];
                let session = client
                    .session
                    .as_ref()
                    .filter(|session| session.matches(filter))?;
                let mailbox_bytes = client.waiting_bytes();
                Some(SessionInfo {
                    mailbox_bytes,
                    ..session.info()
                })
            })
            .take(limit)
            .collect()
    }

    /// Does `action` to every session that matches and returns how many took it.
    pub(super) fn act(&mut self, filter: &SessionFilter, action: &SessionAction) -> usize {
        let keys: Vec<u32> = match &filter.session {
            Some(id) => self.by_id.get(id).copied().into_iter().collect(),
            None => self.by_id.values().copied().collect(),
        };
        let matching = keys
            .into_iter()
            .filter(|key| self.matches(*key, filter))
            .collect::<Vec<_>>();
        matching
            .into_iter()
            .filter(|key| self.act_on(*key, action))
            .count()
    }

    fn matches(&self, key: u32, filter: &SessionFilter) -> bool {
        let session = self
            .clients
            .get(key as usize)
            .and_then(|client| client.session.as_ref());
        session.is_some_and(|session| session.matches(filter))
    }

    /// Does `action` to one session, or lets it wait until the session is free.
    pub(super) fn act_on(&mut self, key: u32, action: &SessionAction) -> bool {
        let Some(client) = self.clients.get_mut(key as usize) else {
            return false;
        };
        if client.session.is_none() {
            return false;
        }
        match action {
            SessionAction::Count => return true,
            SessionAction::Close(code) => {
                self.close(key, *code);
                return true;
            }
            SessionAction::Unsubscribe(channel, reason) => {
                return self.unsubscribe(key, channel, reason);
            }
            SessionAction::Subscribe(..) | SessionAction::Send { .. } => {}
        }
        if let Some(operation) = &mut client.operation {
            let room = operation.deferred.len() < MAX_DEFERRED;
            if room {
                operation.deferred.push_back(action.clone());
            }
            return room;
        }
        let Some(session) = &mut client.session else {
            return false;
        };
        let out = &mut self.effects;
        let taken = match action {
            SessionAction::Subscribe(channel) => {
                session.server_subscribe(channel.clone(), self.now, out)
            }
            SessionAction::Send { event, data } => {
                session.server_send(event, data, out);
                true
            }
            SessionAction::Count | SessionAction::Close(_) | SessionAction::Unsubscribe(..) => true,
        };
        self.carry_out(key);
        taken
    }

    /// Tells every session to go, and when; those that stay are closed then. The times are spread
    /// evenly over `period`, so that the clients come to the other nodes one by one.
    pub(super) fn drain(&mut self, period: Duration) {
        let now = self.now.instant;
        let keys: Vec<u32> = self.by_id.values().copied().collect();
        let count = u32::try_from(keys.len()).unwrap_or(u32::MAX).max(1);
        for (place, key) in (0..).zip(keys) {
            let pause = period / count * place;
            let Some(client) = self.clients.get_mut(key as usize) else {
                continue;
            };
            if client.phase != Phase::Open {
                continue;
            }
            client.drain_at = Some(now + pause);
            if let Some(session) = &mut client.session {
                session.drain(pause, &mut self.effects);
            }
            self.carry_out(key);
            if pause.is_zero() {
                self.close(key, CloseCode::Draining);
            }
        }
    }
}
