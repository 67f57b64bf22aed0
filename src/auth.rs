//! Who a client is and what it may do: tokens, keys, capabilities and revocations.

mod access;
mod capabilities;
mod grant;
mod revocation;

pub use access::may;
pub use capabilities::{Capabilities, Op};
pub use grant::{Grant, Fingerprint};
pub use revocation::{Revocation, RevocationTarget, Revocations};
