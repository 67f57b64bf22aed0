//! One endpoint's upstream: a request goes to one of its bases, and once more to another where that
//! may help and harms nobody.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::Either;
use http::{Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::capture_connection;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::ClientConfig;
use tokio::time::{Instant, timeout_at};

use super::balance::{Bases, Choice};
use super::body::{Sent, UpstreamBody};
use super::breaker::{Breaker, Leave, Stand};
use super::headers;
use super::prepared::Prepared;
use super::retry::{self, Budget};
use super::slots::{Slot, Slots};
use super::{Asked, BadAnswer, Config, RequestBody, Unasked, UpstreamError, failed};
use crate::egress::{self, Connector, Guard, Reach};
use crate::metrics::{EndpointLabel, EndpointLabels, Gateway};
use crate::resource;

/// How long a connection may wait for the next request. Many servers close theirs after 5 s; a
/// write on one that is being closed has an outcome that nobody knows.
const IDLE: Duration = Duration::from_secs(4);
/// Connections of one base that may wait so.
const MOST_IDLE: usize = 64;

/// A client whose connections are one upstream's alone: what one may reach is not another's.
pub(super) type HttpClient = Client<HttpsConnector<Connector>, Sent>;

/// An endpoint's upstream.
#[derive(Debug)]
pub(super) struct Upstream {
    pub(super) settings: resource::Upstream,
    name: String,
    bases: Arc<Bases>,
    breaker: Arc<Breaker>,
    slots: Slots,
    budget: Budget,
    metrics: Gateway,
    upload_time: Duration,
    /// For a read whose connection was closed under it: each request has a connection of its own.
    fresh: HttpClient,
}

/// The head of an answer, its body to come.
struct Arrived {
    response: Response<Incoming>,
    trial: Trial,
    _slot: Slot,
    deadline: Instant,
}

/// A request, for those who count how it goes.
struct Trial {
    leave: Leave,
    choice: Choice,
}

impl Trial {
    fn settle(self, well: bool) {
        let now = Instant::now();
        self.leave.settle(well, now);
        self.choice.settle(well, now);
    }
}

/// Why there was no answer to one request.
struct Ended {
    why: UpstreamError,
    /// Its connection had served others, and was closed before an answer.
    stale: bool,
}

impl From<UpstreamError> for Ended {
    fn from(why: UpstreamError) -> Self {
        Self { why, stale: false }
    }
}

impl Upstream {
    pub(super) fn new(
        name: &str,
        settings: &resource::Upstream,
        config: &Config,
        tls: ClientConfig,
        metrics: Gateway,
    ) -> Self {
        let guard = Guard {
            reach: Reach::Private,
            allow: config.allow.clone(),
            loopback: config.loopback,
            literal: settings.literal,
        };
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls)
            .https_or_http()
            .enable_http1()
            .wrap_connector(Connector::new(guard, settings.connect_timeout));
        let client = |idle| {
            Client::builder(TokioExecutor::new())
                .pool_idle_timeout(IDLE)
                .pool_timer(TokioTimer::new())
                .pool_max_idle_per_host(idle)
                .http1_max_headers(100)
                .build(connector.clone())
        };
        Self {
            settings: settings.clone(),
            name: name.to_owned(),
            bases: Bases::new(&settings.bases, &client(MOST_IDLE)),
            breaker: Breaker::new(settings.breaker),
            slots: Slots::new(settings.concurrency),
            budget: Budget::new(),
            metrics,
            upload_time: config.upload_time,
            fresh: client(0),
        }
    }

    /// The whole answer, at most `limit` bytes of it.
    pub(super) async fn fetch(
        &self,
        asked: Asked,
        limit: usize,
    ) -> Result<Response<Bytes>, UpstreamError> {
        let arrived = self.ask(asked).await?;
        let (head, body) = arrived.response.into_parts();
        let is_elsewhere = head.status.is_redirection() && head.status != StatusCode::NOT_MODIFIED;
        let too_long = body.size_hint().lower() > limit as u64;
        let read = if is_elsewhere {
            Err(failed::bad(BadAnswer::Redirect))
        } else if too_long {
            Err(failed::bad(BadAnswer::TooLong))
        } else {
            let reading = Limited::new(body, limit).collect();
            match timeout_at(arrived.deadline, reading).await {
                Err(_) => Err(UpstreamError::Timeout { sent: true }),
                Ok(Ok(body)) => Ok(body.to_bytes()),
                Ok(Err(error)) if error.is::<LengthLimitError>() => {
                    Err(failed::bad(BadAnswer::TooLong))
                }
                Ok(Err(_)) => Err(failed::bad(BadAnswer::Http)),
            }
        };
        let well = read
            .as_ref()
            .err()
            .is_none_or(|error| !failed::is_ill(error));
        let well = well && !head.status.is_server_error();
        arrived.trial.settle(well);
        if let Err(error) = &read {
            self.count(error.label());
        }
        Ok(Response::from_parts(head, read?))
    }

    /// The answer as it comes. Its body holds no place: whoever reads it slowly holds a connection
    /// and nothing that others wait for.
    pub(super) async fn stream(
        &self,
        asked: Asked,
    ) -> Result<Response<UpstreamBody>, UpstreamError> {
        let arrived = self.ask(asked).await?;
        let well = !arrived.response.status().is_server_error();
        arrived.trial.settle(well);
        let pause = self.patience();
        Ok(arrived.response.map(|body| UpstreamBody::new(body, pause)))
    }

    async fn ask(&self, asked: Asked) -> Result<Arrived, UpstreamError> {
        let began = Instant::now();
        let is_upload = matches!(asked.body, RequestBody::Stream(_));
        let slot = self.slots.take(is_upload).await;
        let Some(slot) = slot else {
            self.count("unavailable");
            return Err(failed::unasked(Unasked::Full, None));
        };
        let mut deadline = began + self.settings.timeout;
        if is_upload {
            deadline += self.upload_time;
        }
        let mut prepared = Prepared::new(asked, &self.settings.forward);
        self.budget.earn();
        let mut left = if is_upload { 0 } else { self.settings.retries };
        let mut last = None;
        let mut avoid = None;
        loop {
            let leave = match self.breaker.pass(Instant::now()) {
                Ok(leave) => leave,
                Err(wait) => {
                    self.count("unavailable");
                    let refused = failed::unasked(Unasked::Open, Some(wait));
                    return Err(last.unwrap_or(refused));
                }
            };
            let Some(choice) = self.bases.choose(avoid, Instant::now()) else {
                return Err(failed::unsent(BadAnswer::Request));
            };
            let trial = Trial { leave, choice };
            let outcome = self.attempt(&trial.choice, &mut prepared, deadline).await;
            let pause = self.pause_before_another(&outcome, &prepared, deadline);
            let again = left > 0 && pause.is_some() && self.budget.spend();
            match outcome {
                Ok(response) if !again => {
                    return Ok(Arrived {
                        response,
                        trial,
                        _slot: slot,
                        deadline,
                    });
                }
                Err(error) if !again => {
                    if failed::is_ill(&error) {
                        trial.settle(false);
                    }
                    return Err(error);
                }
                Ok(_) => {}
                Err(error) => last = Some(error),
            }
            avoid = Some(trial.choice.at);
            trial.settle(false);
            left -= 1;
            self.metrics.retries.get_or_create(&self.label()).inc();
            tokio::time::sleep(pause.unwrap_or_default()).await;
        }
    }

    /// One request to one base, and the head of its answer.
    async fn attempt(
        &self,
        choice: &Choice,
        prepared: &mut Prepared,
        deadline: Instant,
    ) -> Result<Response<Incoming>, UpstreamError> {
        let began = Instant::now();
        let mut outcome = self.exchange(choice, prepared, deadline, false).await;
        // An idle connection may be closed while a request is on its way: that says nothing of the
        // upstream. What nobody had of a request the client below has made again by itself.
        if matches!(&outcome, Err(Ended { stale: true, .. })) && prepared.only_reads() {
            outcome = self.exchange(choice, prepared, deadline, true).await;
        }
        let outcome = outcome.map_err(|ended| ended.why);
        match &outcome {
            Ok(response) => self.count(response.status().as_str()),
            Err(error) => self.count(error.label()),
        }
        self.metrics
            .seconds
            .get_or_create(&self.label())
            .observe(began.elapsed().as_secs_f64());
        outcome
    }

    /// `fresh`: on a connection that has served nobody yet.
    async fn exchange(
        &self,
        choice: &Choice,
        prepared: &mut Prepared,
        deadline: Instant,
        fresh: bool,
    ) -> Result<Response<Incoming>, Ended> {
        let uri = whole_uri(choice.uri(), &prepared.path)
            .ok_or_else(|| failed::unsent(BadAnswer::Request))?;
        let (body, sent) = prepared.take_body();
        let mut request = Request::new(body);
        *request.method_mut() = prepared.method.clone();
        *request.uri_mut() = uri.clone();
        *request.headers_mut() = prepared.headers.clone();
        let connected = capture_connection(&mut request);
        let mut answering = pin!(if fresh {
            Either::Left(self.fresh.request(request))
        } else {
            Either::Right(choice.send(request))
        });
        let answer = timeout_at(deadline, async {
            // The upstream's own time begins when it has the request.
            if let Some(sent) = sent {
                tokio::select! {
                    answer = &mut answering => return Ok(answer),
                    _ = sent => {}
                }
            }
            let late = Instant::now() + self.patience();
            timeout_at(late, &mut answering).await
        })
        .await;
        let (is_sent, served_before) = match &*connected.connection_metadata() {
            Some(connection) => (true, egress::serves_again(connection)),
            None => (false, false),
        };
        let answer = answer.and_then(|within| within);
        let answer = answer.map_err(|_| UpstreamError::Timeout { sent: is_sent })?;
        let mut response = answer.map_err(|error| Ended {
            stale: served_before && failed::is_closed(&error),
            why: failed::of_client(&error, is_sent),
        })?;
        if response.status().is_informational() || headers::has_two_lengths(response.headers()) {
            return Err(failed::bad(BadAnswer::Http).into());
        }
        headers::clean_answer(response.headers_mut(), &uri, &self.settings.bases);
        Ok(response)
    }

    /// How long to wait before another attempt; none: there is no sense in one, or it would do
    /// harm. A request that reached nobody may go to another base, whatever it is.
    fn pause_before_another(
        &self,
        outcome: &Result<Response<Incoming>, UpstreamError>,
        prepared: &Prepared,
        deadline: Instant,
    ) -> Option<Duration> {
        let pause = match outcome {
            Err(UpstreamError::Unavailable {
                why: Unasked::Unreachable,
                ..
            }) if prepared.idempotent || self.settings.bases.len() > 1 => retry::pause(None)?,
            Err(error) if prepared.idempotent && failed::is_ill(error) => retry::pause(None)?,
            Ok(response) if prepared.idempotent && retry::is_passing(response.status()) => {
                retry::pause(retry::retry_after(response.headers()))?
            }
            _ => return None,
        };
        (Instant::now() + pause < deadline).then_some(pause)
    }

    /// How long the head of an answer, or a further part of one, may take.
    fn patience(&self) -> Duration {
        self.settings.timeout / 2
    }

    fn label(&self) -> EndpointLabel {
        EndpointLabel {
            endpoint: self.name.clone(),
        }
    }

    fn count(&self, status: &str) {
        let labels = EndpointLabels {
            endpoint: self.name.clone(),
            status: status.to_owned(),
        };
        self.metrics.requests.get_or_create(&labels).inc();
    }

    /// Brings the gauges up to date.
    pub(super) fn show(&self) {
        let label = self.label();
        let stand = match self.breaker.stand() {
            Stand::Closed => 0,
            Stand::Trying => 1,
            Stand::Open => 2,
        };
        self.metrics.breaker.get_or_create(&label).set(stand);
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        let ejected = number(self.bases.ejected());
        self.metrics.ejected.get_or_create(&label).set(ejected);
        let waiting = number(self.slots.waiting());
        self.metrics.queue.get_or_create(&label).set(waiting);
    }
}

/// `path` below `base`.
fn whole_uri(base: &Uri, path: &str) -> Option<Uri> {
    if !path.starts_with('/') {
        return None;
    }
    let below = base.path().trim_end_matches('/');
    Uri::builder()
        .scheme(base.scheme()?.clone())
        .authority(base.authority()?.clone())
        .path_and_query(format!("{below}{path}"))
        .build()
        .ok()
}
