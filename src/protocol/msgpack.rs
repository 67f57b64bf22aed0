//! `pogo.v1.msgpack` and `pogo.v1.cmsgpack`: one MessagePack map a binary frame.
//!
//! Inside the server data is JSON text, so a message that comes in is written as JSON text and
//! read like one, and the data of one that goes out is written as MessagePack. Numbers go over
//! exactly where MessagePack has them (64 bits with or without sign, or a double).

mod encode;
mod from_json;
mod time;
mod to_json;

pub(super) use encode::encode;
pub(super) use to_json::to_json;

#[cfg(test)]
mod tests;
