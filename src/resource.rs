//! Resources of REST APIs as the gateway serves them: which uris an endpoint covers, how they are
//! written, and what is asked of one and answered. Pure: no I/O, no state that changes.

mod call;
mod claims;
mod endpoint;
mod routes;
mod template;
mod uri;
mod validate;
mod words;

pub use call::{
    Answer, Bound, Call, CallOptions, Caller, Calls, Failure, Origin, Past, Since, Success, Verb,
};
pub use claims::{ClaimTest, claim_tests};
pub use endpoint::{
    AccessRule, Audience, Breaker, CacheSettings, Credentials, Endpoint, FetchAs, Publisher,
    Realtime, UpdateMethod, Upstream, VersionAt, WriteReturns,
};
pub use routes::{Resource, ResourceKind, Routes};
pub use template::TemplateError;
pub use uri::UriError;
pub use validate::EndpointError;
