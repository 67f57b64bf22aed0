//! What an attacker does to a whole server, and what it gets for it. `docs/security.md` says which
//! attack is shown where.

mod crowds;
mod memory;
mod names;
mod odd;
mod secrets;
mod state;
