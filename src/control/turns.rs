//! Turns: work for one channel happens in the order it was asked for, work for different channels
//! at the same time.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;

use futures_util::future::join_all;
use tokio::sync::Mutex;

use crate::channel::ChannelName;

/// Who is next on each channel. It belongs to one stream or batch.
#[derive(Debug, Default)]
pub(super) struct Turns {
    channels: HashMap<ChannelName, Arc<Mutex<()>>>,
    sweep_at: usize,
}

/// Below this many channels nothing is swept.
const FEW: usize = 1_024;

impl Turns {
    /// Does `work` once everything that was asked for before on one of `channels` is done.
    ///
    /// The order is that of the first polls of what this returns. Taking all turns in that one
    /// poll keeps two pieces of work that share several channels from waiting for each other:
    /// whichever is first is first everywhere.
    pub(super) fn take<W: Future>(
        &mut self,
        channels: &[ChannelName],
        work: W,
    ) -> impl Future<Output = W::Output> + use<W> {
        self.sweep();
        let turns: Vec<_> = channels
            .iter()
            .map(|channel| {
                let turn = self.channels.entry(channel.clone()).or_default();
                Arc::clone(turn).lock_owned()
            })
            .collect();
        async move {
            let _turns = join_all(turns).await;
            work.await
        }
    }

    /// Forgets channels that nobody works on; the map stays within twice of what is in use.
    fn sweep(&mut self) {
        if self.channels.len() < self.sweep_at.max(FEW) {
            return;
        }
        self.channels.retain(|_, turn| Arc::strong_count(turn) > 1);
        self.sweep_at = self.channels.len() * 2;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::{StreamExt, stream};
    use proptest::prelude::*;
    use std::sync::Mutex as StdMutex;

    fn name(i: usize) -> ChannelName {
        ChannelName::parse(&format!("c{i}")).unwrap()
    }

    proptest! {
        /// Whatever the channels and however long each piece takes, a channel sees its work in
        /// the order asked for, and all of it ends.
        #[test]
        fn a_channel_sees_its_work_in_order(
            work in prop::collection::vec((prop::collection::btree_set(0..5_usize, 1..4), 0..4_u8), 1..60),
            width in 1..20_usize,
        ) {
            let done = Arc::new(StdMutex::new(Vec::new()));
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            runtime.block_on(async {
                let mut turns = Turns::default();
                let pieces = work.iter().enumerate().map(|(i, (channels, yields))| {
                    let names: Vec<_> = channels.iter().map(|channel| name(*channel)).collect();
                    let (done, channels, yields) = (Arc::clone(&done), channels.clone(), *yields);
                    turns.take(&names, async move {
                        for _ in 0..yields {
                            tokio::task::yield_now().await;
                        }
                        done.lock().unwrap().push((i, channels));
                    })
                });
                stream::iter(pieces.collect::<Vec<_>>()).buffered(width).collect::<Vec<()>>().await;
            });
            let done = done.lock().unwrap();
            prop_assert_eq!(done.len(), work.len());
            for channel in 0..5 {
                let order: Vec<_> =
                    done.iter().filter(|(_, on)| on.contains(&channel)).map(|(i, _)| *i).collect();
                prop_assert!(order.is_sorted(), "channel {}: {:?}", channel, order);
            }
        }
    }

    #[test]
    fn channels_that_rest_are_forgotten() {
        let mut turns = Turns::default();
        for i in 0..10_000 {
            drop(turns.take(&[name(i)], async {}));
        }
        assert!(turns.channels.len() <= FEW, "{}", turns.channels.len());
    }
}
