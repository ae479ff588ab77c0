//! `drivemount completions`.

use clap_complete::Shell;

use super::output::print;
use super::{Exit, Failure, model};

/// Print what lets a shell complete commands and flags with the Tab key
///
/// bash: drivemount completions bash > ~/.local/share/bash-completion/completions/drivemount
///
/// zsh: drivemount completions zsh > DIR/_drivemount, where DIR is one of $fpath
///
/// fish: drivemount completions fish > ~/.config/fish/completions/drivemount.fish
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Which shell
    shell: Shell,
}

pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut model::commands(), "drivemount", &mut script);
    print(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Success)
}
