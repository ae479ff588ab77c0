//! `drivemount demo`: a drive to try things on, without an account.

mod sample;

use std::fs;
use std::path::{Path, PathBuf};

use clap::Parser;

use self::sample::Sample;
use super::mount::{MountArgs, banner};
use super::output::say;
use super::settings::Settings;
use super::{Exit, Failure, arguments, daemon, small_runtime};
use crate::config::{self, Source};
use crate::control::{Client, Scope};

/// Mount a drive to try things on: no account, no network
///
/// An embedded drive keeps its data in a folder of this machine. At the first start it gets a small data set and a program that
/// trains on it.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Where to mount it
    #[arg(long, value_name = "DIR", default_value = "/content/drive")]
    at: PathBuf,
    /// Folder of the drive's data; default: ~/.local/share/drivemount/demo
    #[arg(long, value_name = "DIR")]
    data: Option<PathBuf>,
    /// Only write the data set and the program into this folder
    #[arg(long, value_name = "DIR", conflicts_with_all = ["at", "data"])]
    sample: Option<PathBuf>,
}

/// The defaults of all mounts.
#[derive(Debug, Parser)]
struct Defaults {
    #[command(flatten)]
    options: MountArgs,
}

pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    if let Some(folder) = &args.sample {
        let sample = write_sample(folder)?;
        say(&format!("wrote {} files into {}", sample.written, folder.display()));
        if let Some(kept) = kept(&sample) {
            say(&kept);
        }
        return Ok(Exit::Success);
    }
    let data =
        args.data.clone().or_else(|| Some(config::user_dir("XDG_DATA_HOME", ".local/share")?.join("drivemount/demo")));
    let Some(data) = data else {
        return Err(Failure::new(Exit::Usage, "there is no home folder to keep the drive in; give one with --data"));
    };
    // `mount` makes only the last part of it; whoever tries a demo is not asked to make the rest.
    if let Some(above) = args.at.parent() {
        fs::create_dir_all(above)
            .map_err(|error| Failure::new(Exit::CannotMount, format!("{} cannot be made: {error}", above.display())))?;
    }
    let options = arguments::parse::<Defaults>(&["demo".into()], &Settings::load(None)?).options;
    let config = options.config(Some(Source::Local(data)), &args.at)?;
    let ready = daemon::spawn(&config)?;
    say(&banner(&ready, &config));
    let at = ready.mountpoint.display();
    if !ready.mountpoint.join(sample::README_NAME).exists() {
        let sample = write_sample(&ready.mountpoint)?;
        let client = Client::new(&ready.mountpoint)?;
        small_runtime()?.block_on(client.flush(&Scope::default()))?;
        let written = sample.written;
        say(&format!("put {written} files on it: a README, pictures of digits to train on, and train.py, which does"));
        if let Some(kept) = kept(&sample) {
            say(&kept);
        }
    }
    say(&format!(
        "\nTry:\n  ls {at}\n  python3 {at}/train.py          (needs numpy and pillow)\n  drivemount status\n  drivemount unmount {at}"
    ));
    Ok(Exit::Success)
}

/// What is said of files that somebody edited.
fn kept(sample: &Sample) -> Option<String> {
    let (first, rest) = sample.kept.split_first()?;
    let others = if rest.is_empty() { String::new() } else { format!(" and {} more", rest.len()) };
    Some(format!("left as it is, because it is there with another content: {}{others}", first.display()))
}

fn write_sample(folder: &Path) -> Result<Sample, Failure> {
    sample::write(folder).map_err(|error| {
        Failure::new(Exit::Failure, format!("the data set cannot be written into {}: {error}", folder.display()))
    })
}
