//! What governs sessions.

use std::time::Duration;

/// What governs a session.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Whether a session must hold a token within `auth_deadline`.
    pub auth_required: bool,
    /// How long a session may stay without one.
    pub auth_deadline: Duration,
    /// How long after `exp` a token still counts.
    pub leeway: Duration,
    /// How long before `exp` the client is told.
    pub expiry_warning: Duration,
    /// How often the server pings; a ping without any answer for as long closes with 4202.
    pub ping_interval: Duration,
    /// Most channels a session may be on.
    pub max_channels: usize,
    /// Most calls of a session to the gateway that wait for an answer (`gateway.max_calls`).
    pub max_calls: usize,
    /// Half of this is the most a recovery may bring, in bytes.
    pub mailbox_bytes: usize,
    /// So many commands over the rate, without a pause of `refusal_pause`, close with 4102.
    pub max_refusals: u32,
    /// Without a refusal for so long, counting begins anew.
    pub refusal_pause: Duration,
    /// Of Pusher sessions only.
    pub pusher: PusherSettings,
}

/// What governs a Pusher session beside that.
#[derive(Debug, Clone)]
pub struct PusherSettings {
    /// After so long without a word the client is pinged.
    pub activity_timeout: Duration,
    /// Then it is closed after so long.
    pub pong_timeout: Duration,
    /// Longest data of an event.
    pub max_event_bytes: usize,
    /// Most client events of one connection.
    pub client_events_per_second: u32,
    /// Most members of a presence channel.
    pub max_members: usize,
    /// Longest `user_info`.
    pub max_user_info_bytes: usize,
    /// Most users that a signed-in user watches.
    pub max_watchlist: usize,
}

impl Default for PusherSettings {
    fn default() -> Self {
        Self {
            activity_timeout: Duration::from_secs(120),
            pong_timeout: Duration::from_secs(30),
            max_event_bytes: 10 * 1024,
            client_events_per_second: 10,
            max_members: 100,
            max_user_info_bytes: 1024,
            max_watchlist: 100,
        }
    }
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            auth_required: true,
            auth_deadline: Duration::from_secs(10),
            leeway: Duration::from_secs(5),
            expiry_warning: Duration::from_secs(30),
            ping_interval: Duration::from_secs(25),
            max_channels: 1000,
            max_calls: 32,
            mailbox_bytes: 1024 * 1024,
            max_refusals: 100,
            refusal_pause: Duration::from_secs(10),
            pusher: PusherSettings::default(),
        }
    }
}
