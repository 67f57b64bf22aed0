//! A gRPC service that does nothing: the limit that publishing is held against. It has the types
//! of `Publisher`, so that the same bytes come and go, and is a process of its own.

use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Stdio};

use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use tokio::io::AsyncReadExt;
use tokio::net::TcpListener;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status, Streaming, async_trait};

use super::process::Process;
use super::spawn;
use crate::cli::error::CliError;
use crate::cli::output::Output;
use crate::cli::remote::Remote;
use crate::control::proto::publish_stream_response::Result as Item;
use crate::control::proto::publisher_server::{Publisher, PublisherServer};
use crate::control::proto::{
    PublishBatchRequest, PublishBatchResponse, PublishRequest, PublishResponse,
    PublishStreamRequest, PublishStreamResponse, Receipt,
};

fn failed(error: impl std::fmt::Display) -> CliError {
    CliError::Failed(format!("the service that does nothing: {error}"))
}

/// The child.
pub(super) struct BareService {
    child: Child,
    url: String,
}

impl BareService {
    pub(super) fn start() -> Result<Self, CliError> {
        let mut command = spawn::program()?;
        command.args(["bench", "bare-grpc"]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().map_err(failed)?;
        let mut url = String::new();
        if let Some(output) = child.stdout.take() {
            BufReader::new(output).read_line(&mut url).map_err(failed)?;
        }
        let url = format!("http://{}", url.trim_end());
        Ok(Self { child, url })
    }

    pub(super) fn remote(&self) -> Remote {
        Remote::at(self.url.clone(), None)
    }

    pub(super) fn process(&self) -> Result<Process, CliError> {
        Process::of(self.child.id()).map_err(failed)
    }
}

impl Drop for BareService {
    fn drop(&mut self) {
        spawn::end(&mut self.child);
    }
}

/// What the child runs.
pub(super) fn run(out: &mut Output) -> Result<(), CliError> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build();
    runtime.map_err(failed)?.block_on(async {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        out.line(&listener.local_addr().map_err(failed)?.to_string())?;
        let connections = TcpListenerStream::new(listener).map(|connection| {
            connection.inspect(|stream| {
                // Without it small answers wait; a stream that is gone says so itself.
                let _ = stream.set_nodelay(true);
            })
        });
        // The end of stdin is the end of the run, however that came.
        let over = async {
            let _ = tokio::io::stdin().read_to_end(&mut Vec::new()).await;
        };
        tonic::transport::Server::builder()
            .add_service(PublisherServer::new(Nothing))
            .serve_with_incoming_shutdown(connections, over)
            .await
            .map_err(failed)
    })
}

struct Nothing;

fn answer(request: PublishRequest) -> PublishResponse {
    let receipt = |channel| Receipt {
        channel,
        ..Receipt::default()
    };
    PublishResponse {
        receipts: request.channels.into_iter().map(receipt).collect(),
    }
}

#[async_trait]
impl Publisher for Nothing {
    async fn publish(
        &self,
        request: Request<PublishRequest>,
    ) -> Result<Response<PublishResponse>, Status> {
        Ok(Response::new(answer(request.into_inner())))
    }

    async fn publish_batch(
        &self,
        _request: Request<PublishBatchRequest>,
    ) -> Result<Response<PublishBatchResponse>, Status> {
        Err(Status::unimplemented(""))
    }

    type PublishStreamStream = BoxStream<'static, Result<PublishStreamResponse, Status>>;

    async fn publish_stream(
        &self,
        request: Request<Streaming<PublishStreamRequest>>,
    ) -> Result<Response<Self::PublishStreamStream>, Status> {
        let answers = request.into_inner().map(|item| {
            item.map(|item| PublishStreamResponse {
                sequence: item.sequence,
                result: item.publish.map(|publish| Item::Response(answer(publish))),
            })
        });
        Ok(Response::new(answers.boxed()))
    }
}
