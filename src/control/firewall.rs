//! `pogo.v1.Firewall`.

use ipnet::IpNet;
use tonic::{Request, Response, Status};

use super::check::Check;
use super::page::Page;
use super::proto::firewall_server::Firewall;
use super::proto::{
    AllowRequest, AllowResponse, DenyRequest, DenyResponse, ListDeniedRequest, ListDeniedResponse,
};
use super::{Service, convert, status};
use crate::broker::Denied;
use crate::clock::Now;

#[tonic::async_trait]
impl Firewall for Service {
    async fn deny(&self, request: Request<DenyRequest>) -> Result<Response<DenyResponse>, Status> {
        let DenyRequest {
            addresses,
            ttl,
            reason,
        } = request.into_inner();
        let mut check = Check::default();
        let ranges = check.ranges(&addresses, self.limits.request_addresses);
        let ttl = check.ttl(ttl.as_ref());
        check.length("reason", &reason, self.limits.reason_bytes);
        check.done()?;

        let expires_at = ttl.map(|ttl| Now::read().unix + ttl);
        let reason: Box<str> = reason.into();
        let denied = ranges
            .into_iter()
            .map(|range| Denied {
                range,
                reason: reason.clone(),
                expires_at,
            })
            .collect();
        let closed = self.node.deny(denied).await.map_err(status::broker)?;
        Ok(Response::new(DenyResponse {
            sessions_closed: convert::count(closed),
        }))
    }

    async fn allow(
        &self,
        request: Request<AllowRequest>,
    ) -> Result<Response<AllowResponse>, Status> {
        let mut check = Check::default();
        let ranges = check.ranges(
            &request.into_inner().addresses,
            self.limits.request_addresses,
        );
        check.done()?;
        let allowed = self.node.allow(ranges).await.map_err(status::broker)?;
        let addresses = allowed.iter().map(ToString::to_string).collect();
        Ok(Response::new(AllowResponse { addresses }))
    }

    async fn list_denied(
        &self,
        request: Request<ListDeniedRequest>,
    ) -> Result<Response<ListDeniedResponse>, Status> {
        let ListDeniedRequest {
            page_size,
            page_token,
        } = request.into_inner();
        let page = Page::new("denied".into(), page_size, &page_token, &self.limits)?;
        // Its seal says that the token is ours, so it holds a range or nothing.
        let after: Option<IpNet> = page.after().parse().ok();
        let mut denied = self.node.denied().await.map_err(status::broker)?;
        denied.sort_unstable_by_key(|denied| denied.range);
        let rows = denied
            .iter()
            .filter(|denied| after.is_none_or(|after| denied.range > after))
            .take(page.read())
            .map(convert::denied)
            .collect();
        let (denied, next_page_token) = page.cut(rows, |denied| &denied.address);
        Ok(Response::new(ListDeniedResponse {
            denied,
            next_page_token,
        }))
    }
}
