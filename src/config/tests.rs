//! Whole configurations, good and bad, with what is said of them.

mod endpoints;
mod pusher;
mod safety;

use std::io::Write as _;

use super::*;
use crate::edge::Origins;

const SECRET: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

struct Given {
    directory: tempfile::TempDir,
    sources: Sources,
}

/// Sources with this file, and nothing of the environment.
fn given(file: &str) -> Given {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("pogo.toml");
    std::fs::File::create(&path)
        .unwrap()
        .write_all(file.as_bytes())
        .unwrap();
    Given {
        directory,
        sources: Sources {
            file: Some(path),
            ..Sources::default()
        },
    }
}

impl Given {
    fn set(mut self, flags: &[&str]) -> Self {
        self.sources.set = flags.iter().map(|flag| (*flag).to_owned()).collect();
        self
    }

    fn env(mut self, variables: &[(&str, &str)]) -> Self {
        let variables = variables
            .iter()
            .map(|(name, value)| ((*name).into(), (*value).into()));
        self.sources = self.sources.with_environment(variables);
        self
    }

    fn dev(mut self) -> Self {
        self.sources.dev = Some(Arc::new(DevKeys::random().unwrap()));
        self
    }

    fn load(&self) -> Config {
        load(&self.sources).unwrap_or_else(|errors| panic!("{errors}"))
    }

    /// What is wrong, with the directory's path taken out.
    fn refused(&self) -> String {
        let errors = load(&self.sources).expect_err("good").to_string();
        errors.replace(&format!("{}/", self.directory.path().display()), "")
    }
}

fn with_key(rest: &str) -> String {
    format!("auth.secret = \"{SECRET}\"\n{rest}")
}

#[test]
fn the_least_configuration_has_the_contracts_defaults() {
    let config = given(&with_key("")).load();
    assert_eq!(config.edge.listen.to_string(), "0.0.0.0:8080");
    assert_eq!(config.control.listen.to_string(), "127.0.0.1:8081");
    assert_eq!(config.admin.listen.to_string(), "127.0.0.1:8082");
    assert_eq!(config.edge.max_frame_bytes, 65_536);
    assert_eq!(config.edge.ping_interval, Duration::from_secs(25));
    assert_eq!(config.session.auth_deadline, Duration::from_secs(10));
    assert_eq!(config.session.max_channels, 1_000);
    assert_eq!(config.session.leeway, Duration::from_secs(5));
    assert!(config.session.auth_required);
    assert_eq!(config.drain, Duration::from_secs(30));
    assert_eq!(config.edge.allowed_origins, Origins::Same);
    assert!(config.rules.is_empty() && config.dev.is_none());
}

/// The defaults are written twice: in the table, and in each module's own `Default`.
#[test]
fn the_tables_defaults_are_the_modules_own() {
    let config = given(&with_key("")).load();
    assert_eq!(
        format!("{:?}", config.edge),
        format!("{:?}", edge::Config::default())
    );
    let control = control::Config {
        open: true,
        ..control::Config::default()
    };
    assert_eq!(format!("{:?}", config.control), format!("{control:?}"));
    assert_eq!(
        format!("{:?}", config.limits),
        format!("{:?}", limits::Config::default())
    );
    assert_eq!(
        format!("{:?}", config.hub),
        format!("{:?}", hub::Config::default())
    );
    assert_eq!(
        format!("{:?}", config.gateway),
        format!("{:?}", gateway::Config::default())
    );
    assert_eq!(
        format!("{:?}", config.admin),
        format!("{:?}", admin::Config::default())
    );
    let auth = auth::Config {
        issuers: config.auth.issuers.clone(),
        ..auth::Config::default()
    };
    assert_eq!(config.auth, auth);
    let session = session::Settings::default();
    assert_eq!(format!("{:?}", config.session), format!("{session:?}"));
}

#[test]
fn every_setting_of_the_table_is_read() {
    let file = "
        [[control.keys]]
        name = 'a'
        [[admin.keys]]
        name = 'a'
        [[auth.issuer]]
        issuer = 'a'
        [[channel]]
        pattern = '**'
        history = { size = 1 }
        [[pusher.apps]]
        id = '1'
        key = 'k'
        secret = 's'
        webhooks = [{ url = 'https://a.example/' }]
        [[endpoint]]
        name = 'a'
    ";
    let mut problems = Vec::new();
    let values = value::parse_file(&Arc::new("x".into()), file, &mut problems);
    assert_eq!(problems, []);
    let read = build::settings_read(&values);
    let unknown: Vec<_> = read
        .iter()
        .filter(|key| table::find(key).is_none())
        .collect();
    assert!(
        unknown.is_empty(),
        "read, but not in the table: {unknown:?}"
    );
    for setting in table::all() {
        let section = setting.key.split(['.', '[']).next().unwrap();
        let later = table::later(section)
            .or_else(|| table::later(setting.key))
            .is_some();
        assert_eq!(read.contains(setting.key), !later, "{}", setting.key);
    }
}

#[test]
fn the_environment_goes_over_the_file_and_set_over_both() {
    let file = with_key("[edge]\nlisten = '127.0.0.1:1'\nping_interval = '1s'\nworkers = 3\n");
    let given = given(&file)
        .env(&[
            ("POGO__EDGE__LISTEN", "127.0.0.1:2"),
            ("POGO__EDGE__PING_INTERVAL", "2s"),
            ("POGO_KEY", "not a setting"),
            ("PATH", "not ours"),
        ])
        .set(&["edge.listen=127.0.0.1:3"]);
    let edge = given.load().edge;
    assert_eq!(
        (
            edge.listen.port(),
            edge.ping_interval.as_secs(),
            edge.workers
        ),
        (3, 2, 3)
    );
}

#[test]
fn lists_are_replaced_or_changed_by_index() {
    let file =
        with_key("[[channel]]\npattern = 'a'\n[[channel]]\npattern = 'b'\nsubscribe = 'nobody'\n");
    let config = given(&file)
        .env(&[
            ("POGO__CHANNEL__1__SUBSCRIBE", "anyone"),
            ("POGO__CHANNEL__2__PATTERN", "c"),
            ("POGO__EDGE__TRUSTED_PROXIES", "10.0.0.0/8, 192.0.2.1"),
        ])
        .set(&[
            "channel.0.history={size=5, ttl='1m'}",
            "edge.allowed_origins=[\"https://a.example\", \"null\"]",
            "edge.trusted_proxies.1=192.0.2.2",
        ])
        .load();
    let patterns: Vec<_> = config
        .rules
        .iter()
        .map(|rule| rule.pattern.as_str())
        .collect();
    assert_eq!(patterns, ["a", "b", "c"]);
    assert_eq!(config.rules[1].subscribe, crate::channel::Access::Anyone);
    assert_eq!(config.rules[0].history.unwrap().size, 5);
    let origins = ["https://a.example", "null"].map(|text| text.parse().unwrap());
    assert_eq!(
        config.edge.allowed_origins,
        Origins::Listed(origins.to_vec())
    );
    let proxies: Vec<_> = config
        .edge
        .trusted_proxies
        .iter()
        .map(ToString::to_string)
        .collect();
    assert_eq!(proxies, ["10.0.0.0/8", "192.0.2.2/32"]);
}

#[test]
fn every_problem_is_reported_at_once_by_place() {
    let file = "\
[edge]
lisen = '0.0.0.0:80'
ping_interval = 'soon'
workers = 0

[[channel]]
subscribe = 'everyone'
history = { size = 10, tll = '1m' }

[bokrer]
kind = 'redis'
";
    let given = given(file)
        .env(&[
            ("POGO__EDGE__MAX_FRAME_BYTES", "lots"),
            ("POGO__NOTHING", "1"),
        ])
        .set(&["log.format=xml", "=x", "channel.7.pattern=x"]);
    let refused = given.refused();
    let lines: Vec<&str> = refused.lines().collect();
    let expected = [
        "configuration: auth: there is no key for tokens",
        "pogo.toml:2:1: edge.lisen: unknown setting: did you mean `listen`? expected one of listen, ",
        "pogo.toml:3:1: edge.ping_interval: `soon` is not a duration like \"25s\" from 10ms to 1d",
        "pogo.toml:4:1: edge.workers: 0 is out of range: expected a number from 1 to 64",
        "pogo.toml:6:1: channel.0.pattern: is missing: ",
        "pogo.toml:7:1: channel.0.subscribe: `everyone` is not one of \"anyone\", \"token\", \
         \"capability\", \"nobody\"",
        "pogo.toml:8:24: channel.0.history.tll: unknown setting: did you mean `ttl`? expected one \
         of size, ttl",
        "pogo.toml:10:2: bokrer: unknown setting: did you mean `broker`? expected one of edge, ",
        "environment POGO__EDGE__MAX_FRAME_BYTES: edge.max_frame_bytes: expected a number of bytes \
         from 1024 to 16777216, found text",
        "environment POGO__NOTHING: nothing: unknown setting: expected one of edge, ",
        "--set : expected key=value",
        "--set channel.7.pattern: channel.7: there is no element 7: the list has 1",
        "--set log.format: log.format: `xml` is not one of \"text\", \"json\"",
    ];
    assert_eq!(lines.len(), expected.len(), "{refused}");
    for (line, expected) in lines.iter().zip(expected) {
        assert!(line.starts_with(expected), "{line}\nexpected {expected}");
    }
}

#[test]
fn what_is_no_toml_says_where() {
    let refused = given("[edge]\nlisten = \n[[channel]\nx = 1\n").refused();
    assert!(refused.contains("pogo.toml:2:"), "{refused}");
    assert!(refused.contains("pogo.toml:3:"), "{refused}");
    let refused = given("[edge]\nlisten = '1'\nlisten = '2'\n").refused();
    assert!(
        refused.contains("pogo.toml:3:1: duplicate key"),
        "{refused}"
    );
    let missing = Sources {
        file: Some("no/such/file.toml".into()),
        ..Sources::default()
    };
    let refused = load(&missing).unwrap_err().to_string();
    assert!(
        refused.contains("no/such/file.toml: cannot be read: "),
        "{refused}"
    );
}

#[test]
fn what_comes_later_is_refused_when_it_is_used() {
    let file = with_key(
        "[broker]\nkind = 'redis'\nurl = 'redis://x'\n[edge]\nencodings = ['json', 'msgpack']\n\
",
    );
    let refused = given(&file).refused();
    for line in [
        "pogo.toml:3:1: broker.kind: redis is not available in this version",
        "pogo.toml:4:1: broker.url: is not available in this version: it belongs to a broker other \
         than memory",
    ] {
        assert!(refused.contains(line), "{line} is missing in\n{refused}");
    }
}

#[test]
fn a_reload_tells_what_needs_a_restart() {
    let before = given(&with_key("[edge]\nping_interval = '5s'\n")).load();
    let after = given(&with_key("[edge]\nping_interval = '6s'\nworkers = 2\n"))
        .set(&["edge.listen=127.0.0.1:80"])
        .load();
    assert_eq!(
        needs_restart(&before, &after),
        ["edge.listen", "edge.workers"]
    );
    assert_eq!(
        needs_restart(&before, &before.clone()),
        Vec::<String>::new()
    );
}
