//! Changing some fields of an endpoint's message: those that an update mask names.

use super::super::proto::{
    Breaker, Endpoint, EndpointAccess, EndpointAuth, EndpointCache, EndpointQuery, Upstream,
};

/// Copies the field that `$path` names, if it is one of these.
macro_rules! copy {
    ($path:expr, $from:expr, $to:expr, [$($field:ident)+]) => {
        match $path {
            $(stringify!($field) => {
                $to.$field.clone_from(&$from.$field);
                true
            })+
            _ => false,
        }
    };
}

/// Copies what `path` names from one endpoint to another; false: there is no such field.
pub(super) fn copy(path: &str, from: &Endpoint, to: &mut Endpoint) -> bool {
    let Some((table, rest)) = path.split_once('.') else {
        return copy!(path, from, to, [
            item collection methods upstream auth access audience fetch_as id version ordered
            write_returns query affects publish autobind cache revalidate_every
        ]);
    };
    match table {
        "upstream" => {
            let (from, to) = (
                or_default(&from.upstream),
                to.upstream.get_or_insert_default(),
            );
            copy_upstream(rest, &from, to)
        }
        "auth" => {
            let (from, to): (EndpointAuth, _) = (or_default(&from.auth), &mut to.auth);
            copy!(rest, from, to.get_or_insert_default(), [mode secret audience ttl token])
        }
        "access" => {
            let (from, to): (EndpointAccess, _) = (or_default(&from.access), &mut to.access);
            copy!(rest, from, to.get_or_insert_default(), [rule ttl])
        }
        "query" => {
            let (from, to): (EndpointQuery, _) = (or_default(&from.query), &mut to.query);
            copy!(rest, from, to.get_or_insert_default(), [allow realtime])
        }
        "cache" => {
            let (from, to): (EndpointCache, _) = (or_default(&from.cache), &mut to.cache);
            copy!(rest, from, to.get_or_insert_default(), [max_ttl swr sie])
        }
        _ => false,
    }
}

fn copy_upstream(path: &str, from: &Upstream, to: &mut Upstream) -> bool {
    match path.strip_prefix("breaker.") {
        Some(rest) => {
            let (from, to): (Breaker, _) = (or_default(&from.breaker), &mut to.breaker);
            copy!(rest, from, to.get_or_insert_default(), [requests window ratio open])
        }
        None => copy!(path, from, to, [
            bases update connect_timeout timeout retries breaker concurrency forward
        ]),
    }
}

fn or_default<T: Clone + Default>(message: &Option<T>) -> T {
    message.clone().unwrap_or_default()
}
