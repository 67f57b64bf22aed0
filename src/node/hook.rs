//! The one door for publications, and the gateway's word in it: a publication on a covered uri
//! goes to the broker under its canonical name, as its audience allows, and may bring others along.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use super::{NewPublication, Node};
use crate::broker::{Accepted, BrokerError, Draft};
use crate::channel::ChannelName;
use crate::notice::{News, Notice, NoticeKind};
use crate::publication::Form;

/// A uri that cannot be one of the endpoint's that covers it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadUri(pub Cow<'static, str>);

/// Why a publication was refused.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The broker could not.
    #[error(transparent)]
    Broker(#[from] BrokerError),
    /// Its channel.
    #[error(transparent)]
    Uri(#[from] BadUri),
}

/// What becomes of a publication.
#[derive(Debug)]
pub struct Prepared {
    /// It, as it goes to the broker.
    pub publication: NewPublication,
    /// What is published after it, where it is not a double.
    pub also: Vec<NewPublication>,
}

impl From<NewPublication> for Prepared {
    fn from(publication: NewPublication) -> Self {
        let also = Vec::new();
        Self { publication, also }
    }
}

/// What the gateway knows of uris. It is asked for names that start with `/` only; nothing it does
/// may wait.
pub trait PublicationHook: Send + Sync {
    /// The canonical form of a uri that an endpoint covers; none: nobody covers it.
    ///
    /// # Errors
    /// An endpoint covers the path, but the uri is not one of its.
    fn canonical(&self, uri: &ChannelName) -> Result<Option<ChannelName>, BadUri>;

    /// What is published instead of `publication`: of an uncovered uri the same, of a covered one
    /// under the canonical name of its stream and with its `change`.
    ///
    /// # Errors
    /// As [`Self::canonical`].
    fn prepare(&self, publication: NewPublication) -> Result<Prepared, BadUri>;
}

impl Node {
    /// From now on `hook` has its word on uris. Called at start, once.
    pub fn set_hook(&self, hook: Arc<dyn PublicationHook>) {
        let _ = self.own.hook.set(hook);
    }

    /// How `name` is written everywhere: canonical, where an endpoint covers it, else as it is.
    ///
    /// # Errors
    /// An endpoint covers the path, but the uri is not one of its.
    pub fn canonical(&self, name: ChannelName) -> Result<ChannelName, BadUri> {
        Ok(self.covered(&name)?.unwrap_or(name))
    }

    /// The canonical form of a uri that an endpoint covers.
    pub(super) fn covered(&self, name: &ChannelName) -> Result<Option<ChannelName>, BadUri> {
        match self.own.hook.get() {
            Some(hook) if name.is_uri() => hook.canonical(name),
            _ => Ok(None),
        }
    }

    /// Publishes to one channel: waits for room in the budget, then for the broker. The ttl runs
    /// from the call.
    ///
    /// # Errors
    /// The name cannot be used, or the broker refused; nothing was delivered.
    pub async fn publish(&self, publication: NewPublication) -> Result<Accepted, PublishError> {
        let hook = self.own.hook.get();
        let Some(hook) = hook.filter(|_| publication.channel.is_uri()) else {
            return Ok(self.publish_one(publication).await?);
        };
        let Prepared { publication, also } = hook.prepare(publication)?;
        let accepted = Box::pin(self.publish_one(publication)).await?;
        if !accepted.deduplicated {
            for publication in also {
                // Who published it has its answer: what follows is nobody's to try again.
                if let Err(error) = Box::pin(self.publish_one(publication)).await {
                    let error = &error as &dyn std::error::Error;
                    tracing::warn!(error, "a change could not be told to all that it concerns");
                }
            }
        }
        Ok(accepted)
    }

    async fn publish_one(&self, publication: NewPublication) -> Result<Accepted, BrokerError> {
        let accepted = Instant::now();
        let bytes = publication.data.len() + publication.event.len();
        let admission = self.hub.admit(bytes).await;
        let notice = self.notice_of(&publication);
        let draft = Draft {
            channel: publication.channel,
            event: publication.event,
            data: publication.data,
            ttl: publication.ttl,
            accepted,
            exclude: publication.exclude,
            form: publication.form,
            user: publication.user,
            skip_history: publication.skip_history,
            idempotency: publication.idempotency,
            change: publication.change,
            admission,
        };
        let answer = self.broker.publish(draft).await?;
        if !answer.deduplicated {
            self.hub.metrics().publications.inc();
            if let Some(Notice { channel, news }) = notice {
                self.hub.notices().tell(&channel, news);
            }
        }
        Ok(answer)
    }

    /// What webhooks are told of a client's event, once it is accepted; here, at the one door, so
    /// that it is told once however many nodes deliver it.
    fn notice_of(&self, publication: &NewPublication) -> Option<Notice> {
        let told =
            publication.form == Form::Client && self.hub.notices().wants(NoticeKind::ClientEvent);
        let session = publication.exclude.filter(|_| told)?;
        let news = News::ClientEvent {
            event: publication.event.clone(),
            data: publication.data.clone(),
            session,
            user: publication.user.clone(),
        };
        let channel = publication.channel.clone();
        Some(Notice { channel, news })
    }
}
