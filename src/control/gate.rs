//! The gate in front of the services: who calls, whether it may, and for how long.

use std::convert::Infallible;
use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::{Body as _, Incoming};
use hyper::service::service_fn;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};
use tonic::Status;
use tonic::body::Body;
use tonic::service::Routes;
use tower::{Service as _, ServiceExt};

use super::access::{Access, Credential, credential};
use super::caller::Caller;
use super::deadline::{Ending, timeout};
use super::proto::publisher_server::PublisherServer;
use super::{Service, status};

/// Methods whose answers go on for as long as the client likes.
const STREAMS: [&str; 6] = [
    "/pogo.v1.Publisher/PublishStream",
    "/pogo.v1.Channels/Subscribe",
    "/pogo.v1.Events/Watch",
    "/grpc.health.v1.Health/Watch",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];
/// The one of them that ends by itself when the server stops, with what it has taken done.
const PUBLISH_STREAM: &str = STREAMS[0];

/// Where the paths of [`Gate::publisher`] begin.
const PUBLISHER: &str = "/pogo.v1.Publisher/";

/// Why a connection is ending; `None`: it is not.
pub(super) type Stopping = Option<Stop>;

/// Why streams must end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// The server goes away.
    Draining,
    /// The connection has reached its age, and its grace is over.
    Aged,
}

impl Stop {
    pub(super) fn status(self) -> Status {
        match self {
            Self::Draining => status::draining(),
            Self::Aged => status::aged(),
        }
    }
}

/// One connection's way to the services.
#[derive(Clone)]
pub(super) struct Gate {
    pub(super) publisher: PublisherServer<Service>,
    /// The other services.
    pub(super) routes: Routes,
    pub(super) access: Arc<Access>,
    /// How long a call without a deadline may take.
    pub(super) default_deadline: Duration,
    /// Whether the connection shows a client certificate.
    pub(super) certificate: bool,
    /// Whether a caller has used the connection.
    pub(super) known: Arc<AtomicBool>,
    pub(super) stopping: watch::Receiver<Stopping>,
}

impl Gate {
    /// The connection's calls, each with the answer that it gets.
    pub(super) fn into_service(
        self,
    ) -> impl hyper::service::Service<
        Request<Incoming>,
        Response = Response<Body>,
        Error = Infallible,
        Future = impl Future<Output = Result<Response<Body>, Infallible>> + Send + 'static,
    > {
        let gate = Arc::new(self);
        service_fn(move |request| {
            let gate = Arc::clone(&gate);
            async move {
                Ok(gate
                    .pass(request)
                    .await
                    .unwrap_or_else(|refusal| refusal.into_http()))
            }
        })
    }

    async fn pass(&self, mut request: Request<Incoming>) -> Result<Response<Body>, Status> {
        let given = timeout(request.headers())?;
        if given == Some(Duration::ZERO) {
            return Err(status::deadline());
        }
        let credential = credential(request.headers(), self.certificate)?;
        let caller = self.access.admit(request.uri().path(), &credential)?;
        let stream = STREAMS
            .iter()
            .copied()
            .find(|path| *path == request.uri().path());

        let given = given.and_then(|span| Instant::now().checked_add(span));
        let deadline = match stream {
            Some(_) => given,
            None => Some(given.unwrap_or_else(|| Instant::now() + self.default_deadline)),
        };
        if let Some(caller) = &caller {
            self.known.store(true, Ordering::Relaxed);
            request.extensions_mut().insert(Arc::clone(caller));
        }
        if stream.is_some() {
            request.extensions_mut().insert(self.stopping.clone());
        }
        let answer = self.answer(request);
        let answered = match deadline {
            Some(deadline) => timeout_at(deadline, answer)
                .await
                .map_err(|_| status::deadline())?,
            None => answer.await,
        };
        let response = match answered {
            Ok(response) => mended(response),
            Err(never) => match never {},
        };
        Ok(match (stream, caller) {
            (Some(path), Some(caller)) if !response.body().is_end_stream() => {
                let end = self.clone().end(path, deadline, credential, caller);
                response.map(|body| Body::new(Ending::new(body, end)))
            }
            _ => response,
        })
    }

    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        // Nearly every call is a publication: it does not pay for the way through a router.
        if request.uri().path().starts_with(PUBLISHER) {
            return self.publisher.clone().call(request).await;
        }
        self.routes.clone().oneshot(request.map(Body::new)).await
    }

    /// Returns when a stream must end, with its status.
    async fn end(
        mut self,
        path: &'static str,
        deadline: Option<Instant>,
        credential: Credential,
        caller: Arc<Caller>,
    ) -> Status {
        let late = async {
            match deadline {
                Some(deadline) => tokio::time::sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        let stopping = async {
            if path == PUBLISH_STREAM {
                return std::future::pending().await;
            }
            stopped(&mut self.stopping).await
        };
        tokio::select! {
            () = late => status::deadline(),
            stop = stopping => stop.status(),
            refusal = self.access.lost(credential, caller) => refusal,
        }
    }
}

/// Returns when the connection must end, with why.
pub(super) async fn stopped(stopping: &mut watch::Receiver<Stopping>) -> Stop {
    loop {
        if let Some(stop) = *stopping.borrow_and_update() {
            return stop;
        }
        if stopping.changed().await.is_err() {
            // The connection is gone, and who waits here with it.
            std::future::pending::<()>().await;
        }
    }
}

/// Tonic's own refusals with the codes that we promise.
fn mended(response: Response<Body>) -> Response<Body> {
    match response.extensions().get::<Status>() {
        Some(refusal) => status::mend(refusal.clone()).into_http(),
        None => response,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use prost::Message;
    use std::collections::BTreeSet;

    #[test]
    fn every_streaming_method_is_known() {
        let mut found = BTreeSet::new();
        for descriptors in [
            crate::control::proto::FILE_DESCRIPTOR_SET,
            tonic_health::pb::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
        ] {
            let set = prost_types::FileDescriptorSet::decode(descriptors).unwrap();
            for file in set.file {
                for service in &file.service {
                    for method in &service.method {
                        if method.server_streaming() {
                            let (package, service) = (file.package(), service.name());
                            found.insert(format!("/{package}.{service}/{}", method.name()));
                        }
                    }
                }
            }
        }
        assert_eq!(found, STREAMS.iter().map(ToString::to_string).collect());
    }
}
