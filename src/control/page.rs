//! Pages of lists. A page starts after the last key of the one before, so that paging neither
//! repeats nor leaves out what was there all the time, however the set changes.

use aws_lc_rs::digest::{Context, SHA256};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use prost::Message;
use tonic::Status;

use super::config::Limits;
use super::status;

/// Bytes of a token that tell it from garbage, and from a token of another list or filter.
const SEAL_BYTES: usize = 6;
/// Room that a page leaves in a response for all but its rows, in bytes.
const SLACK_BYTES: usize = 16 << 10;

/// A request for a page of one list.
#[derive(Debug)]
pub(super) struct Page {
    list: String,
    after: String,
    size: usize,
    bytes: usize,
}

impl Page {
    /// A page of `list`, which names the list and its filter. A token from another one is refused.
    pub(super) fn new(
        list: String,
        size: i32,
        token: &str,
        limits: &Limits,
    ) -> Result<Self, Status> {
        let after = open(&list, token).ok_or_else(|| {
            status::bad_field(
                "page_token",
                "not a token that this list has given with this filter",
            )
        })?;
        let size = limit("page_size", size, limits)?;
        Ok(Self {
            list,
            after,
            size,
            bytes: limits.response_bytes.saturating_sub(SLACK_BYTES),
        })
    }

    /// The last key of the page before; empty: this is the first.
    pub(super) fn after(&self) -> &str {
        &self.after
    }

    /// How many rows to read: one more than are shown, which tells whether there is another page.
    pub(super) fn read(&self) -> usize {
        self.size + 1
    }

    /// The rows to show of those read, and the token of the next page or nothing. Fewer are shown
    /// where they would not fit a message.
    pub(super) fn cut<M: Message>(
        &self,
        mut rows: Vec<M>,
        key: impl Fn(&M) -> &str,
    ) -> (Vec<M>, String) {
        let shown = fit(&rows[..rows.len().min(self.size)], self.bytes);
        if shown == rows.len() {
            return (rows, String::new());
        }
        rows.truncate(shown);
        let token = rows.last().map(|last| seal(&self.list, key(last)));
        (rows, token.unwrap_or_default())
    }
}

/// A number of rows that a caller asks for: 0 is the default, too many is the maximum.
pub(super) fn limit(field: &str, asked: i32, limits: &Limits) -> Result<usize, Status> {
    match usize::try_from(asked) {
        Ok(0) => Ok(limits.page_size),
        Ok(size) => Ok(size.min(limits.max_page_size)),
        Err(_) => Err(status::bad_field(field, "must not be negative")),
    }
}

/// What a response has room for in rows, in bytes.
pub(super) fn room(limits: &Limits) -> usize {
    limits.response_bytes.saturating_sub(SLACK_BYTES)
}

/// How many of `rows`, from the first on, fit `bytes`; at least one, so that a list always ends.
pub(super) fn fit<M: Message>(rows: &[M], bytes: usize) -> usize {
    let mut used = 0;
    let fitting = rows.iter().take_while(|row| {
        // A row's tag and length take up to 6 bytes more.
        used += row.encoded_len() + 6;
        used <= bytes
    });
    fitting.count().max(rows.len().min(1))
}

fn seal_of(list: &str, key: &str) -> [u8; SEAL_BYTES] {
    let mut context = Context::new(&SHA256);
    context.update(&list.len().to_be_bytes());
    context.update(list.as_bytes());
    context.update(key.as_bytes());
    let mut seal = [0; SEAL_BYTES];
    seal.copy_from_slice(&context.finish().as_ref()[..SEAL_BYTES]);
    seal
}

fn seal(list: &str, key: &str) -> String {
    let mut bytes = seal_of(list, key).to_vec();
    bytes.extend_from_slice(key.as_bytes());
    URL_SAFE_NO_PAD.encode(bytes)
}

/// The key in a token; that of no token is empty.
fn open(list: &str, token: &str) -> Option<String> {
    if token.is_empty() {
        return Some(String::new());
    }
    let bytes = URL_SAFE_NO_PAD.decode(token).ok()?;
    let (seal, key) = bytes.split_at_checked(SEAL_BYTES)?;
    let key = std::str::from_utf8(key).ok()?;
    (seal == seal_of(list, key)).then(|| key.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::proto::Channel;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn row(name: &str) -> Channel {
        Channel {
            name: name.into(),
            ..Channel::default()
        }
    }

    fn page(list: &str, size: i32, token: &str) -> Result<Page, Status> {
        Page::new(list.into(), size, token, &Limits::default())
    }

    proptest! {
        #[test]
        fn a_token_keeps_its_key_and_its_list(list in ".{0,20}", other in ".{0,20}", key in ".{1,40}") {
            let token = seal(&list, &key);
            prop_assert_eq!(open(&list, &token), Some(key));
            if list != other {
                prop_assert_eq!(open(&other, &token), None);
            }
        }

        #[test]
        fn garbage_is_refused(token in "[A-Za-z0-9_-]{1,60}|.{1,20}") {
            prop_assert_eq!(open("channels", &token), None);
        }

        /// Names come and go between pages; what stays is listed once.
        #[test]
        fn what_stays_is_listed_once(
            stays in prop::collection::btree_set("[a-z]{1,3}", 1..30),
            comes in prop::collection::vec("[a-z]{1,3}", 30),
            size in 1..7_i32,
        ) {
            let mut token = String::new();
            let mut listed = Vec::new();
            for new in comes {
                let mut now: BTreeSet<String> = stays.clone();
                now.insert(new);
                let page = page("channels", size, &token).unwrap();
                let rows: Vec<_> = now
                    .iter()
                    .filter(|name| name.as_str() > page.after())
                    .take(page.read())
                    .map(|name| row(name))
                    .collect();
                let (rows, next) = page.cut(rows, |row| &row.name);
                listed.extend(rows.into_iter().map(|row| row.name));
                token = next;
                if token.is_empty() {
                    break;
                }
            }
            prop_assert!(listed.is_sorted_by(|a, b| a < b), "{listed:?}");
            for name in &stays {
                let reached = token.is_empty() || listed.last().is_some_and(|last| last >= name);
                prop_assert_eq!(listed.contains(name), reached, "{}", name);
            }
        }
    }

    #[test]
    fn sizes_have_a_default_and_a_bound() {
        assert_eq!(page("x", 0, "").unwrap().read(), 101);
        assert_eq!(page("x", 7, "").unwrap().read(), 8);
        assert_eq!(page("x", i32::MAX, "").unwrap().read(), 1_001);
        assert_eq!(
            page("x", -1, "").unwrap_err().code(),
            tonic::Code::InvalidArgument
        );
    }

    #[test]
    fn a_page_fits_its_message() {
        let limits = Limits {
            response_bytes: SLACK_BYTES + 1_000,
            ..Limits::default()
        };
        let page = Page::new("x".into(), 100, "", &limits).unwrap();
        let rows: Vec<_> = (0..20).map(|i| row(&format!("{i:0>200}"))).collect();
        let (shown, token) = page.cut(rows, |row| &row.name);
        assert_eq!(shown.len(), 4);
        assert!(!token.is_empty());
        let (shown, token) = page.cut(vec![row(&"x".repeat(5_000))], |row| &row.name);
        assert_eq!((shown.len(), token.as_str()), (1, ""));
    }
}
