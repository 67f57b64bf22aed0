//! `pogo.v1.Endpoints`: defined, and not built yet. Every method says so.

use tonic::{Code, Request, Response, Status};

use super::proto::endpoints_server::Endpoints;
use super::proto::{
    DeleteEndpointRequest, DeleteEndpointResponse, ListEndpointsRequest, ListEndpointsResponse,
    PurgeCacheRequest, PurgeCacheResponse, PutEndpointRequest, PutEndpointResponse,
    ReaccessRequest, ReaccessResponse,
};
use super::{Service, status};

fn not_built<T>() -> Result<Response<T>, Status> {
    Err(status::refuse(
        Code::Unimplemented,
        "NOT_BUILT",
        "this server has no gateway",
    ))
}

#[tonic::async_trait]
impl Endpoints for Service {
    async fn list_endpoints(
        &self,
        _: Request<ListEndpointsRequest>,
    ) -> Result<Response<ListEndpointsResponse>, Status> {
        not_built()
    }

    async fn put_endpoint(
        &self,
        _: Request<PutEndpointRequest>,
    ) -> Result<Response<PutEndpointResponse>, Status> {
        not_built()
    }

    async fn delete_endpoint(
        &self,
        _: Request<DeleteEndpointRequest>,
    ) -> Result<Response<DeleteEndpointResponse>, Status> {
        not_built()
    }

    async fn purge_cache(
        &self,
        _: Request<PurgeCacheRequest>,
    ) -> Result<Response<PurgeCacheResponse>, Status> {
        not_built()
    }

    async fn reaccess(
        &self,
        _: Request<ReaccessRequest>,
    ) -> Result<Response<ReaccessResponse>, Status> {
        not_built()
    }
}
