//! How what an endpoint says is written, in the settings file and on the control plane alike.

use std::fmt;

use super::Verb;
use super::endpoint::{
    AccessRule, Audience, Publisher, Realtime, UpdateMethod, VersionAt, WriteReturns,
};

impl Verb {
    /// The verb in lower case, as clients write it; none for what is no REST verb.
    pub const fn word(self) -> Option<&'static str> {
        match self {
            Self::Index => Some("index"),
            Self::Show => Some("show"),
            Self::Create => Some("create"),
            Self::Update => Some("update"),
            Self::Delete => Some("delete"),
            Self::Bind | Self::Recheck => None,
        }
    }

    /// The REST verb of this name.
    pub fn of_word(word: &str) -> Option<Self> {
        let all = [
            Self::Index,
            Self::Show,
            Self::Create,
            Self::Update,
            Self::Delete,
        ];
        all.into_iter().find(|verb| verb.word() == Some(word))
    }
}

/// Words that each mean one value.
macro_rules! words {
    ($kind:ident { $($word:literal => $value:ident),+ $(,)? }) => {
        impl $kind {
            /// Its word.
            pub const fn word(self) -> &'static str {
                match self {
                    $(Self::$value => $word,)+
                }
            }

            /// What the word means.
            pub fn of_word(word: &str) -> Option<Self> {
                match word {
                    $($word => Some(Self::$value),)+
                    _ => None,
                }
            }
        }
    };
}

words!(UpdateMethod { "PATCH" => Patch, "PUT" => Put });
words!(WriteReturns { "unknown" => Unknown, "representation" => Representation });
words!(Realtime { "refetch" => Refetch, "none" => None });
words!(Publisher { "gateway" => Gateway, "service" => Service, "both" => Both });

impl AccessRule {
    /// Reads `public`, `upstream` or `claims:…`; what follows is judged with the endpoint.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "public" => Some(Self::Public),
            "upstream" => Some(Self::Upstream),
            _ => Some(Self::Claims(text.strip_prefix("claims:")?.trim().into())),
        }
    }
}

impl fmt::Display for AccessRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Public => f.write_str("public"),
            Self::Upstream => f.write_str("upstream"),
            Self::Claims(expression) => write!(f, "claims:{expression}"),
        }
    }
}

impl Audience {
    /// Reads `user`, `shared` or `claims:[name, …]`, with or without brackets.
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "user" => Some(Self::User),
            "shared" => Some(Self::Shared),
            _ => {
                let list = text.strip_prefix("claims:")?.trim();
                let bare = list
                    .strip_prefix('[')
                    .and_then(|list| list.strip_suffix(']'));
                let names = bare.unwrap_or(list).split(',').map(str::trim);
                Some(Self::Claims(
                    names
                        .filter(|name| !name.is_empty())
                        .map(Box::from)
                        .collect(),
                ))
            }
        }
    }
}

impl fmt::Display for Audience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::User => f.write_str("user"),
            Self::Shared => f.write_str("shared"),
            Self::Claims(names) => write!(f, "claims:[{}]", names.join(",")),
        }
    }
}

impl VersionAt {
    /// Reads `none`, `body:<JSON pointer>` or `header:<name>`.
    pub fn parse(text: &str) -> Option<Self> {
        if text == "none" {
            return Some(Self::None);
        }
        let (place, name) = text.split_once(':')?;
        match place {
            "body" => Some(Self::Body(name.into())),
            "header" => Some(Self::Header(name.into())),
            _ => None,
        }
    }
}

impl fmt::Display for VersionAt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Body(pointer) => write!(f, "body:{pointer}"),
            Self::Header(name) => write!(f, "header:{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_reads_back() {
        for text in ["public", "upstream", "claims:role=editor,tenant={tenant}"] {
            assert_eq!(AccessRule::parse(text).unwrap().to_string(), text);
        }
        for text in ["user", "shared", "claims:[tenant,role]", "claims:[]"] {
            assert_eq!(Audience::parse(text).unwrap().to_string(), text);
        }
        let names = Audience::Claims(vec!["a".into(), "b".into()]);
        assert_eq!(Audience::parse("claims: a , b"), Some(names));
        for text in ["none", "body:/meta/version", "header:X-Version"] {
            assert_eq!(VersionAt::parse(text).unwrap().to_string(), text);
        }
        for text in ["", "everyone", "claim:a"] {
            assert_eq!(AccessRule::parse(text), None);
            assert_eq!(Audience::parse(text), None);
            assert_eq!(VersionAt::parse(text), None);
        }
        for verb in ["index", "show", "create", "update", "delete"] {
            assert_eq!(Verb::of_word(verb).unwrap().word(), Some(verb));
        }
        assert_eq!(UpdateMethod::of_word("PUT"), Some(UpdateMethod::Put));
        assert_eq!(Publisher::of_word("x"), None);
    }
}
