//! Servers that are slow, down, wrong, huge or hostile: the last good set counts until it is too
//! old, then nothing does.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use http::StatusCode;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustls::RootCertStore;
use rustls::pki_types::PrivatePkcs8KeyDer;
use tokio_rustls::TlsAcceptor;

use super::*;
use crate::auth::Grant;

/// Every way in which an answer is no key set.
fn wrong_answers(elsewhere: &str) -> Vec<Answer> {
    let good = key_set(&[P256.named("p"), RSA.named("new")]);
    let secret = P256.jwk_with(json!({ "kid": "x", "d": "AAAA" }));
    vec![
        Answer::Cut,
        Answer::Silence,
        Answer::Drip,
        Answer::Flood,
        Answer::Body(String::new()),
        Answer::Body("<html>Sign in</html>".into()),
        Answer::Body("{}".into()),
        Answer::Body(format!("{good}{}", " ".repeat(2 << 20))),
        Answer::Body(key_set(&[RSA.named("new"), secret])),
        Answer::Body(key_set(&[
            RSA.named("new"),
            json!({ "kty": "oct", "k": "AAAA" }),
        ])),
        Answer::Body(key_set(&[RSA.named("new"), P256.named("new")])),
        Answer::Body(key_set(
            &(0..101)
                .map(|n| P256.named(&n.to_string()))
                .collect::<Vec<_>>(),
        )),
        Answer::Status(StatusCode::INTERNAL_SERVER_ERROR, good.clone()),
        Answer::Status(StatusCode::NOT_FOUND, good.clone()),
        Answer::Status(StatusCode::NON_AUTHORITATIVE_INFORMATION, good),
        Answer::Redirect(elsewhere.into()),
    ]
}

fn impatient(server: &KeyServer) -> Config {
    let mut config = Config {
        issuers: vec![at(server)],
        ..Config::default()
    };
    config.jwks.timeout = Duration::from_millis(300);
    config
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_failed_fetch_the_last_good_set_counts_until_it_is_too_old() {
    let elsewhere = KeyServer::start(Answer::Body(key_set(&[RSA.named("new")]))).await;
    let server = KeyServer::start(Answer::Body(key_set(&[P256.named("p")]))).await;
    let authenticator = Authenticator::new(impatient(&server)).unwrap();
    authenticator.start(&Handle::current());
    let good = token(&P256, "p");
    assert_eq!(refusal(&authenticator, &good, now()).await, None);
    for (n, answer) in wrong_answers(&elsewhere.url()).into_iter().enumerate() {
        server.say(answer);
        let later = after(31 * (n as u64 + 1));
        let hits = server.hits();
        let new = refusal(&authenticator, &token(&RSA, "new"), later).await;
        assert_eq!(new, Some(AuthError::KeysUnavailable), "answer {n}");
        assert!(at_once(&authenticator, &good, later).is_ok(), "answer {n}");
        assert_eq!(server.hits(), hits + 1);
    }
    server.say(Answer::Cut);
    let body = claims(json!({ "iss": "a", "exp": crate::auth::fixture::NOW + 9_000 }));
    let lasting = token_by(&P256, Algorithm::ES256, Some("p"), &body);
    assert!(at_once(&authenticator, &lasting, after(3_500)).is_ok());
    let old = refusal(&authenticator, &lasting, after(3_700)).await;
    assert_eq!(old, Some(AuthError::KeysUnavailable));
    assert_eq!(elsewhere.hits(), 0, "redirects are not followed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn until_a_first_fetch_succeeds_every_token_is_refused() {
    for answer in wrong_answers("http://127.0.0.1:9/") {
        let server = KeyServer::start(answer).await;
        let authenticator = Authenticator::new(impatient(&server)).unwrap();
        authenticator.start(&Handle::current());
        let good = token(&P256, "p");
        let refused = refusal(&authenticator, &good, now()).await;
        assert_eq!(refused, Some(AuthError::KeysUnavailable));
        // It recovers, and the token that comes then finds out.
        server.say(Answer::Body(key_set(&[P256.named("p")])));
        assert_eq!(refusal(&authenticator, &good, after(40)).await, None);
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_no_reason_not_to_start() {
    let server = KeyServer::start(Answer::Silence).await;
    let gone = at(&server);
    let address = server.address;
    drop(server);
    // The listener is closed once its task has ended.
    while tokio::net::TcpStream::connect(address).await.is_ok() {
        tokio::task::yield_now().await;
    }
    let authenticator = authenticator(vec![gone]);
    authenticator.start(&Handle::current());
    let refused = refusal(&authenticator, &token(&P256, "p"), now()).await;
    assert_eq!(refused, Some(AuthError::KeysUnavailable));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_so_many_tokens_wait_for_a_fetch() {
    let server = KeyServer::start(Answer::Silence).await;
    let mut config = impatient(&server);
    config.jwks.timeout = Duration::from_secs(10);
    config.jwks.max_waiting = 3;
    let authenticator = Arc::new(Authenticator::new(config).unwrap());
    authenticator.start(&Handle::current());
    let good = token(&P256, "p");
    let check = || authenticator.authenticate(&good, now()).boxed();
    let poll = |check: &mut BoxFuture<'_, Result<Grant, AuthError>>| {
        check
            .as_mut()
            .poll(&mut Context::from_waker(Waker::noop()))
            .map(drop)
    };
    let mut waiting: Vec<_> = (0..3).map(|_| check()).collect();
    assert!(waiting.iter_mut().all(|check| poll(check).is_pending()));
    assert_eq!(
        at_once(&authenticator, &good, now()).err(),
        Some(AuthError::KeysUnavailable)
    );
    // One that gives up makes room.
    waiting.pop();
    assert!(poll(&mut check()).is_pending());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_waits_is_let_go_when_the_source_is_taken_away() {
    let server = KeyServer::start(Answer::Silence).await;
    let mut config = impatient(&server);
    config.jwks.timeout = Duration::from_secs(600);
    let source = Source::new(server.url().parse().unwrap(), config.jwks);
    source.start(
        &Handle::current(),
        &Fetcher::trusting(RootCertStore::empty()).unwrap(),
    );
    let wait = source
        .refresh(Instant::now())
        .unwrap()
        .expect("the first fetch is under way");
    server.hit(1).await;
    drop(source);
    tokio::time::timeout(Duration::from_secs(20), wait.over())
        .await
        .expect("let go");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_is_known_by_its_certificate() {
    let CertifiedKey { cert, signing_key } =
        generate_simple_self_signed(vec!["localhost".into()]).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = PrivatePkcs8KeyDer::from(signing_key.serialize_der()).into();
    let tls = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![cert.der().clone()], key)
        .unwrap();
    let answer = Answer::Body(key_set(&[P256.named("p")]));
    let server = KeyServer::start_tls(answer, TlsAcceptor::from(Arc::new(tls))).await;
    let mut trusted = RootCertStore::empty();
    trusted.add(cert.der().clone()).unwrap();
    let uri: Uri = server.url().parse().unwrap();
    let settings = JwksConfig::default();
    let set = Fetcher::trusting(trusted)
        .unwrap()
        .fetch(&uri, &settings)
        .await
        .unwrap();
    assert!(set.has("p"));
    for stranger in [Fetcher::trusting(RootCertStore::empty()), Fetcher::native()] {
        let error = stranger.unwrap().fetch(&uri, &settings).await.unwrap_err();
        assert!(matches!(error, FetchError::Request(_)), "{error}");
    }
}

#[test]
fn a_source_asks_no_sooner_than_allowed_whoever_wants_it() {
    let settings = JwksConfig::default();
    let start = Instant::now();
    let at = |seconds| start + Duration::from_secs(seconds);
    let mut state = State::default();
    assert_eq!(state.until_due(start, &settings), Duration::ZERO);
    let (due, token) = (Cause::Due, Cause::Token);
    assert!(state.begin(due, start, &settings));
    for cause in [due, token] {
        assert!(!state.begin(cause, at(100), &settings), "one is under way");
    }
    state.busy = false;
    assert!(!state.begin(due, at(29), &settings));
    assert_eq!(state.until_due(at(29), &settings), Duration::from_secs(571));
    state.failed = true;
    assert_eq!(state.until_due(at(29), &settings), Duration::from_secs(1));
    assert!(
        !state.begin(due, start, &settings),
        "a clock that was read earlier"
    );
    assert!(state.begin(token, at(29), &settings), "the first token's");
    state.busy = false;
    assert!(!state.begin(token, at(58), &settings));
    assert!(!state.begin(due, at(58), &settings));
    assert!(state.begin(token, at(59), &settings));
    state.busy = false;
    assert!(!state.begin(due, at(88), &settings));
    assert!(state.begin(due, at(89), &settings));
}
