//! Reads the command line, and the variables that stand for its flags.
//!
//! What `clap` alone does not do: an empty variable counts as absent; whoever gives a credential on the command line wants that
//! one, whatever credentials the environment or the settings file hold; and what is wrong with a variable is said with its name.

use std::ffi::OsString;
use std::process;

use clap::builder::{BoolishValueParser, Resettable, TypedValueParser};
use clap::{Command, Parser};

use super::model::{CREDENTIALS, gives};
use super::output::complain;
use super::settings::Settings;

/// A variable that is set, and the flag that it stands for.
#[derive(Debug)]
struct Variable {
    name: String,
    flag: String,
}

/// What the command line says, and a settings file where line and variables say nothing; ends the process if that makes no sense,
/// and after `--help`.
pub(super) fn parse<P: Parser>(line: &[OsString], settings: &Settings) -> P {
    let mut variables = Vec::new();
    let mut command = settings.settle(settle(P::command(), line, &mut variables), line);
    let matches = command.try_get_matches_from_mut(line);
    let error = match matches.and_then(|matches| P::from_arg_matches(&matches)) {
        Ok(parsed) => return parsed,
        Err(error) => error,
    };
    let _closed = error.print();
    let text = error.to_string();
    for Variable { name, flag } in variables {
        let named = |end: char| text.contains(&format!("--{flag}{end}"));
        if error.use_stderr() && (named(' ') || named('\'')) {
            complain(&format!("note: the variable {name} is set, which stands for --{flag}"));
        }
    }
    process::exit(error.exit_code())
}

/// Forgets the variables that do not count, and collects the others.
fn settle(command: Command, line: &[OsString], variables: &mut Vec<Variable>) -> Command {
    let command = command.mut_subcommands(|command| settle(command, line, variables));
    command.mut_args(|arg| {
        let names = arg.get_env().and_then(|name| name.to_str()).zip(arg.get_long());
        let Some((name, flag)) = names.map(|(name, flag)| (name.to_owned(), flag.to_owned())) else { return arg };
        let value = std::env::var_os(&name);
        let is_credential = CREDENTIALS.contains(&flag.as_str());
        let outdone = is_credential && CREDENTIALS.iter().any(|flag| gives(line, flag));
        // A switch that is off is no credential, either.
        let is_off = is_credential && !arg.get_action().takes_values() && value.as_ref().is_some_and(is_no);
        if outdone || is_off || value.as_ref().is_some_and(|value| value.is_empty()) {
            return arg.env(Resettable::Reset);
        }
        if value.is_some() && !gives(line, &flag) {
            variables.push(Variable { name, flag });
        }
        arg
    })
}

/// Whether a switch is off by this, as `clap` reads it.
fn is_no(value: &OsString) -> bool {
    BoolishValueParser::new().parse_ref(&Command::new(""), None, value).is_ok_and(|is_on| !is_on)
}
