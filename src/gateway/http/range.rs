//! Parts of, and conditions on, an answer that is at hand (RFC 9110, 13 and 14). One range; who
//! asks for several gets the whole.

use std::ops::Range;
use std::time::SystemTime;

use http::HeaderMap;
use http::header::{
    ETAG, HeaderName, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE,
    LAST_MODIFIED, RANGE,
};

/// What a client's conditions come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Condition {
    /// It gets the answer.
    Met,
    /// It has this already: 304.
    Same,
    /// 412.
    Failed,
}

/// Holds the conditions in `asked` against an answer with `headers`.
pub(super) fn conditions(asked: &HeaderMap, headers: &HeaderMap) -> Condition {
    let etag = headers.get(ETAG).map(|tag| tag.as_bytes());
    let modified = time(headers, &LAST_MODIFIED);
    if asked.contains_key(IF_MATCH) {
        if !names(asked, &IF_MATCH, etag, false) {
            return Condition::Failed;
        }
    } else if let (Some(since), Some(modified)) = (time(asked, &IF_UNMODIFIED_SINCE), modified)
        && modified > since
    {
        return Condition::Failed;
    }
    let same = if asked.contains_key(IF_NONE_MATCH) {
        names(asked, &IF_NONE_MATCH, etag, true)
    } else {
        let since = time(asked, &IF_MODIFIED_SINCE);
        since
            .zip(modified)
            .is_some_and(|(since, modified)| modified <= since)
    };
    if same {
        Condition::Same
    } else {
        Condition::Met
    }
}

/// Whether a list of entity tags names `etag`; `weakly`: weak ones count.
fn names(asked: &HeaderMap, list: &HeaderName, etag: Option<&[u8]>, weakly: bool) -> bool {
    let Some(etag) = etag else {
        return false;
    };
    let strong = |tag: &[u8]| !tag.starts_with(b"W/");
    let opaque = |tag: &[u8]| tag.strip_prefix(b"W/").unwrap_or(tag).to_vec();
    asked.get_all(list).iter().any(|line| {
        tags(line.as_bytes()).any(|tag| {
            tag == b"*"
                || (opaque(tag) == opaque(etag) && (weakly || (strong(tag) && strong(etag))))
        })
    })
}

/// The tags of a list; a comma within quotes is a part of one.
fn tags(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut quoted = false;
    line.split(move |byte| {
        quoted ^= *byte == b'"';
        *byte == b',' && !quoted
    })
    .map(<[u8]>::trim_ascii)
}

fn time(headers: &HeaderMap, name: &HeaderName) -> Option<SystemTime> {
    httpdate::parse_http_date(headers.get(name)?.to_str().ok()?).ok()
}

/// What of a body a client wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// All of it.
    All,
    /// This.
    Of(Range<usize>),
    /// Something beyond its end: 416.
    Beyond,
}

/// The part of a body of `length` bytes, with `headers`, that is `asked` for.
pub(super) fn part(asked: &HeaderMap, headers: &HeaderMap, length: usize) -> Part {
    let mut ranges = asked.get_all(RANGE).iter();
    let (Some(range), None) = (ranges.next(), ranges.next()) else {
        return Part::All;
    };
    let range = range
        .to_str()
        .ok()
        .and_then(|text| text.strip_prefix("bytes="));
    let (Some(range), true) = (range, is_still(asked, headers)) else {
        return Part::All;
    };
    let Some((first, last)) = range.trim().split_once('-') else {
        return Part::All;
    };
    let number = |text: &str| -> Option<usize> {
        let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
        is_number.then(|| text.parse().unwrap_or(usize::MAX))
    };
    let wanted = match (number(first), number(last)) {
        (None, Some(suffix)) if first.is_empty() => {
            if suffix == 0 {
                return Part::Beyond;
            }
            length.saturating_sub(suffix)..length
        }
        (Some(first), None) if last.is_empty() => first..length,
        (Some(first), Some(last)) if first <= last => first..length.min(last.saturating_add(1)),
        _ => return Part::All,
    };
    if wanted.start >= length {
        return Part::Beyond;
    }
    Part::Of(wanted)
}

/// Whether the client's other parts are of this very answer.
fn is_still(asked: &HeaderMap, headers: &HeaderMap) -> bool {
    let Some(mark) = asked.get(IF_RANGE) else {
        return true;
    };
    let is_tag = mark.as_bytes().first() == Some(&b'"');
    let name = if is_tag { ETAG } else { LAST_MODIFIED };
    headers.get(name) == Some(mark)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in lines {
            map.append(*name, value.parse().unwrap());
        }
        map
    }

    const DAY: &str = "Fri, 31 Dec 1999 23:59:59 GMT";
    const LATER: &str = "Sat, 01 Jan 2000 23:59:59 GMT";

    #[test]
    fn conditions_are_held_against_what_is_there() {
        let strong = map(&[("etag", "\"a,b\""), ("last-modified", DAY)]);
        let weak = map(&[("etag", "W/\"1\"")]);
        for (asked, headers, expected) in [
            (vec![], &strong, Condition::Met),
            (vec![("if-none-match", "\"a,b\"")], &strong, Condition::Same),
            (vec![("if-none-match", "\"a\"")], &strong, Condition::Met),
            (
                vec![("if-none-match", "\"x\", W/\"a,b\"")],
                &strong,
                Condition::Same,
            ),
            (vec![("if-none-match", "*")], &strong, Condition::Same),
            (vec![("if-none-match", "\"1\"")], &weak, Condition::Same),
            (vec![("if-match", "\"1\"")], &weak, Condition::Failed),
            (vec![("if-match", "\"a,b\"")], &strong, Condition::Met),
            (vec![("if-match", "*")], &weak, Condition::Met),
            (vec![("if-match", "\"x\"")], &strong, Condition::Failed),
            (vec![("if-modified-since", DAY)], &strong, Condition::Same),
            (vec![("if-modified-since", LATER)], &strong, Condition::Same),
            (vec![("if-modified-since", LATER)], &weak, Condition::Met),
            (
                vec![("if-modified-since", "never")],
                &strong,
                Condition::Met,
            ),
            (vec![("if-unmodified-since", DAY)], &strong, Condition::Met),
            // The tag is the better word.
            (
                vec![("if-none-match", "\"x\""), ("if-modified-since", LATER)],
                &strong,
                Condition::Met,
            ),
        ] {
            assert_eq!(conditions(&map(&asked), headers), expected, "{asked:?}");
        }
        let late = map(&[("last-modified", LATER)]);
        let asked = map(&[("if-unmodified-since", DAY)]);
        assert_eq!(conditions(&asked, &late), Condition::Failed);
    }

    #[test]
    fn one_range_is_a_part_and_anything_else_the_whole() {
        let headers = map(&[("etag", "\"1\""), ("last-modified", DAY)]);
        for (range, expected) in [
            ("bytes=0-3", Part::Of(0..4)),
            ("bytes=4-", Part::Of(4..10)),
            ("bytes=-4", Part::Of(6..10)),
            ("bytes=-40", Part::Of(0..10)),
            ("bytes=8-99", Part::Of(8..10)),
            ("bytes=0-99999999999999999999999", Part::Of(0..10)),
            ("bytes=10-", Part::Beyond),
            ("bytes=99999999999999999999999-", Part::Beyond),
            ("bytes=-0", Part::Beyond),
            ("bytes=3-1", Part::All),
            ("bytes=0-1,3-4", Part::All),
            ("bytes=a-b", Part::All),
            ("bytes=-", Part::All),
            ("bytes=+1-2", Part::All),
            ("lines=1-2", Part::All),
        ] {
            assert_eq!(
                part(&map(&[("range", range)]), &headers, 10),
                expected,
                "{range}"
            );
        }
        for (mark, expected) in [
            ("\"1\"", Part::Of(0..1)),
            (DAY, Part::Of(0..1)),
            ("\"2\"", Part::All),
            ("W/\"1\"", Part::All),
            (LATER, Part::All),
        ] {
            let asked = map(&[("range", "bytes=0-0"), ("if-range", mark)]);
            assert_eq!(part(&asked, &headers, 10), expected, "{mark}");
        }
    }
}
