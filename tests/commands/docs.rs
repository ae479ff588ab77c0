//! The documentation is true: what it mentions exists, and what it quotes is said. Its commands are run by scripts/check-docs, which
//! is tested here too.

use std::path::Path;
use std::process::{Command, Output};

use crate::cloud::PROGRAM;
use crate::home::{stderr, stdout};
use crate::machine::{run, said};

fn check(words: &[&str]) -> Output {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    // scripts/test makes it.
    let python = top.join(".venv/bin/python");
    assert!(python.exists(), "no {}: run scripts/test once, it makes it", python.display());
    run(Command::new(python)
        .arg("-B")
        .arg(top.join("tests/docs/check.py"))
        .args(words)
        .current_dir(top)
        .env("DRIVEMOUNT", PROGRAM))
}

#[test]
fn flags_commands_variables_links_and_messages_in_the_documentation_exist() {
    let output = check(&["--without-running"]);
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn commands_in_pages_are_run_and_must_print_what_is_shown() {
    let output = check(&["tests/docs/pages/good.md"]);
    assert!(
        output.status.success() && stdout(&output).contains("9 commands run, 1 blocks not run"),
        "{}",
        said(&output)
    );
}

#[test]
fn what_is_not_true_in_a_page_is_found() {
    let output = check(&["tests/docs/pages/bad.md", "tests/docs/pages/untrue.md"]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    for found in [
        "--no-such-flag is a flag of no command",
        "--other-bad is a flag of no command",
        "`drivemount nothing` is no command",
        "--cache-size is no flag of `drivemount flush`",
        "--bogus is no flag of `drivemount mount`",
        "DRIVEMOUNT_NOPE is no variable of ours",
        "the link to none.md leads nowhere",
        "the link to #nowhere: there is no such heading",
        "a block of commands without a comment",
        "$ echo one\ndid not print 'two'",
    ] {
        assert!(stderr(&output).contains(found), "{found:?} is not in: {}", said(&output));
    }
}
