//! One page of a list that is kept in many ordered parts.

use std::collections::BTreeMap;

use super::ChannelName;

/// Collects the first `limit` names of several ordered parts, each with what belongs to it.
///
/// Offer each part's names in order until one is not [wanted](Self::wants): then nothing that
/// follows in that part belongs to the page.
#[derive(Debug)]
pub struct Page<T> {
    rows: BTreeMap<ChannelName, T>,
    limit: usize,
}

impl<T> Page<T> {
    /// An empty page for at most `limit` rows.
    pub fn new(limit: usize) -> Self {
        Self {
            rows: BTreeMap::new(),
            limit,
        }
    }

    /// Whether a row of this name would stand on the page, as far as is known.
    pub fn wants(&self, name: &str) -> bool {
        self.rows.len() < self.limit
            || self
                .rows
                .last_key_value()
                .is_some_and(|(last, _)| name < last.as_str())
    }

    /// Puts a row on the page; the last one makes room for it.
    pub fn put(&mut self, name: ChannelName, row: T) {
        self.rows.insert(name, row);
        if self.rows.len() > self.limit {
            self.rows.pop_last();
        }
    }

    /// The page, in order.
    pub fn into_rows(self) -> impl Iterator<Item = (ChannelName, T)> {
        self.rows.into_iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_all_parts_are_kept() {
        let mut page = Page::new(3);
        for part in [["c", "d"], ["a", "z"], ["b", "e"]] {
            for name in part {
                if !page.wants(name) {
                    break;
                }
                page.put(ChannelName::parse(name).unwrap(), ());
            }
        }
        let names: Vec<_> = page
            .into_rows()
            .map(|(name, ())| name.to_string())
            .collect();
        assert_eq!(names, ["a", "b", "c"]);
        assert!(!Page::<()>::new(0).wants("a"));
    }
}
