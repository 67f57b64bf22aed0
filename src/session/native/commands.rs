//! Commands: who may send one at all, what is addressed by which key, and where each goes.

use std::borrow::Cow;
use std::time::Duration;

use super::pending::Ticket;
use super::refusal::Refusal;
use super::{Effect, Message, Session, Stage, rest};
use crate::channel::{COMMANDS, ChannelName};
use crate::clock::Now;
use crate::code::{CloseCode, ErrorCode};
use crate::protocol::{self, Command, Reply, Spelling};

/// What a command names.
#[derive(Debug)]
pub(super) enum Address<'c> {
    /// One channel, by this key.
    One(ChannelName, Spelling),
    /// A list, not yet checked.
    Many(&'c [Cow<'c, str>]),
}

impl Session {
    /// Takes one message. `admitted`: the address's command rate, or how long to wait. Not while
    /// busy (it is dropped then).
    pub fn handle(
        &mut self,
        message: Message<'_>,
        admitted: Result<(), Duration>,
        now: Now,
        out: &mut Vec<Effect>,
    ) {
        if self.is_busy() || self.stage == Stage::Closed {
            return;
        }
        let mut scratch = String::new();
        let mut command = match protocol::decode(self.encoding, message, &mut scratch) {
            Ok(command) => command,
            Err(code) => return self.close(code, out),
        };
        let ticket = Ticket {
            id: command.id.take(),
            event: label(&command),
        };
        if let Err(wait) = admitted {
            self.refuse(&ticket, &Refusal::rate_limited(wait), out);
            return self.count_refusal(now, out);
        }
        if let Err(refusal) = self.run(&command, &ticket, now, out) {
            self.refuse(&ticket, &refusal, out);
        }
    }

    /// Runs one command: answers it, starts an operation that will, or says why not.
    fn run(
        &mut self,
        command: &Command<'_>,
        ticket: &Ticket<'_>,
        now: Now,
        out: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        let event = command.event.as_ref();
        if !matches!(event, "auth" | "ping") && self.lacks_token() {
            return Err(Refusal::new(
                ErrorCode::Unauthenticated,
                "This session has no token yet; send `auth` with one first.",
            ));
        }
        if let Some(fault) = command.fault {
            return Err(Refusal::fault(fault));
        }
        check_keys(command)?;
        match event {
            "auth" => self.authenticate(command, ticket, out),
            "ping" => {
                self.reply(
                    ticket,
                    Reply::Time {
                        time: now.unix_ms(),
                    },
                    out,
                );
                Ok(())
            }
            "bind" | "channel:subscribe" => self.subscribe(command, ticket, out),
            "unbind" | "channel:unsubscribe" => self.unsubscribe(command, ticket, out),
            "channel:presence" => self.presence(command, ticket, out),
            "channel:history" => self.history(command, ticket, out),
            _ => match rest::verb(event) {
                Some(verb) => self.rest(verb, command, ticket, out),
                None => self.publish(command, ticket, out),
            },
        }
    }

    /// Whether it may do nothing but `auth` and `ping`.
    fn lacks_token(&self) -> bool {
        self.grant.is_none() && self.shared.settings.load().auth_required
    }

    /// One more command over the rate; a client that goes on and on is closed.
    fn count_refusal(&mut self, now: Now, out: &mut Vec<Effect>) {
        let settings = self.shared.settings.load();
        if self.refusals.count(&settings, now) {
            self.close(CloseCode::RateLimited, out);
        }
    }
}

/// The metric's label: a name of the table, `publish` or `other`.
fn label(command: &Command<'_>) -> &'static str {
    let named = COMMANDS.into_iter().find(|name| *name == command.event);
    let addressed = command.channel.is_some() || command.uri.is_some();
    named.unwrap_or(if addressed { "publish" } else { "other" })
}

/// Refuses a name of the table that is addressed by a key that is not its own, and any command
/// that is addressed twice or not at all.
fn check_keys(command: &Command<'_>) -> Result<(), Refusal> {
    let event = command.event.as_ref();
    let given = [
        ("channel", command.channel.is_some()),
        ("uri", command.uri.is_some()),
        ("channels", command.channels.is_some()),
    ];
    let allowed: &[&str] = match event {
        "auth" | "ping" => &[],
        "bind" | "unbind" | "index" | "show" | "create" | "update" | "delete" => &["uri"],
        "channel:subscribe" | "channel:unsubscribe" => &["channel", "channels"],
        "channel:presence" | "channel:history" => &["channel"],
        _ => &["channel", "uri"],
    };
    // A publication's own name may be long, and is the client's.
    let shown = if COMMANDS.contains(&event) {
        event
    } else {
        "a publication"
    };
    let wrong = given
        .iter()
        .find(|(key, there)| *there && !allowed.contains(key));
    if let Some((key, _)) = wrong {
        let advice = match allowed {
            [] => "leave it out, or publish under another name".to_owned(),
            [own, ..] => format!("name what it is for with `{own}`"),
        };
        return Err(Refusal::bad_request(format!(
            "`{shown}` does not take `{key}`; {advice}."
        )));
    }
    match given.iter().filter(|(_, there)| *there).count() {
        1 => Ok(()),
        0 if allowed.is_empty() => Ok(()),
        0 if COMMANDS.contains(&event) => Err(Refusal::bad_request(format!(
            "`{event}` needs a `{}`; add it.",
            allowed[0]
        ))),
        0 => Err(Refusal::bad_request(
            "There is no command of this name; to publish it as an event, add a `channel`.",
        )),
        _ => Err(Refusal::bad_request(
            "Name one thing only: a `channel`, a `uri` or `channels`.",
        )),
    }
}

/// What a command that passed [`check_keys`] names.
pub(super) fn address<'c>(command: &'c Command<'_>) -> Result<Address<'c>, Refusal> {
    if let Some(names) = &command.channels {
        return Ok(Address::Many(names));
    }
    if let Some(uri) = &command.uri {
        let name = ChannelName::parse(uri).map_err(Refusal::name)?;
        if !name.is_uri() {
            return Err(Refusal::bad_request(
                "A `uri` is an absolute path; start it with `/`.",
            ));
        }
        return Ok(Address::One(name, Spelling::Uri));
    }
    let name = command.channel.as_deref().unwrap_or_default();
    Ok(Address::One(
        ChannelName::parse(name).map_err(Refusal::name)?,
        Spelling::Channel,
    ))
}

/// The one channel of a command that takes no list.
pub(super) fn channel(command: &Command<'_>) -> Result<ChannelName, Refusal> {
    match address(command)? {
        Address::One(name, _) => Ok(name),
        Address::Many(_) => Err(Refusal::bad_request("This command takes one `channel`.")),
    }
}
