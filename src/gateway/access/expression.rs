//! Whether claims satisfy the expression of an endpoint's access rule.
//!
//! A name is a claim's, or, starting with `/`, a JSON pointer (RFC 6901) into the claims. A claim
//! alone holds if it is there and neither `null` nor `false`. A claim has a value if it is that
//! string, number or boolean, or an array that contains it. What cannot be understood does not hold;
//! nor does a number that is not whole or has more than 64 bits, since it may have been rounded to
//! another's.

use serde_json::Value;

use crate::resource::{ClaimTest, claim_tests};

/// Whether `claims` satisfy `expression`; `parameter` knows the parts of the uri by name.
pub(in crate::gateway) fn holds<'a>(
    expression: &str,
    claims: &Value,
    parameter: impl Fn(&str) -> Option<&'a str>,
) -> bool {
    let Some(tests) = claim_tests(expression) else {
        return false;
    };
    tests.into_iter().all(|(name, test)| {
        let Some(value) = claim(claims, name) else {
            return false;
        };
        match test {
            ClaimTest::Present => *value != Value::Bool(false),
            ClaimTest::Is(wanted) => has(value, wanted),
            ClaimTest::Parameter(name) => parameter(name).is_some_and(|wanted| has(value, wanted)),
        }
    })
}

fn has(value: &Value, wanted: &str) -> bool {
    match value {
        Value::Array(values) => values.iter().any(|value| is(value, wanted)),
        value => is(value, wanted),
    }
}

/// The claim of a name or pointer, where there is one.
pub(super) fn claim<'a>(claims: &'a Value, name: &str) -> Option<&'a Value> {
    let value = match name.as_bytes().first()? {
        b'/' => claims.pointer(name),
        _ => claims.get(name),
    };
    value.filter(|value| !value.is_null() && !value.is_f64())
}

/// Whether no number in it may have been rounded: two that differ are then never read as the same.
pub(super) fn is_exact(value: &Value) -> bool {
    match value {
        Value::Array(values) => values.iter().all(is_exact),
        Value::Object(members) => members.values().all(is_exact),
        value => !value.is_f64(),
    }
}

fn is(value: &Value, wanted: &str) -> bool {
    match value {
        Value::String(text) => text == wanted,
        Value::Number(number) => !number.is_f64() && number.to_string() == wanted,
        Value::Bool(truth) => (if *truth { "true" } else { "false" }) == wanted,
        Value::Null | Value::Array(_) | Value::Object(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(expression: &str) -> bool {
        let claims = serde_json::json!({
            "sub": "ada", "tenant": "acme", "level": 3, "staff": true, "off": false, "none": null,
            "teams": ["red", "blue", 7, 2.5], "half": 1.5, "org": {"id": "o/1", "roles": ["admin"]}, "": "empty",
        });
        holds(expression, &claims, |name| match name {
            "tenant" => Some("acme"),
            "team" => Some("blue"),
            "other" => Some("zeta"),
            "level" => Some("3"),
            _ => None,
        })
    }

    #[test]
    fn all_terms_must_hold() {
        for good in [
            "sub",
            "staff",
            "teams",
            "org",
            "tenant=acme",
            "level=3",
            "staff=true",
            "off=false",
            "teams=red",
            "teams=7",
            "tenant={tenant}",
            "teams={team}",
            "level={level}",
            "/org/id=o/1",
            "/org/roles=admin",
            "staff, tenant = {tenant} ,teams=blue",
        ] {
            assert!(check(good), "{good}");
        }
        for bad in [
            "nobody",
            "off",
            "none",
            "none=null",
            "tenant=",
            "tenant=acm",
            "tenant={other}",
            "tenant={unknown}",
            "teams=green",
            "teams={other}",
            "org=o/1",
            "/org/none",
            "/org/roles/1",
            "sub,nobody",
            "sub,",
            "level=3.0",
            "half",
            "half=1.5",
            "teams=2.5",
        ] {
            assert!(!check(bad), "{bad}");
        }
    }

    #[test]
    fn an_empty_expression_never_holds_by_accident() {
        assert!(!holds("", &serde_json::json!({"sub": "ada"}), |_| None));
        assert!(!holds(",", &serde_json::json!({"sub": "ada"}), |_| None));
    }
}
