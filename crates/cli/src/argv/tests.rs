//! What can be typed, and what cannot.

use clap::{CommandFactory as _, Parser as _};

use super::*;

fn parse(line: &str) -> Result<Arguments, clap::Error> {
    Arguments::try_parse_from(line.split_whitespace())
}

#[test]
fn the_definition_is_sound() {
    Arguments::command().debug_assert();
}

#[test]
fn what_is_promised_can_be_typed() {
    for line in [
        "modelrail demo --seed 7",
        "modelrail demo --data d --examples e",
        "modelrail serve --data d --listen 127.0.0.1:0 --config c.toml",
        "modelrail publish a.json b.json --watch",
        "modelrail runs --model m --target t@p --state live --since 2026-11-20T10:00:00Z --limit 5",
        "modelrail show 01KA --timeline --output json",
        "modelrail --output jsonl watch 01KA --until-people",
        "modelrail why 01KA --server http://127.0.0.1:1",
        "modelrail approve 01KA board --role ml --rationale fine --evidence ab",
        "modelrail reject 01KA board --role ml --rationale bad",
        "modelrail pause 01KA --reason r",
        "modelrail resume 01KA --reason r",
        "modelrail abort 01KA --reason r",
        "modelrail promote 01KA --reason r",
        "modelrail promote 01KA --to 25% --reason r",
        "modelrail promote 01KA --full --reason r",
        "modelrail retry 01KA staging --reason r",
        "modelrail rollback t@p --to v1 --reason r",
        "modelrail freeze t@p --until 2026-11-20T10:00:00Z --reason r",
        "modelrail unfreeze t@p --reason r",
        "modelrail kill t@p v2 --reason r",
        "modelrail adopt t@p --version v1 --bundle ab --reason r",
        "modelrail serve --roles ingress",
        "modelrail publish --kafka a.json b.json",
        "modelrail dead-letters list --limit 5 --output json",
        "modelrail dead-letters show 17",
        "modelrail dead-letters resend 17 2:18",
        "modelrail dead-letters resend --all",
        "modelrail dead-letters drop 17",
        "modelrail topics create",
        "modelrail topics check --output json",
        "modelrail targets",
        "modelrail target show t@p --at 41",
        "modelrail target history t@p",
        "modelrail replay 01KA --at 41 --data d",
        "modelrail explain 01KA canary",
        "modelrail verify --data d",
        "modelrail verify --data d --against e",
        "modelrail backup d",
        "modelrail restore d --data e --replace --accept-loss",
        "modelrail workflow check a.yaml b.yaml",
        "modelrail workflow list",
        "modelrail workflow show canary-safe",
        "modelrail user add alice --role ml --role admin",
        "modelrail user list",
        "modelrail user revoke alice",
        "modelrail config show",
        "modelrail doctor",
        "modelrail completions bash",
    ] {
        if let Err(error) = parse(line) {
            panic!("{line}: {error}");
        }
    }
}

#[test]
fn what_is_not_meant_is_usage() {
    for line in [
        "modelrail",
        "modelrail publish",
        "modelrail show",
        "modelrail pause 01KA",
        "modelrail promote 01KA --to 25% --full --reason r",
        "modelrail approve 01KA board --role ml",
        "modelrail runs --limit 0",
        "modelrail runs --output xml",
        "modelrail freeze t@p",
        "modelrail user add alice",
        "modelrail serve --listen here",
        "modelrail publish a.json --kafka --watch",
        "modelrail dead-letters resend",
        "modelrail dead-letters resend 1 --all",
        "modelrail dead-letters show one",
    ] {
        let error = parse(line).expect_err(line);
        assert_eq!(error.exit_code(), i32::from(Exit::Usage.code()), "{line}");
    }
}

#[test]
fn help_documents_the_exit_codes() {
    let help = Arguments::command().render_long_help().to_string();
    for exit in Exit::ALL {
        assert!(help.contains(&format!("  {}  ", exit.code())), "{help}");
    }
}

#[test]
fn global_arguments_stand_anywhere() {
    let before = parse("modelrail --data d --output json verify").unwrap();
    let after = parse("modelrail verify --data d --output json").unwrap();
    for arguments in [before, after] {
        assert_eq!(arguments.global.data, Some(PathBuf::from("d")));
        assert_eq!(arguments.global.output, Form::Json);
    }
}
