//! A line that shows how far a run is, on a terminal only.

use std::io::{IsTerminal, Write};
use std::time::{Duration, Instant};

use crate::cli::output::Output;

const EVERY: Duration = Duration::from_millis(200);

/// How far a run is.
pub(super) struct Progress {
    shown: bool,
    what: &'static str,
    of: u64,
    next: Instant,
}

impl Progress {
    pub(super) fn new(out: &Output, what: &'static str, of: u64) -> Self {
        Self {
            shown: !out.is_json() && std::io::stderr().is_terminal(),
            what,
            of,
            next: Instant::now(),
        }
    }

    pub(super) fn at(&mut self, done: u64) {
        if self.shown && Instant::now() >= self.next {
            self.next = Instant::now() + EVERY;
            // Nobody is left to be told where stderr is gone.
            let _ = write!(
                std::io::stderr(),
                "\r{done} of {} {}\u{1b}[K",
                self.of,
                self.what
            );
        }
    }

    pub(super) fn done(&mut self) {
        if self.shown {
            let _ = write!(std::io::stderr(), "\r\u{1b}[K");
        }
    }
}
