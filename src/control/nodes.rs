//! `pogo.v1.Nodes`.

use tonic::{Request, Response, Status};

use super::page::Page;
use super::proto::nodes_server::Nodes;
use super::proto::{ListNodesRequest, ListNodesResponse};
use super::{Service, convert};
use crate::hub::{SessionAction, SessionFilter};

#[tonic::async_trait]
impl Nodes for Service {
    async fn list_nodes(
        &self,
        request: Request<ListNodesRequest>,
    ) -> Result<Response<ListNodesResponse>, Status> {
        let ListNodesRequest {
            page_size,
            page_token,
        } = request.into_inner();
        let page = Page::new("nodes".into(), page_size, &page_token, &self.limits)?;
        let identity = self.node.identity();
        let sessions = self
            .node
            .act(SessionFilter::default(), SessionAction::Count)
            .await;
        let rows = [convert::node(&identity, sessions, self.node.hub().len())];
        let rows = rows
            .into_iter()
            .filter(|node| node.id.as_str() > page.after())
            .collect();
        let (nodes, next_page_token) = page.cut(rows, |node| &node.id);
        Ok(Response::new(ListNodesResponse {
            nodes,
            next_page_token,
        }))
    }
}
