//! Workers on real sockets, turned by hand, over a broker whose answers wait until they are let
//! go.

mod calls;
mod client;
mod crowd;
mod drive;
mod rig;
mod slow_broker;

mod balance;
mod bounds;
mod direct;
mod ends;
mod fairness;
mod fanout;
mod joins;
mod property;
mod pusher;
mod race;
mod slow;
mod stalled;
mod tls;

use serde_json::{Value, json};

use client::{Client, Frame};
use rig::{Rig, Setup, name};
