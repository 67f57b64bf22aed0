//! Workers on real sockets, turned by hand, over a broker whose answers wait until they are let
//! go.

mod client;
mod drive;
mod rig;
mod slow_broker;

mod bounds;
mod direct;
mod ends;
mod fanout;
mod joins;
mod property;
mod race;
mod slow;
mod tls;

use serde_json::{Value, json};

use client::{Client, Frame};
use rig::{Rig, Setup, name};
