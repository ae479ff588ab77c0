//! The command line as `clap` knows it, for what is made from it: completions, man pages, the reference.

use clap::{Command, CommandFactory};

use super::Cli;

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
