//! The expressions of `access.claims`: `role=editor,tenant={tenant}`.

/// What a claim must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClaimTest<'a> {
    /// There, and neither `null` nor `false`.
    Present,
    /// This text, or a list that holds it.
    Is(&'a str),
    /// What the template's parameter stands for, or a list that holds it.
    Parameter(&'a str),
}

/// The tests of an expression, all of which must hold: the claim's name and what it must be.
/// None: it is no expression.
pub fn claim_tests(expression: &str) -> Option<Vec<(&str, ClaimTest<'_>)>> {
    expression
        .split(',')
        .map(|term| test(term.trim()))
        .collect()
}

fn test(term: &str) -> Option<(&str, ClaimTest<'_>)> {
    let (name, test) = match term.split_once('=') {
        None => (term, ClaimTest::Present),
        Some((name, value)) => {
            let value = value.trim();
            let inner = value
                .strip_prefix('{')
                .and_then(|rest| rest.strip_suffix('}'));
            let test = inner.map_or(ClaimTest::Is(value), ClaimTest::Parameter);
            (name.trim(), test)
        }
    };
    let braces = |text: &str| text.is_empty() || text.contains(['{', '}']);
    let bad_value = match test {
        ClaimTest::Present => false,
        ClaimTest::Is(value) | ClaimTest::Parameter(value) => braces(value),
    };
    (!braces(name) && !bad_value).then_some((name, test))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_are_lists_of_tests() {
        assert_eq!(
            claim_tests("admin, role=editor ,tenant={tenant}"),
            Some(vec![
                ("admin", ClaimTest::Present),
                ("role", ClaimTest::Is("editor")),
                ("tenant", ClaimTest::Parameter("tenant")),
            ])
        );
        for bad in ["", "a,", ",a", "a=", "=a", "a={}", "a={b", "{a}", "a=x{b}"] {
            assert_eq!(claim_tests(bad), None, "{bad}");
        }
    }
}
