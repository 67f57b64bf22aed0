//! Between the domain's types and those of the wire, both ways. The only place that knows both.

use std::sync::Arc;
use std::time::Duration;

use prost_types::Timestamp;

use super::proto;
use crate::auth::{Revocation, RevocationTarget};
use crate::broker::{Accepted, ChannelState, Denied, Member, Retained};
use crate::channel::ChannelName;
use crate::event_log::LoggedEvent;
use crate::hub::SessionInfo;
use crate::node::Identity;
use crate::publication::{Epoch, Position, Publication};

/// A count on the wire; what does not fit is as good as the most.
pub(super) fn count(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

/// Time since the Unix epoch.
pub(super) fn timestamp(since_epoch: Duration) -> Timestamp {
    Timestamp {
        seconds: i64::try_from(since_epoch.as_secs()).unwrap_or(i64::MAX),
        // Less than a thousand million, so it fits.
        nanos: since_epoch.subsec_nanos().cast_signed(),
    }
}

/// Whole seconds since the Unix epoch; `None`: before it, or no time.
pub(super) fn unix_seconds(time: &Timestamp) -> Option<u64> {
    let whole = (0..1_000_000_000).contains(&time.nanos);
    u64::try_from(time.seconds).ok().filter(|_| whole)
}

pub(super) fn position(position: &Position) -> proto::Position {
    proto::Position {
        epoch: position.epoch.to_string(),
        offset: position.offset,
    }
}

pub(super) fn from_position(position: proto::Position) -> Position {
    Position {
        epoch: position.epoch.into(),
        offset: position.offset,
    }
}

pub(super) fn receipt(channel: &ChannelName, accepted: &Accepted) -> proto::Receipt {
    proto::Receipt {
        channel: channel.to_string(),
        position: accepted.position.as_ref().map(position),
        receivers: count(accepted.receivers),
        deduplicated: accepted.deduplicated,
    }
}

/// A channel with `subscribers` sessions; `state` is what the broker knows of it.
pub(super) fn channel(
    name: &ChannelName,
    subscribers: usize,
    state: Option<ChannelState>,
) -> proto::Channel {
    let mut channel = proto::Channel {
        name: name.to_string(),
        subscribers: count(subscribers),
        ..proto::Channel::default()
    };
    if let Some(state) = state {
        channel.position = state.position.as_ref().map(position);
        channel.presence_count = count(state.presence_count);
        channel.history_count = count(state.history_count);
    }
    channel
}

pub(super) fn member(member: Member) -> proto::Member {
    let info = member.info.map(|info| info.get().as_bytes().to_vec());
    proto::Member {
        subject: member.subject.to_string(),
        session: member.session.to_string(),
        info: info.unwrap_or_default().into(),
    }
}

/// A retained publication of a channel whose epoch is `epoch`.
pub(super) fn retained(retained: Retained, epoch: Option<&Epoch>) -> proto::Publication {
    let at = epoch.map(|epoch| Position {
        epoch: Arc::clone(epoch),
        offset: retained.offset,
    });
    proto::Publication {
        event: retained.event.to_string(),
        data: retained.data,
        position: at.as_ref().map(position),
        time: Some(timestamp(Duration::from_millis(retained.time))),
    }
}

pub(super) fn publication(publication: Publication) -> proto::Publication {
    proto::Publication {
        position: publication.position().as_ref().map(position),
        event: publication.event.to_string(),
        data: publication.data,
        time: Some(timestamp(Duration::from_millis(publication.time))),
    }
}

/// A loss after `before`, where that is known.
pub(super) fn gap(before: Option<Position>) -> proto::Gap {
    before.map_or_else(proto::Gap::default, |at| proto::Gap {
        epoch: at.epoch.to_string(),
        offset: at.offset,
    })
}

/// A session of `node`.
pub(super) fn session(info: SessionInfo, node: &str) -> proto::Session {
    proto::Session {
        id: info.id.to_string(),
        subject: info.subject.map(|subject| subject.to_string()),
        address: info.address.to_string(),
        protocol: info.protocol.into(),
        node: node.into(),
        channels: info.channels.iter().map(ToString::to_string).collect(),
        connected_at: Some(timestamp(info.connected_at)),
        expires_at: info.expires_at.map(|at| timestamp(Duration::from_secs(at))),
        token_id: info.token_id.map(|id| id.to_string()),
    }
}

pub(super) fn revocation(revocation: Revocation) -> proto::Revocation {
    let mut row = proto::Revocation {
        id: revocation.id.into(),
        reason: revocation.reason.into(),
        created_at: Some(timestamp(revocation.created_at)),
        expires_at: Some(timestamp(revocation.expires_at)),
        ..proto::Revocation::default()
    };
    match revocation.target {
        RevocationTarget::Session { session, .. } => row.session = Some(session.to_string()),
        RevocationTarget::TokenId(id) => row.token_id = Some(id.into()),
        RevocationTarget::Subject {
            subject,
            issued_until,
        } => {
            row.subject = Some(subject.into());
            row.issued_before = Some(timestamp(Duration::from_secs(issued_until)));
        }
    }
    row
}

pub(super) fn denied(denied: &Denied) -> proto::Denied {
    proto::Denied {
        address: denied.range.to_string(),
        reason: denied.reason.to_string(),
        expires_at: denied.expires_at.map(timestamp),
    }
}

/// An event of `node`. Its token is the node and the event's number.
pub(super) fn event(event: LoggedEvent, node: &str) -> proto::WatchResponse {
    proto::WatchResponse {
        resume_token: format!("{node}-{}", event.sequence),
        time: Some(timestamp(event.time)),
        node: node.into(),
        kind: event.kind.name().into(),
        session: event.session.map(|session| session.to_string()),
        channel: event.channel.map(|channel| channel.to_string()),
        code: event.code.map(u32::from),
        reason: event.reason.map(String::from),
    }
}

/// This node, with what is connected to it.
pub(super) fn node(identity: &Identity, sessions: usize, channels: usize) -> proto::Node {
    proto::Node {
        id: identity.id.to_string(),
        version: identity.version.into(),
        started_at: Some(timestamp(identity.started_at)),
        sessions: count(sessions),
        channels: count(channels),
        draining: identity.draining,
    }
}
