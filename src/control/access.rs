//! What a call needs, and whether its caller has it.
//!
//! Nothing but `grpc.health.v1.Health/Check` is answered to a stranger. A path that is not listed
//! here needs a key, whether or not something is there.

use std::sync::Arc;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use tokio::sync::watch;
use tonic::Status;

use super::caller::{Caller, Key, Keys, Scope};
use super::status;

/// What a caller shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Credential {
    /// A key's secret.
    Secret(Box<[u8]>),
    /// A client certificate that our authority has signed.
    Certificate,
    /// Nothing.
    None,
}

/// What a method needs.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Need {
    Nothing,
    AnyKey,
    Scope(Scope, &'static str),
}

impl Need {
    fn of(path: &str) -> Self {
        let service = path
            .strip_prefix("/pogo.v1.")
            .and_then(|rest| rest.split('/').next());
        match service {
            Some("Publisher") => Self::Scope(Scope::Publish(None), "publish"),
            Some("Channels") => Self::Scope(Scope::Channels, "channels"),
            Some("Sessions") => Self::Scope(Scope::Sessions, "sessions"),
            Some("Firewall") => Self::Scope(Scope::Firewall, "firewall"),
            Some("Endpoints") => Self::Scope(Scope::Endpoints, "endpoints"),
            Some("Events") => Self::Scope(Scope::Events, "events"),
            Some("Nodes") => Self::Scope(Scope::Admin, "admin"),
            _ if path == "/grpc.health.v1.Health/Check" => Self::Nothing,
            _ => Self::AnyKey,
        }
    }
}

/// The keys in force. They may change at any time.
#[derive(Debug)]
pub(super) struct Access {
    keys: watch::Sender<Arc<Keys>>,
}

impl Access {
    pub(super) fn new(keys: Vec<Key>, open: bool) -> Self {
        Self {
            keys: watch::Sender::new(Arc::new(Keys::new(keys, open))),
        }
    }

    /// Puts other keys in force.
    pub(super) fn replace(&self, keys: Vec<Key>, open: bool) {
        self.keys.send_replace(Arc::new(Keys::new(keys, open)));
    }

    /// Who calls the method at `path`, if it may; `None`: a stranger, where one may call.
    pub(super) fn admit(
        &self,
        path: &str,
        credential: &Credential,
    ) -> Result<Option<Arc<Caller>>, Status> {
        let need = Need::of(path);
        if need == Need::Nothing {
            return Ok(None);
        }
        let caller = self.caller(credential)?;
        match need {
            Need::Scope(scope, name) if !caller.has(&scope) => Err(status::permission_denied(name)),
            _ => Ok(Some(caller)),
        }
    }

    fn caller(&self, credential: &Credential) -> Result<Arc<Caller>, Status> {
        let keys = self.keys.borrow();
        if let Some(anyone) = keys.anyone() {
            return Ok(Arc::clone(anyone));
        }
        match credential {
            Credential::Secret(secret) => keys.find(secret).map(Arc::clone).ok_or_else(|| {
                status::unauthenticated("CREDENTIAL_UNKNOWN", "there is no such key")
            }),
            Credential::Certificate => Ok(Arc::new(Caller::admin("certificate"))),
            Credential::None => Err(status::unauthenticated(
                "CREDENTIAL_MISSING",
                "send a key as `authorization: Bearer <key>`, or a client certificate",
            )),
        }
    }

    /// Returns once `credential` no longer stands for the same caller with the same scopes.
    pub(super) async fn lost(&self, credential: Credential, caller: Arc<Caller>) -> Status {
        let mut changed = self.keys.subscribe();
        loop {
            if self.caller(&credential).is_ok_and(|now| now != caller) {
                return status::unauthenticated("CREDENTIAL_CHANGED", "the key has changed");
            }
            if let Err(refusal) = self.caller(&credential) {
                return refusal;
            }
            if changed.changed().await.is_err() {
                // The server is gone, and this stream with it.
                std::future::pending::<()>().await;
            }
        }
    }
}

/// What a call shows: its key if it has one, otherwise its connection's certificate.
pub(super) fn credential(headers: &HeaderMap, certificate: bool) -> Result<Credential, Status> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let Some(value) = values.next() else {
        return Ok(if certificate {
            Credential::Certificate
        } else {
            Credential::None
        });
    };
    let malformed = || {
        status::unauthenticated(
            "CREDENTIAL_MALFORMED",
            "send one `authorization: Bearer <key>`",
        )
    };
    let (scheme, secret) = value.as_bytes().split_at_checked(7).ok_or_else(malformed)?;
    if values.next().is_some() || !scheme.eq_ignore_ascii_case(b"bearer ") {
        return Err(malformed());
    }
    Ok(Credential::Secret(secret.trim_ascii().into()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use tonic::Code;

    fn access() -> Access {
        let key = |name, secret, scope: &str| Key::new(name, secret, vec![scope.parse().unwrap()]);
        Access::new(
            vec![
                key("ops", "s1", "admin"),
                key("news", "s2", "publish:news-*"),
            ],
            false,
        )
    }

    fn secret(text: &str) -> Credential {
        Credential::Secret(text.as_bytes().into())
    }

    #[test]
    fn each_service_needs_its_scope() {
        let access = access();
        let ask = |path: &str, credential: &Credential| {
            let answer = access
                .admit(path, credential)
                .map(|caller| caller.is_some());
            answer.map_err(|status| status.code())
        };
        let denied = Err(Code::PermissionDenied);
        for (path, news_may) in [
            ("/pogo.v1.Publisher/Publish", Ok(true)),
            ("/pogo.v1.Channels/ListChannels", denied),
            ("/pogo.v1.Sessions/GetSession", denied),
            ("/pogo.v1.Firewall/Deny", denied),
            ("/pogo.v1.Endpoints/Reaccess", denied),
            ("/pogo.v1.Events/Watch", denied),
            ("/pogo.v1.Nodes/ListNodes", denied),
            ("/grpc.health.v1.Health/Watch", Ok(true)),
            ("/grpc.reflection.v1.ServerReflection/X", Ok(true)),
            ("/x/../grpc.health.v1.Health/Check", Ok(true)),
            ("/", Ok(true)),
        ] {
            assert_eq!(ask(path, &secret("s2")), news_may, "{path}");
            for stranger in [Credential::None, secret("s3")] {
                assert_eq!(ask(path, &stranger), Err(Code::Unauthenticated), "{path}");
            }
            for admin in [Credential::Certificate, secret("s1")] {
                assert_eq!(ask(path, &admin), Ok(true), "{path}");
            }
        }
        let check = "/grpc.health.v1.Health/Check";
        assert_eq!(ask(check, &Credential::None), Ok(false));
    }

    #[test]
    fn one_bearer_is_a_credential() {
        let read = |values: &[&str], certificate| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
            }
            credential(&headers, certificate).map_err(|status| status.code())
        };
        assert_eq!(read(&["Bearer s1"], false), Ok(secret("s1")));
        assert_eq!(read(&["bearer  s1 "], true), Ok(secret("s1")));
        assert_eq!(read(&[], true), Ok(Credential::Certificate));
        assert_eq!(read(&[], false), Ok(Credential::None));
        for bad in [
            &["s1"][..],
            &["Basic s1"],
            &["Bearer"],
            &[""],
            &["Bearer s1", "Bearer s1"],
        ] {
            assert_eq!(read(bad, true), Err(Code::Unauthenticated), "{bad:?}");
        }
    }

    #[tokio::test]
    async fn a_stream_ends_when_its_key_changes_and_not_before() {
        let access = Arc::new(access());
        let caller = access
            .admit("/pogo.v1.Publisher/PublishStream", &secret("s2"))
            .unwrap();
        let lost = tokio::spawn({
            let (access, caller) = (Arc::clone(&access), caller.unwrap());
            async move { access.lost(secret("s2"), caller).await }
        });
        let news = |scope: &str| vec![Key::new("news", "s2", vec![scope.parse().unwrap()])];
        access.replace(news("publish:news-*"), false);
        tokio::task::yield_now().await;
        assert!(!lost.is_finished(), "the same key again changes nothing");
        access.replace(news("publish:sport-*"), false);
        assert_eq!(lost.await.unwrap().code(), Code::Unauthenticated);
    }
}
