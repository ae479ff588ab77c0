//! `drivemount man`.

use std::fs;
use std::path::{Path, PathBuf};

use clap_mangen::Man;

use super::output::{count, print, say};
use super::{Exit, Failure, model};

/// Write the manual pages of all commands, or show the first
///
/// Without a folder it prints the page of drivemount itself: `drivemount man | man -l -`. With one it writes a page for each
/// command: `drivemount man ~/.local/share/man/man1`, then `man drivemount-mount`.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Folder for the pages; made if it does not exist
    dir: Option<PathBuf>,
}

pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let commands = model::commands();
    let Some(dir) = &args.dir else {
        let mut page = Vec::new();
        let rendered = Man::new(commands).render(&mut page);
        rendered.map_err(|error| Failure::new(Exit::Failure, format!("the page cannot be made: {error}")))?;
        print(&String::from_utf8_lossy(&page))?;
        return Ok(Exit::Success);
    };
    let written = write(commands, dir).map_err(|error| {
        Failure::new(Exit::Failure, format!("the pages cannot be written into {}: {error}", dir.display()))
    })?;
    say(&format!("wrote {} into {}", count(written, "page", "pages"), dir.display()));
    Ok(Exit::Success)
}

fn write(commands: clap::Command, dir: &Path) -> std::io::Result<usize> {
    fs::create_dir_all(dir)?;
    let pages = pages(&commands);
    clap_mangen::generate_to(commands, dir)?;
    Ok(pages)
}

/// How many pages a command and those below it take.
fn pages(command: &clap::Command) -> usize {
    let below = command.get_subcommands().filter(|command| !command.is_hide_set());
    1 + below.map(pages).sum::<usize>()
}
