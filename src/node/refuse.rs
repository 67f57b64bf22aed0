//! Revocations and denied addresses: record → put in force → close.
//!
//! A session registers before its token is checked against the revocations in force; here a
//! revocation is in force before sessions are closed. Whichever comes first sees the other.

use ipnet::IpNet;

use super::{Node, NodeError, RevokeReport};
use crate::auth::{Revocation, RevocationTarget};
use crate::broker::{BrokerError, Denied, new_epoch};
use crate::clock::Now;
use crate::code::CloseCode;
use crate::event_log::{Details, EventKind};
use crate::hub::{SessionAction, SessionFilter, Tally};
use crate::session_id::SessionId;

/// Records and sessions that are read at a time.
const PAGE: usize = 1_000;
const CLOSE_REVOKED: SessionAction = SessionAction::Close(CloseCode::Revoked);
const CLOSE_DENIED: SessionAction = SessionAction::Close(CloseCode::Forbidden);

impl Node {
    /// Record → broadcast → close. With `dry_run` only counts. A session is looked up to learn
    /// its tokens, and every session on one of them goes with it.
    ///
    /// # Errors
    /// [`NodeError::NoSuchSession`]; the broker's refusal, and then nothing has happened.
    pub async fn revoke(
        &self,
        target: RevocationTarget,
        reason: &str,
        dry_run: bool,
    ) -> Result<RevokeReport, NodeError> {
        let target = match target {
            RevocationTarget::Session { session, .. } => self.find(session).await?,
            other => other,
        };
        let filter = filter(&target);
        if dry_run {
            return Ok(report(self.hub.act(filter, SessionAction::Count).await));
        }
        let session = match &target {
            RevocationTarget::Session { session, .. } => Some(*session),
            _ => None,
        };
        let now = Now::read().unix;
        let revocation = Revocation {
            id: format!("{}{}", new_epoch()?, new_epoch()?).into(),
            target,
            reason: reason.into(),
            created_at: now,
            expires_at: now.saturating_add(self.own.config.revocation_lifetime),
        };
        self.broker.revoke(revocation.clone()).await?;
        self.revocations.insert(&revocation);
        let details = Details {
            session,
            reason: Some(revocation.reason),
            ..Details::default()
        };
        self.hub.events().record(EventKind::Revoked, details);
        let mut tally = self.hub.act(filter, CLOSE_REVOKED).await;
        if let Some(session) = session {
            // It may have taken another token since it was looked up.
            let again = self.hub.act(one(session), CLOSE_REVOKED).await;
            tally.sessions = tally.sessions.max(again.sessions);
            tally.unanswered += again.unanswered;
        }
        Ok(report(tally))
    }

    /// Takes a revocation back: whether there was one. Sessions that it closed stay closed.
    ///
    /// # Errors
    /// The broker refused.
    pub async fn unrevoke(&self, id: &str) -> Result<bool, BrokerError> {
        let known = self.broker.unrevoke(id).await?;
        self.revocations.remove(id);
        Ok(known)
    }

    /// Revocations in force whose id follows `after`, in order of id.
    ///
    /// # Errors
    /// The broker refused.
    pub async fn revocations(
        &self,
        after: &str,
        limit: usize,
    ) -> Result<Vec<Revocation>, BrokerError> {
        self.broker.revocations(after, limit).await
    }

    /// Denies address ranges on every node and closes the sessions from there with 4003; returns
    /// how many. Addresses that the configuration exempts stay.
    ///
    /// # Errors
    /// The broker refused, and then nothing has happened.
    pub async fn deny(&self, denied: Vec<Denied>) -> Result<usize, BrokerError> {
        self.broker.deny(denied.clone()).await?;
        let mut addresses = Vec::with_capacity(denied.len());
        for row in denied {
            self.denied.set(row.range, &row.reason, row.expires_at);
            addresses.push(row.range);
            let details = Details {
                reason: Some(row.reason),
                ..Details::default()
            };
            self.hub.events().record(EventKind::Denied, details);
        }
        Ok(self.close_denied(addresses).await)
    }

    /// Takes ranges off again; returns those that were denied.
    ///
    /// # Errors
    /// The broker refused.
    pub async fn allow(&self, ranges: Vec<IpNet>) -> Result<Vec<IpNet>, BrokerError> {
        let allowed = self.broker.allow(ranges).await?;
        for range in &allowed {
            self.denied.remove(*range);
        }
        Ok(allowed)
    }

    /// The denied ranges, ordered by range.
    ///
    /// # Errors
    /// The broker refused.
    pub async fn denied(&self) -> Result<Vec<Denied>, BrokerError> {
        self.broker.denied().await
    }

    /// Puts what the broker remembers in force.
    pub(super) async fn restore(&self) -> Result<(), BrokerError> {
        let mut after = String::new();
        loop {
            let page = self.broker.revocations(&after, PAGE).await?;
            for revocation in &page {
                self.revocations.insert(revocation);
            }
            match page.last() {
                Some(last) if page.len() == PAGE => after = last.id.to_string(),
                _ => break,
            }
        }
        for row in self.broker.denied().await? {
            self.denied.set(row.range, &row.reason, row.expires_at);
        }
        Ok(())
    }

    /// The session with its tokens, as it is now.
    async fn find(&self, session: SessionId) -> Result<RevocationTarget, NodeError> {
        let (found, workers) = self.hub.list(one(session), None, 1).await;
        match found.first() {
            Some(info) => Ok(RevocationTarget::Session {
                session,
                tokens: info.tokens.clone(),
            }),
            None if workers > 0 => Err(NodeError::Unanswered { workers }),
            None => Err(NodeError::NoSuchSession),
        }
    }

    async fn close_denied(&self, addresses: Vec<IpNet>) -> usize {
        let filter = SessionFilter {
            addresses,
            ..SessionFilter::default()
        };
        let (mut refused, mut exempt, mut after) = (vec![], false, None);
        loop {
            let page = self.sessions(filter.clone(), after, PAGE).await;
            let Some(last) = page.last() else { break };
            after = Some(last.id);
            for session in &page {
                if self.denied.is_exempt(session.address) {
                    exempt = true;
                } else {
                    refused.push(session.id);
                }
            }
        }
        if !exempt {
            // Also those that came since; the list is only for telling them apart.
            return self.act(filter, CLOSE_DENIED).await;
        }
        let mut closed = 0;
        for session in refused {
            closed += self.act(one(session), CLOSE_DENIED).await;
        }
        closed
    }
}

/// The sessions that a target means.
fn filter(target: &RevocationTarget) -> SessionFilter {
    let any = SessionFilter::default();
    match target {
        RevocationTarget::Session { session, tokens } if tokens.is_empty() => one(*session),
        RevocationTarget::Session { tokens, .. } => SessionFilter {
            tokens: tokens.clone(),
            ..any
        },
        RevocationTarget::TokenId(id) => SessionFilter {
            token_id: Some(id.clone()),
            ..any
        },
        RevocationTarget::Subject {
            subject,
            issued_until,
        } => SessionFilter {
            subject: Some(subject.clone()),
            issued_until: Some(*issued_until),
            ..any
        },
    }
}

fn one(session: SessionId) -> SessionFilter {
    SessionFilter {
        session: Some(session),
        ..SessionFilter::default()
    }
}

/// One node there is: this one.
fn report(tally: Tally) -> RevokeReport {
    RevokeReport {
        sessions: tally.sessions,
        nodes_confirmed: usize::from(tally.unanswered == 0),
        nodes_total: 1,
    }
}
