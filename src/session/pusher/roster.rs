//! A presence channel's members as a new subscriber is shown them: each once, and no more than fit
//! into its mailbox.

use std::collections::BTreeSet;

use serde_json::value::RawValue;

use crate::broker::Members;

/// What a member costs beyond its id (which stands there twice) and info.
const MEMBER_BYTES: usize = 16;

/// The members, as far as they take at most `budget` bytes.
pub(super) fn roster(members: &Members, mut budget: usize) -> Vec<(&str, Option<&RawValue>)> {
    let mut seen = BTreeSet::new();
    let rows = members.rows.iter();
    let distinct = rows.filter(|row| seen.insert(&*row.subject));
    let shown = distinct.map(|row| (&*row.subject, row.info.as_deref()));
    shown
        .take_while(|(id, info)| {
            let cost = 2 * id.len() + info.map_or(0, |info| info.get().len()) + MEMBER_BYTES;
            let fits = cost <= budget;
            budget = budget.saturating_sub(cost);
            fits
        })
        .collect()
}
