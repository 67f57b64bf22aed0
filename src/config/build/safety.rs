//! Fail closed: a server that would be open does not start. `--dev` fills in what is missing, so
//! the same checks pass there.

use super::super::Config;
use super::super::reader::Reader;
use super::doors;

/// Refuses a configuration that leaves a door open.
pub(super) fn check(root: &Reader<'_>, config: &Config) {
    let auth = root.table("auth");
    let keyed = ["secret", "secret_file", "public_key_file", "jwks_url"];
    if !keyed.iter().any(|name| auth.has(name))
        && auth.items("issuer").is_empty()
        && root.table("pusher").items("apps").is_empty()
    {
        root.refuse(
            "auth",
            "there is no key for tokens, and so anyone could be anyone: set auth.secret, \
             auth.public_key_file, auth.jwks_url, [[auth.issuer]] or [[pusher.apps]]; --dev makes \
             one up",
        );
    }
    let control = root.table("control");
    let certificates = control.table("tls").has("client_ca");
    if !doors::is_local(config.control.listen) && !certificates && control.items("keys").is_empty()
    {
        control.refuse(
            "listen",
            format!(
                "{} can be reached from beyond this machine: set control.keys or \
                 control.tls.client_ca, or listen on 127.0.0.1",
                config.control.listen
            ),
        );
    }
}
