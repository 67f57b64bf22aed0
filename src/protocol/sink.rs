//! What every encoding must be able to write, and the words that the compact ones shorten.
//!
//! A message is described once, in `event/write.rs`, for any [`Sink`]. The envelope is the
//! message's own keys and those of its `error`; compact encodings shorten only there.

/// A message being written in some encoding.
pub(super) trait Sink: Sized {
    /// A map, whose keys and values `fill` writes in turn: fewer than 16.
    fn map(&mut self, fill: impl FnOnce(&mut Self));

    /// A list; `each` writes one value.
    fn list<T>(&mut self, items: &[T], each: impl FnMut(&mut Self, &T));

    /// Nothing that `fill` writes is shortened: it is no part of the envelope.
    fn whole(&mut self, fill: impl FnOnce(&mut Self));

    /// A key that has a letter.
    fn key(&mut self, key: Key);

    /// A key that has none; its text needs no escapes and has fewer than 32 bytes.
    fn name(&mut self, name: &'static str);

    /// An event's name.
    fn event(&mut self, event: &str);

    /// A reply's `status`.
    fn status(&mut self, is_ok: bool);

    /// A string.
    fn text(&mut self, text: &str);

    /// A number.
    fn number(&mut self, number: u64);

    /// What is JSON text already.
    fn json(&mut self, text: &[u8]);
}

/// Defines [`Key`] with each key's text, its letter, and both as JSON spells them.
macro_rules! keys {
    ($($key:ident $text:literal $letter:literal,)*) => {
        /// A key that has a letter in the compact encodings.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(super) enum Key {
            $(#[doc = $text] $key,)*
        }

        impl Key {
            /// Every key, for tests and tables.
            #[cfg(test)]
            pub(super) const ALL: &[Self] = &[$(Self::$key,)*];

            /// The key as it is written.
            pub(super) const fn text(self, compact: bool) -> &'static str {
                match self {
                    $(Self::$key => if compact { $letter } else { $text },)*
                }
            }

            /// The same as JSON text with a comma before and a colon after it.
            #[inline]
            pub(super) const fn json(self, compact: bool) -> &'static str {
                match self {
                    $(Self::$key => if compact {
                        concat!(",\"", $letter, "\":")
                    } else {
                        concat!(",\"", $text, "\":")
                    },)*
                }
            }
        }
    };
}

keys! {
    Id "id" "i",
    Event "event" "e",
    Channel "channel" "c",
    Uri "uri" "u",
    Data "data" "d",
    Options "options" "o",
    Status "status" "s",
    Error "error" "x",
    Code "code" "n",
    Message "message" "m",
    Offset "offset" "f",
    Epoch "epoch" "p",
}

/// Commands and their letters. In a compact encoding every other event starts with [`MARK`].
pub(super) const LETTERS: [(&str, &str); 13] = [
    ("auth", "a"),
    ("bind", "b"),
    ("unbind", "n"),
    ("channel:subscribe", "s"),
    ("channel:unsubscribe", "t"),
    ("index", "l"),
    ("show", "g"),
    ("create", "c"),
    ("update", "u"),
    ("delete", "d"),
    ("channel:presence", "y"),
    ("channel:history", "h"),
    ("ping", "i"),
];
/// What an event without a letter starts with.
pub(super) const MARK: char = ':';

/// The letter of `event`, if it has one.
pub(super) fn letter(event: &str) -> Option<&'static str> {
    let (_, letter) = LETTERS.iter().find(|(name, _)| *name == event)?;
    Some(letter)
}
