//! The expression of an endpoint's access rule: `name`, `name=value`, `name={parameter}`, joined by
//! `,`, all of which must hold.
//!
//! A name is a claim's, or, starting with `/`, a JSON pointer (RFC 6901) into the claims. A claim
//! alone holds if it is there and neither `null` nor `false`. A claim has a value if it is that
//! string, number or boolean, or an array that contains it. What cannot be understood does not hold.

use serde_json::Value;

/// Whether `claims` satisfy `expression`; `parameter` knows the parts of the uri by name.
pub(in crate::gateway) fn holds<'a>(
    expression: &str,
    claims: &Value,
    parameter: impl Fn(&str) -> Option<&'a str>,
) -> bool {
    expression.split(',').all(|term| {
        let Some((name, wanted)) = term.split_once('=') else {
            let value = claim(claims, term.trim());
            return value.is_some_and(|value| *value != Value::Bool(false));
        };
        let wanted = wanted.trim();
        let inner = wanted
            .strip_prefix('{')
            .and_then(|rest| rest.strip_suffix('}'));
        let wanted = match inner {
            Some(name) => parameter(name),
            None => Some(wanted),
        };
        match (claim(claims, name.trim()), wanted) {
            (Some(Value::Array(values)), Some(wanted)) => {
                values.iter().any(|value| is(value, wanted))
            }
            (Some(value), Some(wanted)) => is(value, wanted),
            _ => false,
        }
    })
}

/// The claim of a name or pointer, where there is one.
pub(super) fn claim<'a>(claims: &'a Value, name: &str) -> Option<&'a Value> {
    let value = match name.as_bytes().first()? {
        b'/' => claims.pointer(name),
        _ => claims.get(name),
    };
    value.filter(|value| !value.is_null())
}

fn is(value: &Value, wanted: &str) -> bool {
    match value {
        Value::String(text) => text == wanted,
        Value::Number(number) => number.to_string() == wanted,
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
            "teams": ["red", "blue", 7], "org": {"id": "o/1", "roles": ["admin"]}, "": "empty",
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
