//! JSONP: the answer as a script that calls a function of the page.
//!
//! What may be called is a path to a function: names, each followed by `.name`, `[number]` or a
//! string in brackets that holds what a channel's name may hold. Old pusher-js (through 2.0.0)
//! writes the channel into it, `Pusher.auth_callbacks['private-items_1']`, later ones a number.
//! No call, operator, quote or end of a statement can be written so; whoever chooses the callback
//! chooses which function gets the answer, no more.

use serde_json::Value;

/// Longest callback in bytes.
const MAX_BYTES: usize = 200;

/// Whether `text` is a path to a function.
pub(super) fn is_one(text: &str) -> bool {
    if text.len() > MAX_BYTES {
        return false;
    }
    let Some(mut rest) = after_name(text) else {
        return false;
    };
    while !rest.is_empty() {
        let next = match rest.strip_prefix('.') {
            Some(name) => after_name(name),
            None => rest.strip_prefix('[').and_then(after_index),
        };
        match next {
            Some(next) => rest = next,
            None => return false,
        }
    }
    true
}

/// What follows a name.
fn after_name(text: &str) -> Option<&str> {
    let is_letter = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '$';
    let end = text.find(|c| !is_letter(c)).unwrap_or(text.len());
    let in_order = end > 0 && !text.starts_with(|c: char| c.is_ascii_digit());
    in_order.then(|| &text[end..])
}

/// What follows an index and its closing bracket.
fn after_index(text: &str) -> Option<&str> {
    let quote = text.chars().next()?;
    let (in_order, rest) = if matches!(quote, '\'' | '"') {
        let (inside, rest) = text[1..].split_once(quote)?;
        (inside.bytes().all(is_in_channel), rest)
    } else {
        let (inside, rest) = text.split_at(text.find(']')?);
        let digits = inside.bytes().all(|byte| byte.is_ascii_digit());
        (!inside.is_empty() && digits, rest)
    };
    rest.strip_prefix(']').filter(|_| in_order)
}

fn is_in_channel(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_-=@,.;".contains(&byte)
}

/// The script. What a script reads otherwise than JSON does, or a page otherwise than a script, is
/// escaped; in JSON such letters stand in strings only.
pub(super) fn call(callback: &str, answer: &Value) -> String {
    let json = answer
        .to_string()
        .replace('<', "\\u003c")
        .replace('\u{2028}', "\\u2028")
        .replace('\u{2029}', "\\u2029");
    format!("{callback}({json});")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn callbacks_of_every_age_are_taken() {
        for good in [
            "f",
            "_",
            "$",
            "Pusher.auth_callbacks['private-items_1']",
            "Pusher.auth_callbacks[\"private-items_1\"]",
            "Pusher.auth_callbacks['presence-a=@,.;']",
            "Pusher.auth_callbacks['1']",
            "Pusher.auth_callbacks[1]",
            "jQuery1234_5678",
            "a.b.c[0]['d'].e",
            &"f".repeat(200),
        ] {
            assert!(is_one(good), "{good}");
        }
    }

    #[test]
    fn nothing_else_is() {
        for bad in [
            "",
            "1",
            "a b",
            "alert(1)",
            "alert(1)//",
            "a;b",
            "a=b",
            "a,b",
            "a-b",
            "a.",
            ".a",
            "a..b",
            "a[",
            "a[]",
            "a['x]",
            "a['x\"]",
            "a['x'",
            "a['x'];b",
            "a['x']=b",
            "a['x''y']",
            "a['x\\']",
            "a[b]",
            "a[1-1]",
            "a['']'",
            "a\n",
            "a\u{2028}",
            "é",
            "a['é']",
            "</script>",
            "a/**/",
            &"f".repeat(201),
        ] {
            assert!(!is_one(bad), "{bad}");
        }
    }

    #[test]
    fn the_answer_is_a_script_and_nothing_else() {
        let answer = json!({ "auth": "k:s", "channel_data": "\u{2028}</script>\u{2029}\"" });
        assert_eq!(
            call("f['a']", &answer),
            "f['a']({\"auth\":\"k:s\",\"channel_data\":\
             \"\\u2028\\u003c/script>\\u2029\\\"\"});"
        );
    }

    proptest! {
        /// Whatever is taken is of Pusher's alphabet, and what is not quoted names no operator.
        #[test]
        fn what_is_taken_is_a_path(text in r#"[a-c1.$_\[\]'"=;,@ ()/<\n-]{0,12}"#) {
            if is_one(&text) {
                let safe = |c: char| c.is_ascii_alphanumeric() || "_.$[]'\"-=@,;".contains(c);
                prop_assert!(text.chars().all(safe), "{text}");
                let mut quote = None;
                for c in text.chars() {
                    match (quote, c) {
                        (None, '\'' | '"') => quote = Some(c),
                        (None, c) => prop_assert!(
                            c.is_ascii_alphanumeric() || "_.$[]".contains(c), "{text}"
                        ),
                        (Some(open), c) if c == open => quote = None,
                        (Some(_), _) => {}
                    }
                }
                prop_assert_eq!(quote, None);
            }
        }

        #[test]
        fn paths_are_taken(
            first in "[a-zA-Z_$][a-zA-Z0-9_$]{0,9}",
            rest in proptest::collection::vec(
                r#"\.[a-zA-Z_$][a-zA-Z0-9_$]{0,9}|\[[0-9]{1,5}\]|\['[a-z0-9.=@,;-]{0,20}'\]"#, 0..5),
        ) {
            let text = first + &rest.concat();
            prop_assert!(is_one(&text), "{text}");
        }
    }
}
