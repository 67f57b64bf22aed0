//! Rust source as far as the house rules need it: text whose comments, strings and characters are
//! blanked, so that what looks like code is code. Lines stay where they were.

/// Source without its comments and literals.
pub struct Code(String);

impl Code {
    pub fn new(source: &str) -> Self {
        Self(blank_literals(source))
    }

    pub fn contains(&self, needle: &str) -> bool {
        self.0.contains(needle)
    }

    /// Lines (from 1) that hold `needle` at the start of a word.
    pub fn lines_with(&self, needle: &str) -> Vec<usize> {
        let word = |at: usize| {
            let starts = needle.chars().next().is_some_and(is_word);
            !starts || !self.0[..at].chars().next_back().is_some_and(is_word)
        };
        self.0
            .match_indices(needle)
            .filter(|(at, _)| word(*at))
            .map(|(at, _)| self.line(at))
            .collect()
    }

    /// Every first module after `crate::`, groups included, with its line.
    pub fn crate_paths(&self) -> Vec<(usize, String)> {
        let mut found = vec![];
        for (at, prefix) in self.0.match_indices("crate::") {
            if self.0[..at]
                .chars()
                .next_back()
                .is_some_and(|c| is_word(c) || c == '$')
            {
                continue;
            }
            let rest = &self.0[at + prefix.len()..];
            if let Some(group) = rest.strip_prefix('{') {
                let names = group_heads(&group[..closing(group, '{', '}')]);
                found.extend(names.into_iter().map(|name| (self.line(at), name)));
            } else {
                found.push((self.line(at), first_word(rest)));
            }
        }
        found
    }

    /// Names of modules declared `#[cfg(test)] mod name;`.
    pub fn test_module_files(&self) -> Vec<String> {
        let declared = self.0.split("#[cfg(test)]").skip(1).filter_map(|rest| {
            let item = skip_attributes(rest);
            let item = item.strip_prefix("pub(crate) ").unwrap_or(item);
            let name = first_word(item.strip_prefix("mod ")?);
            item["mod ".len() + name.len()..]
                .starts_with(';')
                .then_some(name)
        });
        declared.collect()
    }

    /// Without items under `#[cfg(test)]` and `#[test]`.
    pub fn without_tests(&self) -> Self {
        self.without_items(|attribute| attribute == "#[cfg(test)]" || attribute == "#[test]")
    }

    /// Without items and statements that allow clippy's `lint` and give a reason.
    pub fn without_allowed(&self, lint: &str) -> Self {
        let name = format!("clippy::{lint}");
        self.without_items(|attribute| {
            let listed = attribute
                .split(|c: char| !is_word(c) && c != ':')
                .any(|word| word == name);
            let kind = attribute.starts_with("#[allow(") || attribute.starts_with("#[expect(");
            kind && listed && attribute.contains("reason")
        })
    }

    /// Without the bodies of `mod name { … }`.
    pub fn without_inline_modules(&self) -> Self {
        let mut text = self.0.clone();
        for (at, _) in self.0.match_indices("mod ") {
            let name = first_word(&self.0[at + 4..]);
            let body = at + 4 + name.len();
            if self.0[body..].trim_start().starts_with('{') {
                blank(&mut text, body, body + item_end(&self.0[body..]));
            }
        }
        Self(text)
    }

    fn without_items(&self, is_one: impl Fn(&str) -> bool) -> Self {
        let mut text = self.0.clone();
        for (at, _) in self.0.match_indices("#[") {
            let end = at + 2 + closing(&self.0[at + 2..], '[', ']') + 1;
            let end = end.min(self.0.len());
            if is_one(&self.0[at..end]) {
                blank(&mut text, at, end + item_end(&self.0[end..]));
            }
        }
        Self(text)
    }

    fn line(&self, at: usize) -> usize {
        self.0[..at].matches('\n').count() + 1
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

fn first_word(text: &str) -> String {
    text.chars().take_while(|c| is_word(*c)).collect()
}

/// Where the bracket that was opened just before `text` is closed.
fn closing(text: &str, open: char, close: char) -> usize {
    let mut depth = 1;
    for (at, c) in text.char_indices() {
        if c == open {
            depth += 1;
        } else if c == close {
            depth -= 1;
            if depth == 0 {
                return at;
            }
        }
    }
    text.len()
}

/// `a::{b, c}, d` → a, d.
fn group_heads(group: &str) -> Vec<String> {
    let mut depth = 0;
    let mut heads = vec![String::new()];
    for c in group.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => heads.push(String::new()),
            _ => {}
        }
        if depth == 0 && c != ',' {
            heads.last_mut().unwrap().push(c);
        }
    }
    heads
        .iter()
        .map(|head| first_word(head.trim()))
        .filter(|head| !head.is_empty())
        .collect()
}

fn skip_attributes(text: &str) -> &str {
    let mut rest = text.trim_start();
    while let Some(inner) = rest.strip_prefix("#[") {
        let end = (closing(inner, '[', ']') + 1).min(inner.len());
        rest = inner[end..].trim_start();
    }
    rest
}

/// The length of the item or statement that `text` starts with: up to its `;` or its block's end.
fn item_end(text: &str) -> usize {
    let mut depth = 0_i32;
    for (at, c) in text.char_indices() {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            _ => {}
        }
        let ended = depth < 0 || (depth == 0 && (c == ';' || c == '}'));
        if ended {
            return at + 1;
        }
    }
    text.len()
}

fn blank(text: &mut String, from: usize, to: usize) {
    let blanked: String = text[from..to]
        .bytes()
        .map(|b| if b == b'\n' { '\n' } else { ' ' })
        .collect();
    text.replace_range(from..to, &blanked);
}

/// Blanks comments, strings and characters; the delimiters' places become spaces too.
fn blank_literals(source: &str) -> String {
    let mut text = source.to_owned();
    let mut at = 0;
    while at < source.len() {
        let rest = &source[at..];
        let before = source[..at].chars().next_back();
        let length = literal(rest, before);
        if length > 0 {
            blank(&mut text, at, at + length);
            at += length;
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    text
}

/// The length of the comment or literal that `rest` starts with, or 0.
fn literal(rest: &str, before: Option<char>) -> usize {
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if let Some(inner) = rest.strip_prefix("/*") {
        return (inner.find("*/").map_or(inner.len(), |end| end + 2)) + 2;
    }
    if let Some(inner) = rest.strip_prefix('"') {
        return quoted(inner, '"') + 1;
    }
    if let Some(inner) = rest.strip_prefix('\'') {
        // A character, not a lifetime: closed after one character or escape.
        let mut chars = inner.chars();
        let first = chars.next();
        let is_char = first == Some('\\') || chars.next() == Some('\'');
        return if is_char { quoted(inner, '\'') + 1 } else { 0 };
    }
    if before.is_some_and(is_word) {
        return 0;
    }
    let raw = rest.strip_prefix("br").or_else(|| rest.strip_prefix('r'));
    raw.map_or(0, |raw| {
        raw_string(raw).map_or(0, |length| rest.len() - raw.len() + length)
    })
}

/// The length of a raw string after its `r`, if it is one.
fn raw_string(text: &str) -> Option<usize> {
    let hashes = text.bytes().take_while(|b| *b == b'#').count();
    let inner = text[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    Some(hashes + 1 + inner.find(&end).map_or(inner.len(), |at| at + end.len()))
}

/// The length up to and including the unescaped `quote`.
fn quoted(inner: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in inner.char_indices() {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == quote {
            return at + quote.len_utf8();
        }
    }
    inner.len()
}
