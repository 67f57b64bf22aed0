//! A client of the native protocol that comes back and recovers what it missed.

use std::collections::HashMap;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use http::StatusCode;
use http::header::{AUTHORIZATION, HeaderValue, SEC_WEBSOCKET_PROTOCOL};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use super::super::error::CliError;
use super::super::output::{Output, Style, note};
use super::super::remote::{chain, read};
use super::Subscribe;
use super::frame::{Drain, Frame, Joined, Line, Refusal, Results, Welcome};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// How long to wait for the handshake and the welcome.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// What is remembered from one connection to the next.
struct State<'a> {
    command: &'a Subscribe,
    out: &'a mut Output,
    left: u64,
    /// Where each channel with history stands.
    positions: HashMap<String, (String, u64)>,
    /// The last session's id: what excluded it stays excluded.
    session: Option<String>,
    /// Connections that failed in a row; 0 before the first that worked.
    failures: u32,
    worked: bool,
}

/// How a connection ended.
enum Ended {
    /// `--count` is reached.
    Enough,
    /// Come back after a pause; at least so long.
    Again(Duration, String),
}

/// Prints until `--count` is reached.
pub(super) async fn run(command: &Subscribe, out: &mut Output) -> Result<(), CliError> {
    let left = command.count.unwrap_or(u64::MAX);
    let mut state = State {
        command,
        out,
        left,
        positions: HashMap::new(),
        session: None,
        failures: 0,
        worked: false,
    };
    loop {
        let ended = match state.connect().await {
            Ok(socket) => state.listen(socket).await?,
            // What never worked is an error; what worked before may again.
            Err(CliError::Unavailable(why)) if state.worked => Ended::Again(Duration::ZERO, why),
            Err(error) => return Err(error),
        };
        match ended {
            Ended::Enough => return Ok(()),
            Ended::Again(least, why) => {
                state.failures += 1;
                note(&format!("{why}; connecting again"));
                tokio::time::sleep(least.max(pause(state.failures))).await;
            }
        }
    }
}

/// A random pause that grows with the failures in a row: many clients do not come back at once.
pub(super) fn pause(failures: u32) -> Duration {
    let most = Duration::from_millis(200).saturating_mul(1 << failures.min(6));
    let share = getrandom::u32().map_or(0.5, |random| f64::from(random) / f64::from(u32::MAX));
    most.min(Duration::from_secs(10)).mul_f64(share)
}

impl State<'_> {
    async fn connect(&self) -> Result<Socket, CliError> {
        let url = &self.command.url;
        let bad = |error: &dyn std::error::Error| {
            CliError::Usage(format!("`{url}` is no WebSocket URL: {error}"))
        };
        let mut request = url
            .as_str()
            .into_client_request()
            .map_err(|error| bad(&error))?;
        let protocol = HeaderValue::from_static("pogo.v1.json");
        request
            .headers_mut()
            .insert(SEC_WEBSOCKET_PROTOCOL, protocol);
        if let Some(token) = self.token()? {
            let value = HeaderValue::try_from(format!("Bearer {token}"));
            let mut value = value
                .map_err(|_| CliError::Usage("the token holds characters no token has".into()))?;
            value.set_sensitive(true);
            request.headers_mut().insert(AUTHORIZATION, value);
        }
        let connecting = tokio_tungstenite::connect_async(request);
        match tokio::time::timeout(CONNECT_TIMEOUT, connecting).await {
            Ok(Ok((socket, _))) => Ok(socket),
            Ok(Err(Error::Http(response))) => Err(refused(url, response.status())),
            Ok(Err(error @ Error::Url(_))) => Err(bad(&error)),
            Ok(Err(error)) => Err(CliError::Unavailable(format!(
                "{url} cannot be reached: {}",
                chain(&error)
            ))),
            Err(_) => Err(CliError::Unavailable(format!("{url} does not answer"))),
        }
    }

    fn token(&self) -> Result<Option<String>, CliError> {
        match (&self.command.token, &self.command.token_file) {
            (Some(token), _) => Ok(Some(token.clone())),
            (None, Some(path)) => Ok(Some(read(path)?.trim().to_owned())),
            (None, None) => Ok(None),
        }
    }

    /// Subscribes and prints until the connection ends.
    async fn listen(&mut self, mut socket: Socket) -> Result<Ended, CliError> {
        let mut silence = CONNECT_TIMEOUT;
        let mut least = Duration::ZERO;
        loop {
            let Ok(next) = tokio::time::timeout(silence, socket.next()).await else {
                return Ok(Ended::Again(least, "the server is silent".into()));
            };
            let text = match next {
                Some(Ok(Message::Text(text))) => text,
                Some(Ok(Message::Close(frame))) => {
                    let code = frame.as_ref().map_or(1005, |frame| frame.code.into());
                    let reason = frame
                        .map(|frame| frame.reason.to_string())
                        .unwrap_or_default();
                    return self.closed(code, &reason, least);
                }
                Some(Ok(_)) => continue,
                Some(Err(error)) => return Ok(Ended::Again(least, chain(&error))),
                None => return Ok(Ended::Again(least, "the connection is gone".into())),
            };
            let frame: Frame<'_> = serde_json::from_str(&text).map_err(|error| {
                CliError::Failed(format!("the server speaks otherwise: {error}"))
            })?;
            match frame.event.as_deref() {
                Some("pogo:welcome") => {
                    let welcome: Welcome = data(&frame)?;
                    // Two pings may be lost before we do not believe in the connection.
                    silence = Duration::from_millis(welcome.ping_interval).mul_f64(2.5);
                    silence = silence.max(Duration::from_secs(1));
                    let ask = self.subscription();
                    self.session = Some(welcome.session);
                    let sent = socket.send(Message::text(ask.to_string())).await;
                    if let Err(error) = sent {
                        return Ok(Ended::Again(least, chain(&error)));
                    }
                }
                Some("pogo:drain") => {
                    least = Duration::from_millis(data::<Drain>(&frame)?.reconnect_after_ms);
                }
                Some(_) => self.push(&frame)?,
                None => self.reply(&frame)?,
            }
            if self.left == 0 {
                // The server learns of it anyway if this does not reach it.
                let _ = socket.close(None).await;
                return Ok(Ended::Enough);
            }
        }
    }

    /// The command that subscribes, with what is to be recovered.
    fn subscription(&self) -> Value {
        let mut options = json!({});
        if !self.positions.is_empty() {
            let recover = self.positions.iter().map(|(channel, (epoch, offset))| {
                let mut from = json!({"epoch": epoch, "offset": offset});
                if let Some(session) = &self.session {
                    from["session"] = json!(session);
                }
                (channel.clone(), from)
            });
            options["recover"] = Value::Object(recover.collect());
        } else if let Some(rewind) = self.command.rewind.filter(|_| !self.worked) {
            options["rewind"] = json!(rewind);
        }
        let channels = &self.command.channels;
        json!({"id": 1, "event": "channel:subscribe", "channels": channels, "options": options})
    }

    fn reply(&mut self, frame: &Frame<'_>) -> Result<(), CliError> {
        if let Some(error) = &frame.error {
            return Err(refusal("", error));
        }
        let results: Results<'_> = data(frame)?;
        for joined in &results.results {
            self.joined(joined)?;
        }
        self.worked = true;
        self.failures = 0;
        Ok(())
    }

    fn joined(&mut self, joined: &Joined<'_>) -> Result<(), CliError> {
        let channel = joined.channel.as_ref();
        if let Some(error) = &joined.error {
            return Err(refusal(channel, error));
        }
        if joined.recovered == Some(false) {
            note(&format!("{channel}: what was missed cannot be recovered"));
        }
        let epoch = joined.epoch.as_deref();
        for publication in &joined.publications {
            let (event, offset) = (publication.event.as_ref(), Some(publication.offset));
            let line = Line {
                channel,
                event,
                data: Some(publication.data),
                epoch,
                offset,
            };
            self.print(&line)?;
        }
        if let (Some(epoch), Some(offset)) = (epoch, joined.offset) {
            self.positions
                .insert(channel.to_owned(), (epoch.to_owned(), offset));
        }
        Ok(())
    }

    fn push(&mut self, frame: &Frame<'_>) -> Result<(), CliError> {
        let event = frame.event.as_deref().unwrap_or_default();
        let Some(channel) = frame.channel.as_deref() else {
            let told = frame.data.map_or("", |data| data.get());
            note(&format!("{event} {told}"));
            return Ok(());
        };
        let position = self.positions.get_mut(channel);
        let epoch = position.as_ref().map(|(epoch, _)| epoch.clone());
        if let (Some(position), Some(offset)) = (position, frame.offset) {
            position.1 = offset;
        }
        let own = event.starts_with("pogo:");
        let line = Line {
            channel,
            event,
            data: frame.data,
            epoch: epoch.as_deref().filter(|_| frame.offset.is_some()),
            offset: frame.offset,
        };
        if own && !self.out.is_json() {
            note(&format!(
                "{channel}  {event}  {}",
                frame.data.map_or("", |data| data.get())
            ));
            return Ok(());
        }
        if own {
            self.out.record("", &line)
        } else {
            self.print(&line)
        }
    }

    fn print(&mut self, line: &Line<'_>) -> Result<(), CliError> {
        if self.left == 0 {
            return Ok(());
        }
        self.left -= 1;
        let channel = self.out.styled(Style::Strong, line.channel);
        let offset = line
            .offset
            .map_or_else(String::new, |offset| format!("  #{offset}"));
        let offset = self.out.styled(Style::Faint, &offset);
        let data = line.data.map_or("null", |data| data.get());
        self.out
            .record(&format!("{channel}  {}  {data}{offset}", line.event), line)
    }

    /// What a close code advises.
    fn closed(&self, code: u16, reason: &str, least: Duration) -> Result<Ended, CliError> {
        let why = format!("closed by the server: {code} {reason}");
        match code {
            // We broke the protocol, or sent what is not taken: again would be no better.
            1002 | 1003 | 1007..=1009 | 4000 => Err(CliError::Failed(why)),
            4001..=4099 => Err(CliError::NotAllowed(why)),
            // A token of the command line stays expired.
            4201 if self.command.token_file.is_none() => Err(CliError::NotAllowed(why)),
            4100..=4199 => Ok(Ended::Again(least.max(Duration::from_secs(1)), why)),
            _ => Ok(Ended::Again(least, why)),
        }
    }
}

fn data<'a, T: serde::Deserialize<'a>>(frame: &Frame<'a>) -> Result<T, CliError> {
    let text = frame.data.map_or("null", |data| data.get());
    serde_json::from_str(text)
        .map_err(|error| CliError::Failed(format!("the server speaks otherwise: {error}")))
}

fn refusal(channel: &str, error: &Refusal<'_>) -> CliError {
    let text = format!("{channel}: {} ({})", error.message, error.code);
    let text = text.trim_start_matches(": ").to_owned();
    match error.code.as_ref() {
        "forbidden" | "unauthenticated" | "token_expired" | "token_revoked" => {
            CliError::NotAllowed(text)
        }
        "not_found" | "no_route" => CliError::NotFound(text),
        "unavailable" | "timeout" | "rate_limited" => CliError::Unavailable(text),
        _ => CliError::Failed(text),
    }
}

fn refused(url: &str, status: StatusCode) -> CliError {
    let text = format!("{url} refuses the handshake: {status}");
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => CliError::NotAllowed(text),
        StatusCode::NOT_FOUND => CliError::NotFound(text),
        StatusCode::TOO_MANY_REQUESTS => CliError::Unavailable(text),
        status if status.is_server_error() => CliError::Unavailable(text),
        _ => CliError::Failed(text),
    }
}
