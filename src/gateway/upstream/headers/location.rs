//! Where an upstream says that something is, as a client can ask for it: the base taken off. What
//! is elsewhere, or cannot be read beyond doubt, is said to nobody: it would be a host that only
//! this machine can reach, or a way out of the templates.

use http::Uri;

/// `reference` (RFC 3986) in an answer to `asked`, as path and query below one of `bases`.
pub(super) fn below(reference: &str, asked: &Uri, bases: &[Uri]) -> Option<String> {
    let odd = |char: char| char.is_control() || char.is_whitespace() || char == '\\';
    if reference.is_empty() || reference.contains(odd) {
        return None;
    }
    let reference = reference.split('#').next().unwrap_or_default();
    let (place, rest) = match split_authority(reference)? {
        Some((scheme, authority, rest)) => {
            let scheme = scheme.or(asked.scheme_str())?;
            (place_of(scheme, authority)?, rest)
        }
        None => (place_of_uri(asked)?, reference),
    };
    let (path, query) = match rest.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (rest, None),
    };
    let path = without_dots(&absolute(path, asked.path()))?;
    for base in bases {
        if place_of_uri(base).as_ref() != Some(&place) {
            continue;
        }
        let Some(below) = path.strip_prefix(base.path().trim_end_matches('/')) else {
            continue;
        };
        if !below.starts_with('/') || below.starts_with("//") {
            continue;
        }
        return Some(match query {
            Some(query) => format!("{below}?{query}"),
            None => below.to_owned(),
        });
    }
    None
}

/// A `Link` header whose targets are all below a base; none: one is not.
pub(super) fn links_below(value: &str, asked: &Uri, bases: &[Uri]) -> Option<String> {
    let mut written = String::with_capacity(value.len());
    let mut rest = value;
    while let Some((before, after)) = rest.split_once('<') {
        let (target, after) = after.split_once('>')?;
        written.push_str(before);
        written.push('<');
        written.push_str(&below(target, asked, bases)?);
        written.push('>');
        rest = after;
    }
    written.push_str(rest);
    Some(written)
}

/// Scheme, authority and the rest; `Some(None)`: there is no authority. None: it is nothing that
/// leads to a resource.
#[allow(clippy::type_complexity, reason = "it is taken apart at once")]
fn split_authority(reference: &str) -> Option<Option<(Option<&str>, &str, &str)>> {
    let (scheme, rest) = match reference.find([':', '/', '?']) {
        Some(at) if reference.as_bytes()[at] == b':' => {
            (Some(&reference[..at]), &reference[at + 1..])
        }
        _ => (None, reference),
    };
    let Some(rest) = rest.strip_prefix("//") else {
        // `mailto:` and the like.
        return scheme.is_none().then_some(None);
    };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    Some(Some((scheme, &rest[..end], &rest[end..])))
}

/// A host and port by which two spellings of one place are the same.
fn place_of(scheme: &str, authority: &str) -> Option<(String, u16)> {
    let default = match scheme.to_ascii_lowercase().as_str() {
        "http" => 80,
        "https" => 443,
        _ => return None,
    };
    let authority: http::uri::Authority = authority.parse().ok()?;
    // A user is never in what we sent.
    if authority.as_str().contains('@') {
        return None;
    }
    let port = authority.port_u16().unwrap_or(default);
    Some((authority.host().to_ascii_lowercase(), port))
}

fn place_of_uri(uri: &Uri) -> Option<(String, u16)> {
    place_of(uri.scheme_str()?, uri.authority()?.as_str())
}

/// `path` seen from `asked`.
fn absolute(path: &str, asked: &str) -> String {
    if path.starts_with('/') {
        return path.to_owned();
    }
    if path.is_empty() {
        return asked.to_owned();
    }
    let folder = asked.rfind('/').map_or("/", |at| &asked[..=at]);
    format!("{folder}{path}")
}

/// RFC 3986, 5.2.4. None: dots that are hidden in escapes, which someone might undo.
fn without_dots(path: &str) -> Option<String> {
    let mut kept: Vec<&str> = Vec::new();
    let mut segments = path.strip_prefix('/')?.split('/').peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." {
                    kept.pop();
                }
                if last {
                    kept.push("");
                }
            }
            "" => kept.push(segment),
            plain => {
                let decoded = plain.to_ascii_lowercase().replace("%2e", ".");
                if decoded.trim_matches('.').is_empty() {
                    return None;
                }
                kept.push(plain);
            }
        }
    }
    Some(format!("/{}", kept.join("/")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rewritten(reference: &str) -> Option<String> {
        let asked = "http://blog:8080/v1/posts?page=2".parse().unwrap();
        let bases: [Uri; 2] = [
            "http://blog:8080/v1".parse().unwrap(),
            "https://[fd00::1]/".parse().unwrap(),
        ];
        below(reference, &asked, &bases)
    }

    #[test]
    fn the_base_is_taken_off() {
        for (reference, expected) in [
            ("http://blog:8080/v1/posts/9", "/posts/9"),
            ("HTTP://Blog:8080/v1/posts/9?a=b#top", "/posts/9?a=b"),
            ("//blog:8080/v1/posts/9", "/posts/9"),
            ("/v1/posts/9", "/posts/9"),
            ("posts/9", "/posts/9"),
            ("./posts/9", "/posts/9"),
            ("../v1/posts/9", "/posts/9"),
            ("?page=3", "/posts?page=3"),
            ("https://[fd00::1]:443/posts/9", "/posts/9"),
            ("/v1/posts/a%2Fb", "/posts/a%2Fb"),
        ] {
            assert_eq!(
                rewritten(reference).as_deref(),
                Some(expected),
                "{reference}"
            );
        }
    }

    #[test]
    fn what_lies_elsewhere_is_not_said() {
        for reference in [
            "",
            "http://internal/v1/posts/9",
            "http://blog/v1/posts/9",
            "https://blog:8080/v1/posts/9x/../../..",
            "http://user@blog:8080/v1/posts/9",
            "//internal/v1/posts/9",
            "/v2/posts/9",
            "/v1x/posts",
            "/v1",
            "/v1/../posts/9",
            "/v1/%2e%2e/posts/9",
            "/v1/.%2E/posts",
            "/v1//evil.example/",
            "/v1/posts\\9",
            "\\\\evil.example/",
            "/v1/po sts",
            "javascript:alert(1)",
            "mailto:a@b",
            "ftp://blog:8080/v1/posts",
        ] {
            assert_eq!(rewritten(reference), None, "{reference}");
        }
    }

    #[test]
    fn links_are_said_when_all_lead_here() {
        let asked = "http://blog:8080/v1/posts".parse().unwrap();
        let bases: [Uri; 1] = ["http://blog:8080/v1".parse().unwrap()];
        let links = |value: &str| links_below(value, &asked, &bases);
        assert_eq!(
            links("<http://blog:8080/v1/posts?_page=2>; rel=\"next\", </v1/posts>; rel=first")
                .as_deref(),
            Some("</posts?_page=2>; rel=\"next\", </posts>; rel=first")
        );
        assert_eq!(links("</v1/a>; rel=a, <http://internal/x>; rel=b"), None);
        assert_eq!(links("</v1/a"), None);
    }
}
