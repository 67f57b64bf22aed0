//! An endpoint: uri templates and the REST API behind them, checked. It can be written down with
//! its secrets, for the broker's store alone.

use std::time::Duration;

use http::{HeaderName, Uri};
use serde::{Deserialize, Serialize};

use super::Verb;

/// One `[[endpoint]]`. Templates stand beside it in the route table.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Names it.
    pub name: Box<str>,
    /// The template of an item's uri, e.g. `/posts/{id}`.
    pub item: Option<Box<str>>,
    /// The template of the collection's uri, e.g. `/posts`.
    pub collection: Option<Box<str>>,
    /// The verbs that are allowed, of index, show, create, update and delete.
    pub methods: Vec<Verb>,
    /// Where the API is.
    pub upstream: Upstream,
    /// How the upstream learns who asks.
    pub auth: Credentials,
    /// Who may bind.
    pub access: AccessRule,
    /// How long a check of access holds.
    pub access_ttl: Duration,
    /// Whose data an answer is.
    pub audience: Audience,
    /// With whose credentials the gateway fetches.
    pub fetch_as: FetchAs,
    /// Where a new item's id is in the body: a JSON pointer.
    pub id: Box<str>,
    /// Where a resource's version is.
    pub version: VersionAt,
    /// Publishers keep the order of each uri's events themselves.
    pub ordered: bool,
    /// What the body of a write's answer is.
    pub write_returns: WriteReturns,
    /// Query keys that are understood, sorted.
    pub query: Vec<Box<str>>,
    /// What an event does to a bound query.
    pub realtime: Realtime,
    /// Templates of other uris that a write changes.
    pub affects: Vec<Box<str>>,
    /// Who tells of writes.
    pub publish: Publisher,
    /// Whether a successful verb binds.
    pub autobind: bool,
    /// How long answers are kept.
    pub cache: CacheSettings,
    /// Poll an upstream that tells of nothing.
    pub revalidate_every: Option<Duration>,
}

impl Endpoint {
    /// An endpoint with these templates before this API, and otherwise with the defaults.
    pub fn new(name: &str, item: Option<&str>, collection: Option<&str>, bases: Vec<Uri>) -> Self {
        Self {
            name: name.into(),
            item: item.map(Box::from),
            collection: collection.map(Box::from),
            methods: Verb::of(item.is_some(), collection.is_some()),
            upstream: Upstream::new(bases),
            auth: Credentials::Bearer,
            access: AccessRule::Upstream,
            access_ttl: Duration::from_secs(30),
            audience: Audience::User,
            fetch_as: FetchAs::Caller,
            id: "/id".into(),
            version: VersionAt::None,
            ordered: false,
            write_returns: WriteReturns::Unknown,
            query: vec![],
            realtime: Realtime::Refetch,
            affects: vec![],
            publish: Publisher::Gateway,
            autobind: true,
            cache: CacheSettings::default(),
            revalidate_every: None,
        }
    }
}

impl Upstream {
    /// An API at these URLs, and otherwise the defaults.
    pub fn new(bases: Vec<Uri>) -> Self {
        Self {
            bases,
            literal: false,
            update: UpdateMethod::Patch,
            connect_timeout: Duration::from_secs(1),
            timeout: Duration::from_secs(10),
            retries: 1,
            breaker: Breaker::default(),
            concurrency: 128,
            forward: vec![],
        }
    }
}

impl Default for Breaker {
    fn default() -> Self {
        Self {
            requests: 20,
            window: Duration::from_secs(10),
            ratio: 0.5,
            open: Duration::from_secs(5),
        }
    }
}

/// An upstream REST API.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Upstream {
    /// Base URLs of its instances, without a query.
    #[serde(with = "texts")]
    pub bases: Vec<Uri>,
    /// The operator wrote them in the file: one whose host is an address, or `localhost`, may be
    /// reached whatever address that is.
    pub literal: bool,
    /// The method of update.
    pub update: UpdateMethod,
    /// Longest wait for a connection.
    pub connect_timeout: Duration,
    /// Longest wait for the whole answer.
    pub timeout: Duration,
    /// How often a read is tried again.
    pub retries: u32,
    /// When to stop asking for a while.
    pub breaker: Breaker,
    /// Most requests at a time.
    pub concurrency: usize,
    /// Clients' headers that go on to it beside those that always do.
    #[serde(default, with = "texts")]
    pub forward: Vec<HeaderName>,
}

/// The method of update.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum UpdateMethod {
    /// `PATCH`
    Patch,
    /// `PUT`
    Put,
}

/// When a failing upstream is left alone.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Breaker {
    /// Fewest requests within `window` before it may open.
    pub requests: u32,
    /// What it looks back on.
    pub window: Duration,
    /// The part that must fail, over 0 to 1.
    pub ratio: f64,
    /// How long it stays open before one request tries again.
    pub open: Duration,
}

/// How the upstream learns who asks.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Credentials {
    /// The caller's token.
    Bearer,
    /// A short token made for the upstream: HS256 under this secret, `aud` the audience.
    Mint {
        /// The key.
        secret: Box<str>,
        /// `aud`; none: the upstream's first base.
        audience: Option<Box<str>>,
        /// How long each lives.
        ttl: Duration,
    },
    /// `X-Pogo-Sub` and `X-Pogo-Claims`.
    Claims,
    /// It does not.
    None,
}

/// Who may bind and read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum AccessRule {
    /// Everyone.
    Public,
    /// Those whose claims satisfy an expression: `name`, `name=value` or `name={parameter}`,
    /// joined by `,`, all of which must hold.
    Claims(Box<str>),
    /// Those to whom the upstream shows it.
    Upstream,
}

/// Whose data an answer is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Audience {
    /// The caller's subject's.
    User,
    /// Of all whose values of these claims are the same.
    Claims(Vec<Box<str>>),
    /// Of everyone who may bind.
    Shared,
}

/// With whose credentials the gateway fetches.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum FetchAs {
    /// The caller's.
    Caller,
    /// Its own, which needs a shared audience: this bearer token, if any.
    Service(Option<Box<str>>),
}

/// Where a resource's version is: a whole number that strictly grows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum VersionAt {
    /// In the body, at a JSON pointer.
    Body(Box<str>),
    /// In a header.
    Header(Box<str>),
    /// Nowhere.
    None,
}

/// What the body of a write's answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum WriteReturns {
    /// Anything.
    Unknown,
    /// The item as it is now.
    Representation,
}

/// What an event does to a bound query.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Realtime {
    /// It is fetched again and compared by id.
    Refetch,
    /// Nothing.
    None,
}

/// Who tells of writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Publisher {
    /// The gateway, after each write through it.
    Gateway,
    /// The service behind it.
    Service,
    /// Both; doubles are recognised by version.
    Both,
}

/// How long answers are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct CacheSettings {
    /// At most so long, whatever the upstream says; none: as it says.
    pub max_ttl: Option<Duration>,
    /// May be used so long after it went stale while it is fetched again.
    pub stale_while_revalidate: Duration,
    /// May be used so long after it went stale while the upstream fails.
    pub stale_if_error: Duration,
}

// By hand: neither shows a secret.
impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Bearer => "Bearer",
            Self::Mint { .. } => "Mint",
            Self::Claims => "Claims",
            Self::None => "None",
        })
    }
}

impl std::fmt::Debug for FetchAs {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Caller => "Caller",
            Self::Service(_) => "Service",
        })
    }
}

/// What is written as a text, as a list of texts.
mod texts {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::de::Error;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<T, S>(values: &[T], serializer: S) -> Result<S::Ok, S::Error>
    where
        T: Display,
        S: Serializer,
    {
        serializer.collect_seq(values.iter().map(ToString::to_string))
    }

    pub(super) fn deserialize<'de, T, D>(from: D) -> Result<Vec<T>, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        let texts = Vec::<String>::deserialize(from)?;
        let values = texts
            .iter()
            .map(|text| text.parse().map_err(D::Error::custom));
        values.collect()
    }
}
