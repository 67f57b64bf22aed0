//! `pogo.v1.Endpoints`.

mod mask;
mod wire;

use tonic::{Code, Request, Response, Status};

pub use wire::message;

use super::check::Check;
use super::page::Page;
use super::proto::endpoints_server::Endpoints;
use super::proto::{
    DeleteEndpointRequest, DeleteEndpointResponse, ListEndpointsRequest, ListEndpointsResponse,
    PurgeCacheRequest, PurgeCacheResponse, PutEndpointRequest, PutEndpointResponse,
    ReaccessRequest, ReaccessResponse, purge_cache_request,
};
use super::{Service, convert, proto, status};
use crate::gateway::cache::Purge;
use crate::gateway::{Checked, EndpointsError, Whose};
use crate::resource::Endpoint;

/// Longest surrogate key, subject or token id.
const MAX_TEXT_BYTES: usize = 1_024;

/// Why an endpoint is not put: the table, or the request.
enum PutError {
    Table(EndpointsError),
    Request(Status),
}

impl From<EndpointsError> for PutError {
    fn from(error: EndpointsError) -> Self {
        Self::Table(error)
    }
}

impl PutError {
    fn status(self, name: &str) -> Status {
        match self {
            Self::Table(error) => refused(error, name),
            Self::Request(status) => status,
        }
    }
}

fn refused(error: EndpointsError, name: &str) -> Status {
    match error {
        EndpointsError::Refused(errors) => {
            let mut check = Check::default();
            wire::refuse(&errors, name, &mut check);
            check.refusal()
        }
        EndpointsError::NotFound => status::not_found("ENDPOINT_NOT_FOUND", &error.to_string()),
        EndpointsError::Configured => {
            let reason = "ENDPOINT_IN_FILE";
            status::refuse(Code::FailedPrecondition, reason, &error.to_string())
        }
        EndpointsError::Broker(error) => status::broker(error),
    }
}

/// The endpoint that a request makes of the one that is there.
fn changed(
    given: proto::Endpoint,
    mask: Option<&[String]>,
    there: Option<&Endpoint>,
) -> Result<Endpoint, PutError> {
    let mut check = Check::default();
    let whole = match mask {
        None => given,
        Some(paths) => {
            let there = there.ok_or(EndpointsError::NotFound)?;
            let mut whole = wire::message(there);
            for (index, path) in paths.iter().enumerate() {
                if !mask::copy(path, &given, &mut whole) {
                    let field = format_args!("update_mask.paths[{index}]");
                    check.refuse(field, format_args!("an endpoint has no field `{path}`"));
                }
            }
            whole
        }
    };
    let endpoint = wire::read(&whole, &mut check);
    check.done().map_err(PutError::Request)?;
    Ok(endpoint)
}

impl Service {
    /// Waits for the checks that a changed table asks for.
    async fn renew(&self) -> Checked {
        match self.endpoints.upkeep() {
            Some(upkeep) => upkeep.renewed().await,
            None => Checked::default(),
        }
    }
}

#[tonic::async_trait]
impl Endpoints for Service {
    async fn list_endpoints(
        &self,
        request: Request<ListEndpointsRequest>,
    ) -> Result<Response<ListEndpointsResponse>, Status> {
        let ListEndpointsRequest {
            page_size,
            page_token,
        } = request.into_inner();
        let page = Page::new("endpoints".into(), page_size, &page_token, &self.limits)?;
        let all = self.endpoints.all();
        let following = all.iter().filter(|(one, _)| *one.name > *page.after());
        let rows = following.take(page.read());
        let rows = rows.map(|(one, live)| wire::shown(one, *live)).collect();
        let (endpoints, next_page_token) = page.cut(rows, |row| &row.name);
        Ok(Response::new(ListEndpointsResponse {
            endpoints,
            next_page_token,
        }))
    }

    async fn put_endpoint(
        &self,
        request: Request<PutEndpointRequest>,
    ) -> Result<Response<PutEndpointResponse>, Status> {
        let PutEndpointRequest {
            endpoint,
            update_mask,
        } = request.into_inner();
        let given = endpoint.ok_or_else(|| status::bad_field("endpoint", "is missing"))?;
        let name = given.name.clone();
        if name.is_empty() {
            return Err(status::bad_field("endpoint.name", "is empty"));
        }
        let mask = update_mask.map(|mask| mask.paths);
        let put = self
            .endpoints
            .put(&name, |there| changed(given, mask.as_deref(), there));
        let endpoint = put.await.map_err(|error| error.status(&name))?;
        self.renew().await;
        Ok(Response::new(PutEndpointResponse {
            endpoint: Some(wire::shown(&endpoint, true)),
        }))
    }

    async fn delete_endpoint(
        &self,
        request: Request<DeleteEndpointRequest>,
    ) -> Result<Response<DeleteEndpointResponse>, Status> {
        let name = request.into_inner().name;
        let deleted = self.endpoints.delete(&name).await;
        deleted.map_err(|error| refused(error, &name))?;
        self.renew().await;
        Ok(Response::new(DeleteEndpointResponse {}))
    }

    async fn purge_cache(
        &self,
        request: Request<PurgeCacheRequest>,
    ) -> Result<Response<PurgeCacheResponse>, Status> {
        use purge_cache_request::Target;
        let mut check = Check::default();
        let target = request.into_inner().target;
        let pattern = match &target {
            Some(Target::UriPattern(text)) => {
                let all = if text.is_empty() { "**" } else { text };
                check.pattern("uri_pattern", all).flatten()
            }
            Some(Target::SurrogateKey(key)) => {
                if key.is_empty() || key.contains(char::is_whitespace) {
                    check.refuse("surrogate_key", "one key, without white space");
                }
                check.length("surrogate_key", key, MAX_TEXT_BYTES);
                None
            }
            None => {
                check.refuse("uri_pattern", "this or surrogate_key is needed");
                None
            }
        };
        check.done()?;
        let what = match (&pattern, &target) {
            (Some(pattern), _) => Some(Purge::Uris(pattern)),
            (None, Some(Target::SurrogateKey(key))) => Some(Purge::Key(key)),
            _ => None,
        };
        let upkeep = self.endpoints.upkeep();
        let purged = upkeep.zip(what).map(|(upkeep, what)| upkeep.purge(what));
        Ok(Response::new(PurgeCacheResponse {
            purged: convert::count(purged.unwrap_or_default()),
        }))
    }

    async fn reaccess(
        &self,
        request: Request<ReaccessRequest>,
    ) -> Result<Response<ReaccessResponse>, Status> {
        let ReaccessRequest {
            uri_pattern,
            subject,
            token_id,
        } = request.into_inner();
        let mut check = Check::default();
        let pattern = uri_pattern.unwrap_or_default();
        let uris = check.pattern("uri_pattern", &pattern).flatten();
        for (field, text) in [("subject", &subject), ("token_id", &token_id)] {
            check.length(field, text.as_deref().unwrap_or_default(), MAX_TEXT_BYTES);
        }
        check.done()?;
        let whose = Whose {
            uris,
            subject: subject.map(Into::into),
            token_id: token_id.map(Into::into),
        };
        let checked = match self.endpoints.upkeep() {
            Some(upkeep) => upkeep.reaccess(whose).await,
            None => Checked::default(),
        };
        Ok(Response::new(ReaccessResponse {
            rechecked: convert::count(checked.rechecked),
            removed: convert::count(checked.removed),
        }))
    }
}
