//! All clients of a run, on one thread: non-blocking sockets, one poller, one read buffer.
//!
//! It reads in two ways. [`Swarm::collect`] reads what has come without the poller, so that a
//! client's wake-up is not charged to the server's `send`; [`Swarm::turn`] reads at once what the
//! poller tells of, for latencies.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use mio::{Events, Interest, Poll, Token};

use super::client::{Client, Context, Refused, State};
use super::link::{Link, Tls};
use super::tally;

/// Most bytes of one read.
const READ_BYTES: usize = 64 * 1024;
/// Most events of one look at the poller.
const EVENTS: usize = 1024;
/// How long the poller sleeps where nothing happens.
const PAUSE: Duration = Duration::from_millis(20);

/// One client with its socket.
struct Place {
    link: Option<Link>,
    client: Client,
    /// Bytes of a frame that is not whole yet.
    rest: Vec<u8>,
    begun: Instant,
    written: bool,
    stalled: bool,
}

/// How opening went.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) took: Duration,
    pub(super) failed: u64,
    /// Why the first of them failed.
    pub(super) why: Option<String>,
    /// From `connect` to the subscription's answer.
    pub(super) times: Option<Histogram<u64>>,
}

/// The clients.
pub(super) struct Swarm {
    address: SocketAddr,
    tls: Option<Tls>,
    pub(super) context: Context,
    poll: Poll,
    events: Events,
    places: Vec<Place>,
    buffer: Box<[u8]>,
    out: Vec<u8>,
    /// Where the publications' clock starts.
    epoch: Instant,
}

impl Swarm {
    pub(super) fn new(
        address: SocketAddr,
        tls: Option<Tls>,
        context: Context,
        epoch: Instant,
    ) -> io::Result<Self> {
        Ok(Self {
            address,
            tls,
            context,
            poll: Poll::new()?,
            events: Events::with_capacity(EVENTS),
            places: Vec::new(),
            buffer: vec![0; READ_BYTES].into_boxed_slice(),
            out: Vec::new(),
            epoch,
        })
    }

    /// How many are connected and subscribed.
    pub(super) fn ready(&self) -> usize {
        self.open_places()
            .filter(|place| place.client.state == State::Ready)
            .count()
    }

    fn open_places(&self) -> impl Iterator<Item = &Place> {
        self.places.iter().filter(|place| place.link.is_some())
    }

    /// Opens `count` more clients, at most `window` of them under way at a time, within `limit`.
    pub(super) fn open(
        &mut self,
        count: usize,
        window: usize,
        limit: Duration,
    ) -> io::Result<Opened> {
        let begun = Instant::now();
        let mut opened = Opened {
            took: Duration::ZERO,
            failed: 0,
            why: None,
            times: tally::histogram(),
        };
        let (ended, first) = (self.context.tally.ended, self.places.len());
        let mut under_way = Vec::new();
        while self.places.len() < first + count || !under_way.is_empty() {
            while self.places.len() < first + count && under_way.len() < window {
                under_way.push(self.places.len());
                self.start()?;
            }
            self.turn(PAUSE)?;
            under_way.retain(|index| !self.settled(*index, &mut opened));
            if begun.elapsed() > limit {
                opened.failed += under_way.len() as u64;
                opened.why.get_or_insert_with(|| "not in time".to_owned());
                break;
            }
        }
        opened.took = begun.elapsed();
        opened.failed += self.context.tally.ended - ended;
        opened.why = self.context.tally.why.take().or(opened.why);
        self.context.tally.ended = ended;
        Ok(opened)
    }

    fn start(&mut self) -> io::Result<()> {
        let index = self.places.len();
        let mut link = Link::connect(self.address, self.tls.as_ref())?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll
            .registry()
            .register(link.stream(), Token(index), interest)?;
        self.places.push(Place {
            link: Some(link),
            client: Client::new(index),
            rest: Vec::new(),
            begun: Instant::now(),
            written: false,
            stalled: false,
        });
        Ok(())
    }

    fn settled(&self, index: usize, opened: &mut Opened) -> bool {
        let place = &self.places[index];
        if place.link.is_some() && place.client.state != State::Ready {
            return false;
        }
        if let Some(times) = opened.times.as_mut().filter(|_| place.link.is_some()) {
            times.saturating_record(nanos(place.begun.elapsed()));
        }
        true
    }

    /// Takes the clients off the poller, or puts them back.
    pub(super) fn watch(&mut self, watched: bool) -> io::Result<()> {
        let registry = self.poll.registry();
        for (index, place) in self.places.iter_mut().enumerate() {
            let Some(link) = &mut place.link else {
                continue;
            };
            if watched {
                registry.register(link.stream(), Token(index), Interest::READABLE)?;
            } else {
                registry.deregister(link.stream())?;
            }
        }
        Ok(())
    }

    /// The last `count` clients read no more from here on.
    pub(super) fn stall(&mut self, count: usize) {
        for place in self.places.iter_mut().rev().take(count) {
            place.stalled = true;
        }
    }

    /// Closes `count` clients, without a word.
    pub(super) fn hang_up(&mut self) {
        self.places.clear();
    }

    /// Reads, without the poller, until each client has publication `last` or nothing more has
    /// come: how many have not got so far.
    pub(super) fn collect(&mut self, last: u64) -> usize {
        self.context.now = nanos(self.epoch.elapsed());
        let mut behind = 0;
        for index in 0..self.places.len() {
            while self.places[index].link.is_some()
                && self.places[index].client.last < last
                && self.read(index)
            {}
            let place = &self.places[index];
            behind += usize::from(place.link.is_some() && place.client.last < last);
        }
        behind
    }

    /// What clients that read still miss of the publications up to `last`.
    pub(super) fn missing(&self, last: u64) -> u64 {
        self.open_places()
            .filter(|place| !place.stalled)
            .map(|place| last.saturating_sub(place.client.last))
            .sum()
    }

    /// Waits at most `pause` for the poller and reads what it tells of.
    pub(super) fn turn(&mut self, pause: Duration) -> io::Result<()> {
        match self.poll.poll(&mut self.events, Some(pause)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            done => done?,
        }
        let events = std::mem::replace(&mut self.events, Events::with_capacity(0));
        for event in &events {
            let index = event.token().0;
            self.context.now = nanos(self.epoch.elapsed());
            if event.is_writable() {
                self.writable(index);
            }
            let place = &self.places[index];
            if (event.is_readable() || event.is_read_closed()) && !place.stalled {
                while self.places[index].link.is_some() && self.read(index) {}
            }
        }
        self.events = events;
        Ok(())
    }

    /// The socket is connected, or takes bytes again.
    fn writable(&mut self, index: usize) {
        let place = &mut self.places[index];
        let Some(link) = &mut place.link else {
            return;
        };
        let done = if place.written {
            link.flush()
        } else {
            place.written = true;
            let request = self.context.plan.request(index);
            // Nagle would hold the second small write of a handshake back.
            link.stream()
                .set_nodelay(true)
                .and_then(|()| link.write(request.as_bytes()))
        };
        if let Err(error) = done {
            self.end(index, error.to_string());
        }
    }

    /// Reads once; whether there may be more.
    fn read(&mut self, index: usize) -> bool {
        let place = &mut self.places[index];
        let Some(link) = &mut place.link else {
            return false;
        };
        let kept = place.rest.len();
        if kept >= self.buffer.len() / 2 {
            let bigger = vec![0; self.buffer.len() * 2].into_boxed_slice();
            self.buffer = bigger;
        }
        self.buffer[..kept].copy_from_slice(&place.rest);
        let (length, more) = match link.read(&mut self.buffer[kept..]) {
            Ok((0, _)) => {
                self.end(index, "closed without a word".to_owned());
                return false;
            }
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return false,
            Err(error) => {
                self.end(index, error.to_string());
                return false;
            }
        };
        let bytes = &self.buffer[..kept + length];
        self.out.clear();
        match place.client.feed(bytes, &mut self.context, &mut self.out) {
            Ok(used) => {
                place.rest.clear();
                place.rest.extend_from_slice(&bytes[used..]);
            }
            Err(Refused(why)) => {
                self.end(index, why);
                return false;
            }
        }
        if !self.out.is_empty()
            && let Err(error) = link.write(&self.out)
        {
            self.end(index, error.to_string());
            return false;
        }
        more
    }

    fn end(&mut self, index: usize, why: String) {
        let place = &mut self.places[index];
        place.link = None;
        place.rest = Vec::new();
        self.context.tally.end(why);
    }
}

/// A duration in nanoseconds.
pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
