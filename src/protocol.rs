//! Bytes ↔ commands and events. No I/O and no state beyond an unfinished frame.

/// How publications are spelled to a session: its encoding, and `channel` or `uri`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Wire {
    /// The encoding.
    pub encoding: Encoding,
    /// Which key names the channel.
    pub spelling: Spelling,
}

/// The encoding of a session, fixed by its subprotocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Encoding {
    /// `pogo.v1.json`
    Json,
}

/// Which key named the channel when the session subscribed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Spelling {
    /// `channel`
    #[default]
    Channel,
    /// `uri`
    Uri,
}

impl Wire {
    /// How many there are.
    pub const COUNT: usize = 2;

    /// A number below [`Self::COUNT`].
    pub const fn index(self) -> usize {
        let Encoding::Json = self.encoding;
        match self.spelling {
            Spelling::Channel => 0,
            Spelling::Uri => 1,
        }
    }
}

/// The whole WebSocket frame of a push.
pub fn encode_publication(_wire: Wire, _publication: &crate::publication::Publication) -> bytes::Bytes {
    todo!("protocol helper")
}
