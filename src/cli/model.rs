//! The command line as `clap` knows it, for what is made from it: completions, man pages, the reference.

use std::ffi::OsString;

use clap::{Command, CommandFactory};

use super::Cli;

/// Flags of which a mount takes one.
pub(super) const CREDENTIALS: [&str; 8] = [
    "account",
    "service-account-file",
    "credentials",
    "application-default",
    "token-command",
    "token-file",
    "token",
    "rclone-remote",
];

/// All commands that people use. (`clap_complete` would offer the hidden ones too.)
pub(super) fn commands() -> Command {
    let all = Cli::command();
    let mut shown = Command::new("drivemount").version(env!("CARGO_PKG_VERSION")).propagate_version(true);
    shown = shown.disable_help_subcommand(true).subcommand_required(true);
    if let Some(about) = all.get_about() {
        shown = shown.about(about.clone());
    }
    if let Some(after) = all.get_after_help() {
        shown = shown.after_help(after.clone());
    }
    let mut shown = shown.subcommands(all.get_subcommands().filter(|command| !command.is_hide_set()).cloned());
    shown.build();
    shown
}

/// The flags of `mount` that are variables too, by their long names: its settings.
pub(super) fn settings_of(mount: &Command) -> impl Iterator<Item = (&str, &clap::Arg)> {
    let settings = mount.get_arguments().filter(|arg| arg.get_env().is_some());
    settings.filter_map(|arg| Some((arg.get_long()?, arg)))
}

/// Whether a flag stands on the command line.
pub(super) fn gives(line: &[OsString], flag: &str) -> bool {
    let words = line.iter().filter_map(|word| word.to_str()?.strip_prefix("--"));
    words.map(|word| word.split('=').next().unwrap_or(word)).any(|word| word == flag)
}
