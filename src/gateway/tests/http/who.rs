//! Who asks over plain HTTP: tokens, cookies, the API's own credentials, pages.

use super::*;
use crate::resource::{AccessRule, Audience, Credentials};

#[tokio::test]
async fn a_token_is_checked_and_an_answer_is_its_subjects() {
    let site = Site::new(|posts| {
        posts.audience = Audience::User;
        posts.access = AccessRule::Upstream;
    })
    .await;
    let nobody = site.ask("GET /posts/1", "").await;
    assert_eq!((nobody.status, &*nobody.code()), (401, "unauthenticated"));
    assert_eq!(nobody.header("www-authenticate"), Some("Bearer"));
    let (ada, bob) = (token("ada"), token("bob"));
    for (token, canary) in [(&ada, "for ada"), (&bob, "for bob")] {
        let request = bearing("GET /posts/1", token);
        let asked = async {
            let asked = site.rig.upstream.next().await;
            let own = format!("Bearer {token}");
            assert_eq!(asked.header("authorization"), Some(&*own));
            asked.answer(200, FRESH, canary);
        };
        let (got, ()) = tokio::join!(site.ask(&request, ""), asked);
        assert_eq!(got.body, canary);
        let mut lines = got.headers.get_all("cache-control").iter();
        assert!(lines.any(|line| line == "private"), "{got:?}");
        let again = site.ask(&request, "").await;
        assert_eq!(again.body, canary);
        assert!(again.header("cache-status").unwrap().contains("hit"));
    }
    let twice = bearing(&bearing("GET /posts/1", &ada), &bob);
    assert_eq!(site.ask(&twice, "").await.status, 401);
    for _ in 0..5 {
        let got = site
            .ask(&bearing("GET /posts/1", "no.token.this"), "")
            .await;
        assert_eq!(got.status, 401);
    }
    let got = site.ask(&bearing("GET /posts/1", &ada), "").await;
    assert_eq!((got.status, &*got.code()), (429, "rate_limited"));
    assert!(got.header("retry-after").is_some());
    assert_eq!(site.rig.upstream.seen().len(), 2);
}

#[tokio::test]
async fn what_is_no_bearer_token_is_no_token() {
    let site = Site::new(|posts| {
        posts.audience = Audience::User;
        posts.access = AccessRule::Upstream;
    })
    .await;
    for line in [
        "Basic YWRhOjE=",
        "Bearer",
        "Digest x",
        token("ada").as_str(),
    ] {
        for verb in ["GET", "DELETE"] {
            let request = format!("{verb} /posts/1\nauthorization: {line}");
            let got = site.ask(&request, "").await;
            assert_eq!((got.status, &*got.code()), (401, "unauthenticated"));
        }
    }
    assert!(site.rig.upstream.seen().is_empty());
}

#[tokio::test]
async fn a_cookie_counts_from_trusted_pages_only_and_stays_private() {
    let site = Site::new(|posts| {
        posts.audience = Audience::User;
        posts.access = AccessRule::Upstream;
    })
    .await;
    let request = format!("GET /posts/1\ncookie: a=b; pogo={}", token("ada"));
    assert_eq!(site.ask(&request, "").await.status, 401);
    let trusted = Visitor {
        may_read: true,
        with_cookies: true,
        ..visitor()
    };
    let asked = async {
        site.rig.upstream.next().await.answer(200, FRESH, "1");
    };
    let (got, ()) = tokio::join!(site.ask_as(&request, "", trusted), asked);
    assert_eq!(got.status, 200);
    let mut lines = got.headers.get_all("cache-control").iter();
    assert!(lines.any(|line| line == "private"), "{got:?}");
    let mut lines = got.headers.get_all("vary").iter();
    assert!(lines.any(|line| line == "Authorization, Cookie"), "{got:?}");
}

#[tokio::test]
async fn what_one_client_prefers_or_accepts_is_not_what_another_gets() {
    let site = Site::new(|posts| posts.audience = Audience::Shared).await;
    for (headers, canary) in [
        ("prefer: count=exact", "counted"),
        ("accept: application/json\naccept: text/html", "<html>"),
        ("accept: application/json", "1"),
    ] {
        let request = format!("GET /posts/1\n{headers}");
        let got = site.told(&request, 200, FRESH, canary).await;
        assert_eq!(got.body, canary);
        let again = site.ask(&request, "").await;
        assert_eq!(again.body, canary, "kept for those who ask the same");
    }
    assert_eq!(site.ask("GET /posts/1", "").await.body, "1");
}

#[tokio::test]
async fn what_is_between_a_client_and_the_api_goes_through_and_stays_between_them() {
    let site = Site::new(|posts| posts.auth = Credentials::None).await;
    let ada = "GET /posts/1\nauthorization: Basic YWRhOjE=";
    let bob = "GET /posts/1\nauthorization: Bearer of-the-api";
    for (request, canary) in [(ada, "for ada"), (bob, "for bob"), (ada, "for ada again")] {
        let asked = async {
            let asked = site.rig.upstream.next().await;
            let own = request.split_once("authorization: ").unwrap().1;
            assert_eq!(asked.header("authorization"), Some(own));
            asked.answer(200, &["cache-control: max-age=60"], canary);
        };
        let (got, ()) = tokio::join!(site.ask(request, ""), asked);
        assert_eq!(got.body, canary, "not kept for anybody");
    }
    // It may be, where the answer says so.
    let public = ["cache-control: public, max-age=60"];
    site.told(
        "GET /posts/2\nauthorization: Basic YWRhOjE=",
        200,
        &public,
        "all",
    )
    .await;
    assert_eq!(site.ask("GET /posts/2", "").await.body, "all");
    assert_eq!(
        site.ask("GET /posts/2\nauthorization: Basic x", "")
            .await
            .body,
        "all"
    );
    // A Pogo token is not the API's.
    let pogos = bearing("GET /posts/3", &token("ada"));
    let asked = async {
        let asked = site.rig.upstream.next().await;
        assert_eq!(asked.header("authorization"), None);
        asked.ok("3");
    };
    let (got, ()) = tokio::join!(site.ask(&pogos, ""), asked);
    assert_eq!(got.status, 200);
}

#[tokio::test]
async fn one_clients_own_answers_are_kept_for_it_alone() {
    let site = Site::new(|posts| {
        posts.auth = Credentials::None;
        posts.audience = Audience::User;
    })
    .await;
    for (own, canary) in [("Basic ada", "for ada"), ("Basic bob", "for bob")] {
        let request = format!("GET /posts/1\nauthorization: {own}");
        let fetched = site.told(&request, 200, FRESH, canary).await;
        assert_eq!(fetched.body, canary);
        let again = site.ask(&request, "").await;
        assert_eq!(again.body, canary);
    }
    let anyone = site.told("GET /posts/1", 200, FRESH, "for anyone").await;
    assert_eq!(anyone.body, "for anyone");
}

#[tokio::test]
async fn pages_may_read_where_their_origin_may() {
    let site = Site::new(|_| {}).await;
    let page = |may_read, with_cookies, foreign| Visitor {
        may_read,
        with_cookies,
        foreign,
        ..visitor()
    };
    let preflight = "OPTIONS /posts/1\norigin: https://a.example\n\
                     access-control-request-method: PATCH";
    let got = site.ask_as(preflight, "", page(true, false, false)).await;
    assert_eq!(got.status, 204);
    let methods = "GET, HEAD, PUT, PATCH, DELETE, OPTIONS";
    assert_eq!(got.header("access-control-allow-methods"), Some(methods));
    assert_eq!(
        got.header("access-control-allow-origin"),
        Some("https://a.example")
    );
    assert_eq!(got.header("access-control-allow-credentials"), None);
    assert!(
        got.header("access-control-allow-headers")
            .unwrap()
            .contains("If-Match")
    );
    let got = site.ask_as(preflight, "", page(false, false, true)).await;
    assert_eq!(got.header("access-control-allow-origin"), None);
    assert_eq!(got.header("access-control-allow-methods"), None);
    let get = "GET /posts/1\norigin: https://a.example";
    let theirs = [
        "access-control-allow-origin: *",
        "access-control-allow-credentials: true",
        "vary: accept-language",
    ];
    let asked = async {
        site.rig.upstream.next().await.answer(200, &theirs, "1");
    };
    let (got, ()) = tokio::join!(site.ask_as(get, "", page(true, true, false)), asked);
    assert_eq!(
        got.header("access-control-allow-origin"),
        Some("https://a.example")
    );
    assert_eq!(got.header("access-control-allow-credentials"), Some("true"));
    let vary: Vec<_> = got.headers.get_all("vary").iter().collect();
    assert_eq!(vary, ["accept-language", "Origin"]);
    let write = "POST /posts\norigin: https://evil.example\ncontent-type: text/plain";
    let got = site.ask_as(write, "{}", page(false, false, true)).await;
    assert_eq!(got.status, 403);
    assert_eq!(site.rig.upstream.seen(), ["GET /posts/1"]);
}
