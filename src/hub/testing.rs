//! A worker that keeps what it is told, for tests.

use std::sync::{Arc, Mutex};

use super::{Worker, WorkerMessage};
use crate::publication::Publication;

/// Keeps every message.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    messages: Mutex<Vec<WorkerMessage>>,
}

impl Worker for Recorder {
    fn post(&self, message: WorkerMessage) {
        self.messages.lock().unwrap().push(message);
    }
}

impl Recorder {
    pub(crate) fn new() -> Arc<Self> {
        Arc::default()
    }

    pub(crate) fn take(&self) -> Vec<WorkerMessage> {
        std::mem::take(&mut self.messages.lock().unwrap())
    }

    /// What was delivered since the last look.
    pub(crate) fn publications(&self) -> Vec<Publication> {
        let deliveries = self.take().into_iter().filter_map(|message| match message {
            WorkerMessage::Deliver(delivery) => Some(delivery.publication.clone()),
            _ => None,
        });
        deliveries.collect()
    }
}
