//! Pusher's side over plain HTTP: what is asked of it, and what it tells.
//!
//! | module | what |
//! |---|---|
//! | [`webhook`] | what happens on channels, told to the apps' services |

pub mod webhook;
