//! How long a revoked session lives on: from the call to the close frame at the client.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use pogo::control::proto::RevokeSessionsRequest;
use pogo::control::proto::revoke_sessions_request::Target;
use pogo::control::proto::sessions_client::SessionsClient;
use serde_json::json;
use tonic::Request;
use tonic::transport::Endpoint;

use super::socket::Socket;
use super::{Arguments, Failure};

/// How many are revoked, one after another.
const REVOKED: usize = 200;
const P99: Duration = Duration::from_millis(50);

/// Revokes subjects one by one while other sessions are open; the 99th percentile.
pub async fn run(arguments: &Arguments, address: &str) -> Result<Duration, Failure> {
    let endpoint = Endpoint::from_shared(format!("http://{}", arguments.control))?;
    let mut sessions = SessionsClient::new(endpoint.connect().await?);
    let mut spans = Vec::with_capacity(REVOKED);
    for number in 0..REVOKED {
        let subject = format!("revoked-{number}");
        let mut socket = Socket::connect(address, Some(&token(arguments, &subject)?)).await?;
        let target = Some(Target::Subject(subject));
        let mut request = Request::new(RevokeSessionsRequest {
            target,
            ..Default::default()
        });
        let key = format!("Bearer {}", arguments.control_key).parse()?;
        request.metadata_mut().insert("authorization", key);
        let begun = Instant::now();
        let (answer, closed) = tokio::join!(sessions.revoke_sessions(request), async {
            let ended = socket.frames(|_| Ok(true)).await;
            (ended, begun.elapsed())
        });
        let answer = answer?.into_inner();
        match closed {
            (Err(why), span) if why.to_string().contains("revoked") => spans.push(span),
            (other, _) => return Err(format!("not closed as revoked: {other:?}").into()),
        }
        if answer.sessions_closed != 1 {
            return Err(format!("closed {} sessions", answer.sessions_closed).into());
        }
    }
    spans.sort_unstable();
    let p99 = spans[REVOKED * 99 / 100];
    if p99 > P99 {
        Err(format!("p99 {p99:?}").into())
    } else {
        Ok(p99)
    }
}

fn token(arguments: &Arguments, subject: &str) -> Result<String, Failure> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH)?.as_secs();
    let claims = json!({"sub": subject, "iat": now, "exp": now + 3600});
    let key = EncodingKey::from_secret(arguments.token_secret.as_bytes());
    Ok(encode(&Header::new(Algorithm::HS256), &claims, &key)?)
}
