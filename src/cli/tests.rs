//! The tree of commands, and exit codes without a server.

use clap::CommandFactory;

use super::*;

fn every(command: &clap::Command, path: &str, check: &mut dyn FnMut(&clap::Command, &str)) {
    let path = format!("{path} {}", command.get_name());
    check(command, path.trim());
    for below in command
        .get_subcommands()
        .filter(|below| below.get_name() != "help")
    {
        every(below, &path, check);
    }
}

#[test]
fn every_command_takes_json_and_says_what_it_does() {
    let mut command = Arguments::command();
    command.build();
    command.clone().debug_assert();
    let mut seen = 0;
    every(&command, "", &mut |command, path| {
        seen += 1;
        assert!(command.get_about().is_some(), "{path} has no help");
        let has = |name: &str| command.get_arguments().any(|a| a.get_long() == Some(name));
        assert!(
            has("json") && has("color"),
            "{path} does not take --json and --color"
        );
        for argument in command.get_arguments() {
            assert!(
                argument.get_help().is_some(),
                "{path}: {} has no help",
                argument.get_id()
            );
        }
    });
    assert!(seen > 15, "{seen}");
}

fn exits(arguments: &[&str]) -> String {
    let arguments = std::iter::once("pogo").chain(arguments.iter().copied());
    format!("{:?}", main(arguments.map(Into::into)))
}

#[test]
fn exit_codes_tell_what_kind_of_failure_it_was() {
    let code = |n: u8| format!("{:?}", ExitCode::from(n));
    let nobody = "http://127.0.0.1:1";
    for (arguments, expected) in [
        (&["config", "check"][..], 78),
        (&["--json", "config", "check", "--set", "edge.lisen=1"], 78),
        (
            &[
                "config",
                "check",
                "--set",
                "auth.secret=0123456789abcdef0123456789abcdef",
            ],
            0,
        ),
        (&["config", "schema", "--json"], 0),
        (&["completions", "bash"], 0),
        (&["no-such-command"], 2),
        (&["publish", "news", "hello"], 2),
        (
            &["publish", "news", "hello", "no json", "--server", nobody],
            2,
        ),
        (&["revoke", "--json"], 2),
        (&["publish", "news", "hello", "{}", "--server", nobody], 5),
        (&["channels", "ls", "--server", nobody], 5),
        (&["subscribe", "news", "--url", "ws://127.0.0.1:1"], 5),
        (&["check", "--url", nobody], 5),
        (&["check", "--url", "https://127.0.0.1:1"], 2),
    ] {
        assert_eq!(exits(arguments), code(expected), "{arguments:?}");
    }
}

#[test]
fn statuses_of_the_control_plane_have_their_exit_codes() {
    use tonic::Status;
    for (status, expected) in [
        (Status::not_found("x"), 3),
        (Status::unauthenticated("x"), 4),
        (Status::permission_denied("x"), 4),
        (Status::unavailable("x"), 5),
        (Status::deadline_exceeded("x"), 5),
        (Status::invalid_argument("x"), 1),
    ] {
        let error = CliError::from(status);
        assert_eq!(
            format!("{:?}", error.exit_code()),
            format!("{:?}", ExitCode::from(expected)),
            "{error}"
        );
    }
}

#[test]
fn errors_in_json_have_places() {
    let set = vec!["edge.lisen=1".into()];
    let sources = crate::config::Sources::new(None, set, false)
        .unwrap()
        .with_environment([]);
    let errors = crate::config::load(&sources).unwrap_err();
    let value = CliError::from(errors).to_json();
    assert_eq!(value["code"], "configuration");
    assert_eq!(value["problems"][1]["source"], "--set edge.lisen");
    assert_eq!(value["problems"][1]["setting"], "edge.lisen");
}
