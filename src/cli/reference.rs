//! `drivemount reference`: docs/COMMANDS.md, made from the command line itself.

use std::fmt::Write;

use clap::builder::StyledStr;
use clap::{Arg, ArgAction, Command};

use super::output::print;
use super::{Exit, Failure, model};
use crate::surroundings::{Need, Surroundings};

/// Flags that `clap` gives to every command; told once.
const EVERYWHERE: [&str; 2] = ["help", "version"];

/// Print the reference of all commands in Markdown (docs/COMMANDS.md)
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

pub(super) fn run(_args: &Args) -> Result<Exit, Failure> {
    print(&page(&model::commands()))?;
    Ok(Exit::Success)
}

const HEAD: &str = "# Commands

<!-- Written by `drivemount reference > docs/COMMANDS.md`, from the command line itself. Do not edit. -->

Every command has `--help` (`-h` for the short form) and `--version`. Sizes are written as `500M` or `10G`, times as `200ms`, `5s`,
`10m` or `1h`. The variable of a flag stands in brackets behind it: a flag outdoes its variable, an empty variable is none, and a
flag that takes no value is set by `yes` or `no`.

The flags of `mount` that have variables are its settings. They may also stand in a file, `~/.config/drivemount/config.toml`, under
the names of the flags (`cache-size = \"20G\"`, `read-only = true`); flags and variables outdo the file. `mount`, `doctor` and `demo`
heed it.
";

const EXIT_CODES: &str = "## Exit codes

| code | meaning |
| --- | --- |
| 0 | done |
| 1 | failed for a reason without a code of its own |
| 2 | wrong arguments, or wrong settings |
| 3 | sign-in required |
| 4 | cannot be mounted here: the mountpoint, the kernel or the rights |
| 5 | done, but not everything is on the drive yet |
| 6 | cache or data folder unusable |
| 7 | drive not reachable |
";

fn page(commands: &Command) -> String {
    let mut page = HEAD.to_owned();
    page.push_str("\n| command | what it does |\n| --- | --- |\n");
    for command in shown(commands) {
        let name = command.get_name();
        let anchor = title(command).replace(' ', "-");
        let _infallible =
            writeln!(page, "| [`{name}`](#{anchor}) | {} |", text(command.get_about()).replace('|', "\\|"));
    }
    for command in shown(commands) {
        section(&mut page, command, 2);
    }
    page.push('\n');
    page.push_str(EXIT_CODES);
    advice(&mut page);
    page
}

/// What to do about what is missing, by the machine.
fn advice(page: &mut String) {
    page.push_str(
        "\n## Where it cannot be mounted\n\nWhat `drivemount doctor` and a refused `mount` advise, by the kind of machine:\n\n\
         | what is missing | where | what to do |\n| --- | --- | --- |\n",
    );
    for need in Need::ALL {
        let mut rows: Vec<(&str, Vec<&str>)> = Vec::new();
        for place in Surroundings::ALL {
            match rows.iter_mut().find(|(fix, _)| *fix == place.fix(need)) {
                Some((_, places)) => places.push(place.name()),
                None => rows.push((place.fix(need), vec![place.name()])),
            }
        }
        for (fix, places) in rows {
            let _infallible = writeln!(page, "| {} | {} | {fix} |", need.name(), places.join(", "));
        }
    }
}

fn shown(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|command| !command.is_hide_set())
}

fn title(command: &Command) -> String {
    command.get_bin_name().unwrap_or(command.get_name()).to_owned()
}

fn section(page: &mut String, command: &Command, level: usize) {
    let about = text(command.get_long_about().or(command.get_about()));
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim().trim_start_matches("Usage:").trim();
    let usage: Vec<&str> = usage.lines().map(str::trim).collect();
    let (marks, title, usage) = ("#".repeat(level), title(command), usage.join("\n"));
    let _infallible = write!(page, "\n{marks} {title}\n\n{about}\n\n```text\n{usage}\n```\n");
    let aliases: Vec<String> = command.get_visible_aliases().map(|alias| format!("`drivemount {alias}`")).collect();
    if !aliases.is_empty() {
        let _infallible = writeln!(page, "\nAlso: {}", aliases.join(", "));
    }
    let arguments: Vec<&Arg> = command.get_positionals().filter(|arg| !arg.is_hide_set()).collect();
    list(page, "Arguments", &arguments);
    let flags = command.get_opts().chain(command.get_arguments().filter(|arg| is_switch(arg)));
    let flags: Vec<&Arg> =
        flags.filter(|arg| !arg.is_hide_set() && !EVERYWHERE.contains(&arg.get_id().as_str())).collect();
    let mut headings: Vec<Option<&str>> = Vec::new();
    for arg in &flags {
        if !headings.contains(&arg.get_help_heading()) {
            headings.push(arg.get_help_heading());
        }
    }
    // Those without a heading first, as `--help` has it.
    headings.sort_by_key(Option::is_some);
    for heading in headings {
        let mut under: Vec<&Arg> = flags.iter().copied().filter(|arg| arg.get_help_heading() == heading).collect();
        // As they are declared; switches stand apart in the model.
        under.sort_by_key(|arg| command.get_arguments().position(|other| other.get_id() == arg.get_id()));
        list(page, heading.unwrap_or("Flags"), &under);
    }
    for below in shown(command) {
        section(page, below, level + 1);
    }
}

fn is_switch(arg: &Arg) -> bool {
    !arg.is_positional() && !arg.get_action().takes_values()
}

fn list(page: &mut String, heading: &str, args: &[&Arg]) {
    if args.is_empty() {
        return;
    }
    let _infallible = write!(page, "\n{heading}:\n\n");
    for arg in args {
        let mut notes = Vec::new();
        if let Some(variable) = arg.get_env() {
            notes.push(format!("`{}`", variable.to_string_lossy()));
        }
        let default: Vec<_> = arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
        if arg.get_action().takes_values() && !default.is_empty() {
            notes.push(format!("default `{}`", default.join(" ")));
        }
        let possible = arg.get_possible_values();
        let possible: Vec<_> = possible
            .iter()
            .filter(|value| !value.is_hide_set())
            .map(|value| format!("`{}`", value.get_name()))
            .collect();
        if arg.get_action().takes_values() && !possible.is_empty() {
            notes.push(format!("one of {}", possible.join(", ")));
        }
        if matches!(arg.get_action(), ArgAction::Append) && !arg.is_positional() {
            notes.push("can be given again".to_owned());
        }
        let notes = if notes.is_empty() { String::new() } else { format!(" ({})", notes.join("; ")) };
        let help = text(arg.get_long_help().or(arg.get_help())).replace('\n', "\n  ").replace("\n  \n", "\n\n");
        let _infallible = writeln!(page, "- `{}`{notes}: {help}", spelling(arg));
    }
}

/// How it is written on the command line.
fn spelling(arg: &Arg) -> String {
    let names: Vec<_> = arg.get_value_names().unwrap_or_default().iter().map(ToString::to_string).collect();
    let value = names.join(" ");
    if arg.is_positional() {
        let several = arg.get_num_args().is_some_and(|range| range.max_values() > 1);
        return if several { format!("{value}…") } else { value };
    }
    let long = arg.get_long().map(|long| format!("--{long}"));
    let short = arg.get_short().map(|short| format!("-{short}"));
    let mut spelling = [short, long].into_iter().flatten().collect::<Vec<_>>().join(", ");
    if arg.get_action().takes_values() {
        spelling = format!("{spelling} {value}");
    }
    spelling
}

/// Help as Markdown: it is written in it but for stars and angles, which mean themselves.
fn text(help: Option<&StyledStr>) -> String {
    let help = help.map(ToString::to_string).unwrap_or_default();
    let mut code = false;
    let mut text = String::with_capacity(help.len());
    for c in help.trim().chars() {
        code ^= c == '`';
        if !code && matches!(c, '*' | '<' | '>') {
            text.push('\\');
        }
        text.push(c);
    }
    text
}
