//! The control plane as a service in Rust sees it.

use pogo::control::proto::channels_client::ChannelsClient;
use pogo::control::proto::endpoints_client::EndpointsClient;
use pogo::control::proto::events_client::EventsClient;
use pogo::control::proto::firewall_client::FirewallClient;
use pogo::control::proto::nodes_client::NodesClient;
use pogo::control::proto::publisher_client::PublisherClient;
use pogo::control::proto::sessions_client::SessionsClient;
use pogo::control::proto::{
    PublishRequest, Receipt, RevokeSessionsRequest, RevokeSessionsResponse,
};
use serde_json::Value;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::{Channel, Endpoint};
use tonic::{Request, Status};

/// Adds the caller's key to every call.
#[derive(Clone)]
pub struct Key(Option<MetadataValue<Ascii>>);

impl Interceptor for Key {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(key) = &self.0 {
            request.metadata_mut().insert("authorization", key.clone());
        }
        Ok(request)
    }
}

type Service = InterceptedService<Channel, Key>;

/// A client for every service.
#[derive(Clone)]
pub struct Control {
    pub publisher: PublisherClient<Service>,
    pub channels: ChannelsClient<Service>,
    pub sessions: SessionsClient<Service>,
    pub firewall: FirewallClient<Service>,
    pub events: EventsClient<Service>,
    pub nodes: NodesClient<Service>,
    pub endpoints: EndpointsClient<Service>,
}

impl Control {
    pub async fn connect(address: std::net::SocketAddr, key: Option<&str>) -> Self {
        let endpoint = Endpoint::from_shared(format!("http://{address}")).unwrap();
        let channel = endpoint.connect().await.unwrap();
        let key = Key(key.map(|key| format!("Bearer {key}").parse().unwrap()));
        let service = || InterceptedService::new(channel.clone(), key.clone());
        Self {
            publisher: PublisherClient::new(service()),
            channels: ChannelsClient::new(service()),
            sessions: SessionsClient::new(service()),
            firewall: FirewallClient::new(service()),
            events: EventsClient::new(service()),
            nodes: NodesClient::new(service()),
            endpoints: EndpointsClient::new(service()),
        }
    }

    /// Publishes on one channel.
    pub async fn publish(&mut self, channel: &str, event: &str, data: &Value) -> Receipt {
        let request = publish_request(channel, event, data);
        self.send(request).await
    }

    /// Publishes what `request` says, on its one channel.
    pub async fn send(&mut self, request: PublishRequest) -> Receipt {
        let response = self.publisher.publish(request).await.unwrap().into_inner();
        let [receipt] = <[Receipt; 1]>::try_from(response.receipts).unwrap();
        receipt
    }

    pub async fn revoke(&mut self, request: RevokeSessionsRequest) -> RevokeSessionsResponse {
        self.sessions
            .revoke_sessions(request)
            .await
            .unwrap()
            .into_inner()
    }
}

/// A request for one channel.
pub fn publish_request(channel: &str, event: &str, data: &Value) -> PublishRequest {
    PublishRequest {
        channels: vec![channel.into()],
        event: event.into(),
        data: data.to_string().into(),
        ..PublishRequest::default()
    }
}
