//! Templates of uris: `/posts/{id}`. A parameter stands for one whole segment. The templates of
//! `affects` may also take a value out of a body: `/users/{body:/author_id}/posts`.

use std::borrow::Cow;

use super::uri;
use crate::channel::ChannelName;

const MAX_SEGMENTS: usize = 32;
const MAX_PARAMETER_BYTES: usize = 64;
/// First segments that are Pogo's own; `/ws` has nothing below it.
const OWN: [&str; 4] = ["app", "apps", "pusher", "ws"];

/// Why a text is not a template.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// It is no path.
    #[error("`{text}` is no template: {reason}")]
    Path {
        /// The template.
        text: Box<str>,
        /// The uri's rule that it breaks.
        reason: uri::UriError,
    },
    /// It has a query.
    #[error("`{0}` is no template: it has a query (`query.allow` lists its keys)")]
    Query(Box<str>),
    /// Braces that hold no name, or not a whole segment.
    #[error(
        "`{0}` is no template: a parameter is a whole segment, `{{name}}`, of letters, digits and `_`"
    )]
    Parameter(Box<str>),
    /// One parameter stands there twice.
    #[error("`{text}` has the parameter `{name}` twice")]
    Twice {
        /// The template.
        text: Box<str>,
        /// The parameter.
        name: Box<str>,
    },
    /// Too many segments.
    #[error("`{0}` has more than {MAX_SEGMENTS} segments")]
    TooLong(Box<str>),
    /// It would cover paths that Pogo serves itself.
    #[error(
        "`{0}` would shadow Pogo's own paths (`/`, `/ws`, `/app/…`, `/apps/…`, `/pusher/…`): \
         let it start with another literal segment"
    )]
    Shadows(Box<str>),
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Segment {
    /// What it decodes to.
    Literal(Box<str>),
    Parameter(Box<str>),
    /// A JSON pointer into a body.
    Body(Box<str>),
}

/// A template, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Template {
    segments: Box<[Segment]>,
}

impl Template {
    /// The template of resources that an endpoint serves.
    pub(super) fn serving(text: &str) -> Result<Self, TemplateError> {
        let template = Self::parse(text, false)?;
        let own = match template.segments.first() {
            Some(Segment::Literal(first)) => OWN.contains(&&**first),
            _ => true,
        };
        if own {
            return Err(TemplateError::Shadows(text.into()));
        }
        Ok(template)
    }

    /// The template of other uris that a write changes.
    pub(super) fn affected(text: &str) -> Result<Self, TemplateError> {
        Self::parse(text, true)
    }

    fn parse(text: &str, bodies: bool) -> Result<Self, TemplateError> {
        let broken = |reason| TemplateError::Path {
            text: text.into(),
            reason,
        };
        if text == "/" {
            return Err(TemplateError::Shadows(text.into()));
        }
        let Some(rest) = text.strip_prefix('/') else {
            return Err(broken(uri::UriError::NotAbsolute));
        };
        uri::check_text(text).map_err(broken)?;
        let mut segments = vec![];
        for raw in segments_of(rest) {
            let parameter = raw
                .strip_prefix('{')
                .and_then(|name| name.strip_suffix('}'));
            let segment = match parameter {
                Some(name) => parameter_of(name, bodies)
                    .ok_or_else(|| TemplateError::Parameter(text.into()))?,
                None if raw.contains(['{', '}']) => {
                    return Err(TemplateError::Parameter(text.into()));
                }
                None if raw.contains('?') => return Err(TemplateError::Query(text.into())),
                None => Segment::Literal(uri::decode_segment(raw).map_err(broken)?.into()),
            };
            if let (Segment::Parameter(name), true) = (&segment, segments.contains(&segment)) {
                return Err(TemplateError::Twice {
                    text: text.into(),
                    name: name.clone(),
                });
            }
            segments.push(segment);
        }
        if segments.len() > MAX_SEGMENTS {
            return Err(TemplateError::TooLong(text.into()));
        }
        Ok(Self {
            segments: segments.into(),
        })
    }

    /// How many segments a path has that fits.
    pub(super) fn len(&self) -> usize {
        self.segments.len()
    }

    /// What its first segment decodes to, where it is literal.
    pub(super) fn first(&self) -> Option<&str> {
        match self.segments.first()? {
            Segment::Literal(text) => Some(text),
            _ => None,
        }
    }

    /// How many segments are literal.
    pub(super) fn literals(&self) -> usize {
        let literal = |segment: &&Segment| matches!(segment, Segment::Literal(_));
        self.segments.iter().filter(literal).count()
    }

    /// Its parameters, in their order.
    pub(super) fn parameters(&self) -> impl Iterator<Item = &str> {
        self.segments.iter().filter_map(|segment| match segment {
            Segment::Parameter(name) => Some(&**name),
            _ => None,
        })
    }

    /// Whether the decoded segments of a path fit.
    pub(super) fn matches(&self, path: &[Cow<'_, str>]) -> bool {
        let fits = |(segment, text): (&Segment, &Cow<'_, str>)| match segment {
            Segment::Literal(literal) => **literal == **text,
            _ => true,
        };
        self.len() == path.len() && self.segments.iter().zip(path).all(fits)
    }

    /// The parameters' values in a path that fits.
    pub(super) fn values(&self, path: &[Cow<'_, str>]) -> Box<[Box<str>]> {
        let pairs = self.segments.iter().zip(path);
        let values = pairs.filter_map(|(segment, text)| match segment {
            Segment::Parameter(_) => Some(Box::from(&**text)),
            _ => None,
        });
        values.collect()
    }

    /// The uri with these values; none: one is missing, or cannot stand in a path.
    pub(super) fn fill<'a>(
        &self,
        parameter: impl Fn(&str) -> Option<&'a str>,
        body: Option<&serde_json::Value>,
    ) -> Option<ChannelName> {
        let mut out = String::new();
        for segment in &self.segments {
            let text = match segment {
                Segment::Literal(text) => Cow::Borrowed(&**text),
                Segment::Parameter(name) => Cow::Borrowed(parameter(name)?),
                Segment::Body(pointer) => scalar(body?.pointer(pointer)?)?,
            };
            uri::check_value(&text).ok()?;
            uri::push_segment(&mut out, &text);
        }
        uri::named(&out).ok()
    }

    /// Whether one path can fit both and neither is the more literal wherever they differ.
    pub(super) fn is_ambiguous_with(&self, other: &Self) -> bool {
        if self.len() != other.len() {
            return false;
        }
        let (mut ours, mut theirs) = (false, false);
        for pair in self.segments.iter().zip(&other.segments) {
            match pair {
                (Segment::Literal(one), Segment::Literal(two)) if one != two => return false,
                (Segment::Literal(_), Segment::Literal(_)) => {}
                (Segment::Literal(_), _) => ours = true,
                (_, Segment::Literal(_)) => theirs = true,
                _ => {}
            }
        }
        ours == theirs
    }
}

/// The segments of a template: a `/` in braces is a part of what they hold.
fn segments_of(rest: &str) -> impl Iterator<Item = &str> {
    let mut inside = false;
    rest.split(move |char| {
        match char {
            '{' => inside = true,
            '}' => inside = false,
            _ => {}
        }
        char == '/' && !inside
    })
}

fn parameter_of(name: &str, bodies: bool) -> Option<Segment> {
    if let Some(pointer) = name.strip_prefix("body:") {
        let braces = pointer.contains(['{', '}']);
        return (bodies && pointer.starts_with('/') && !braces)
            .then(|| Segment::Body(pointer.into()));
    }
    let named = !name.is_empty()
        && name.len() <= MAX_PARAMETER_BYTES
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    named.then(|| Segment::Parameter(name.into()))
}

/// A value that can be a segment.
pub(super) fn scalar(value: &serde_json::Value) -> Option<Cow<'_, str>> {
    match value {
        serde_json::Value::String(text) => Some(Cow::Borrowed(text)),
        serde_json::Value::Number(number) => Some(Cow::Owned(number.to_string())),
        serde_json::Value::Bool(flag) => Some(Cow::Borrowed(if *flag { "true" } else { "false" })),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_template_is_refused_with_its_reason() {
        for (text, reason) in [
            ("posts", "starts with one `/`"),
            ("http://a/b", "starts with one `/`"),
            ("//a", "empty segment"),
            ("/a/", "empty segment"),
            ("/a/../b", "dot segment"),
            ("/a%2fb", "encoded slash"),
            ("/a b", "white space"),
            ("/a/*", "`*`"),
            ("/a?b=1", "has a query"),
            ("/a#b", "fragment"),
            ("/a/{}", "whole segment"),
            ("/a/x{id}", "whole segment"),
            ("/a/{id}.json", "whole segment"),
            ("/a/{i-d}", "whole segment"),
            ("/a/{body:/id}", "whole segment"),
            ("/a/{id", "whole segment"),
            ("/a/{x}/{x}", "`x` twice"),
            ("/", "shadow"),
            ("/ws", "shadow"),
            ("/app/x", "shadow"),
            ("/%61pps/x", "shadow"),
            ("/pusher", "shadow"),
            ("/{tenant}/posts", "shadow"),
        ] {
            let error = Template::serving(text).map(|_| ()).unwrap_err().to_string();
            assert!(error.contains(reason), "{text}: {error}");
        }
        let long = "/a".repeat(33);
        assert_eq!(
            Template::serving(&long),
            Err(TemplateError::TooLong(long.as_str().into()))
        );
        for good in [
            "/posts",
            "/posts/{id}",
            "/a/{x}/b/{y}",
            "/application",
            "/a/%c3%a9",
        ] {
            assert!(Template::serving(good).is_ok(), "{good}");
        }
    }

    #[test]
    fn templates_are_filled_from_parameters_and_bodies() {
        let template = Template::affected("/users/{body:/author/id}/{kind}").unwrap();
        let kind = |name: &str| (name == "kind").then_some("a/b");
        let post = |name: &str| (name == "kind").then_some("été");
        let body = serde_json::json!({"author": {"id": 7}});
        let filled = template.fill(post, Some(&body)).unwrap();
        assert_eq!(filled.as_str(), "/users/7/%C3%A9t%C3%A9");
        assert_eq!(template.fill(kind, Some(&body)), None, "a slash");
        assert_eq!(template.fill(post, None), None, "no body");
        for id in [
            serde_json::json!(null),
            serde_json::json!([1]),
            serde_json::json!(".."),
        ] {
            let body = serde_json::json!({"author": {"id": id}});
            assert_eq!(template.fill(post, Some(&body)), None, "{body}");
        }
    }

    #[test]
    fn ambiguity_is_seen() {
        let both = |one: &str, other: &str| {
            let (one, other) = (
                Template::serving(one).unwrap(),
                Template::serving(other).unwrap(),
            );
            assert_eq!(one.is_ambiguous_with(&other), other.is_ambiguous_with(&one));
            one.is_ambiguous_with(&other)
        };
        assert!(both("/a/{x}", "/a/{y}"));
        assert!(both("/a", "/a"));
        assert!(both("/a/{x}/c", "/a/b/{y}"));
        assert!(!both("/a/{x}", "/a/b"));
        assert!(!both("/a/{x}", "/b/{x}"));
        assert!(!both("/a/{x}/c", "/a/{x}/d"));
        assert!(!both("/a/{x}/{y}", "/a/{x}/c"));
        assert!(!both("/a", "/a/b"));
    }
}
