//! The HTTP API of Pusher's protocol, as far as publishing needs it.

use aws_lc_rs::hmac;
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use md5::{Digest, Md5};
use serde_json::{Value, json};

use super::publisher::EVENT;
use crate::cli::error::CliError;
use crate::cli::remote::chain;
use crate::clock::Now;

/// Most events of one call, as hosted Pusher allows.
const BATCH: usize = 10;

/// Credentials.
#[derive(Clone)]
pub(super) struct App {
    id: String,
    key: String,
    secret: String,
}

impl App {
    pub(super) fn parse(text: &str) -> Result<Self, CliError> {
        let mut parts = text.splitn(3, ':').map(ToOwned::to_owned);
        match (parts.next(), parts.next(), parts.next()) {
            (Some(id), Some(key), Some(secret)) => Ok(Self { id, key, secret }),
            _ => Err(CliError::Usage("--app is id:key:secret".into())),
        }
    }

    /// Where its clients connect.
    pub(super) fn path(&self) -> String {
        format!("/app/{}?protocol=7&client=pogo-bench&version=1", self.key)
    }

    /// Path and signed query of a POST with `body`.
    fn signed(&self, path: &str, body: &[u8], seconds: u64) -> String {
        let path = format!("/apps/{}/{path}", self.id);
        let query = format!(
            "auth_key={}&auth_timestamp={seconds}&auth_version=1.0&body_md5={}",
            self.key,
            hex(&Md5::digest(body))
        );
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.secret.as_bytes());
        let signature = hmac::sign(&key, format!("POST\n{path}\n{query}").as_bytes());
        format!("{path}?{query}&auth_signature={}", hex(signature.as_ref()))
    }
}

/// The API's client; it keeps its connection.
pub(super) struct Http {
    client: Client<HttpConnector, Full<Bytes>>,
    app: App,
    base: String,
}

impl Http {
    pub(super) fn new(app: App, url: &str) -> Result<Self, CliError> {
        if !url.starts_with("http://") {
            let message = "the HTTP API is measured without TLS: --control http://host:port";
            return Err(CliError::Usage(message.into()));
        }
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        Ok(Self {
            client: Client::builder(TokioExecutor::new()).build(connector),
            app,
            base: url.trim_end_matches('/').to_owned(),
        })
    }

    /// Publishes `datas`, in order.
    pub(super) async fn publish(
        &mut self,
        channel: &str,
        datas: Vec<Vec<u8>>,
    ) -> Result<(), CliError> {
        // The API wants a string, and ours are JSON texts of one.
        let mut datas = datas
            .into_iter()
            .map(|data| serde_json::from_slice::<Value>(&data).unwrap_or_default());
        loop {
            let some: Vec<Value> = datas.by_ref().take(BATCH).collect();
            match some.as_slice() {
                [] => return Ok(()),
                [data] => {
                    let body = json!({"name": EVENT, "channels": [channel], "data": data});
                    self.post("events", &body).await?;
                }
                some => {
                    let item = |data| json!({"name": EVENT, "channel": channel, "data": data});
                    let batch: Vec<Value> = some.iter().map(item).collect();
                    self.post("batch_events", &json!({"batch": batch})).await?;
                }
            }
        }
    }

    async fn post(&self, path: &str, body: &Value) -> Result<(), CliError> {
        let body = body.to_string().into_bytes();
        let seconds = Now::read().unix.as_secs();
        let uri = self.base.clone() + &self.app.signed(path, &body, seconds);
        let request = Request::post(uri)
            .header("content-type", "application/json")
            .body(Full::from(body))
            .map_err(|error| CliError::Usage(error.to_string()))?;
        let unavailable = |error: &dyn std::error::Error| CliError::Unavailable(chain(error));
        let response = self.client.request(request).await;
        let response = response.map_err(|error| unavailable(&error))?;
        let status = response.status();
        let body = response.into_body().collect().await;
        let body = body.map_err(|error| unavailable(&error))?.to_bytes();
        if status.is_success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&body);
        Err(CliError::Failed(format!("{path}: {status} {said}")))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pushers_own_example_is_signed_as_it_is_there() {
        let app = App::parse("3:278d425bdf160c739803:7ad3773142a6692b25b8").unwrap();
        let body = br#"{"name":"foo","channels":["project-3"],"data":"{\"some\":\"data\"}"}"#;
        let uri = app.signed("events", body, 1_353_088_179);
        assert!(
            uri.contains("body_md5=ec365a775a4cd0599faeb73354201b6f&"),
            "{uri}"
        );
        let signature = "da454824c97ba181a32ccc17a72625ba02771f50b50e1e7430e47a1f3f457e6c";
        assert!(uri.ends_with(signature), "{uri}");
    }
}
