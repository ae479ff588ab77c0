//! `drivemount doctor`: can a drive be mounted here, and if not, what is to be done?

use std::fmt::Write as _;
use std::io::{self, IsTerminal};
use std::path::{Path, PathBuf};

use clap::CommandFactory;

use super::mount::{MountArgs, source};
use super::output::{complain, plain, print, wrap};
use super::settings::Settings;
use super::{Cli, Exit, Failure, model, small_runtime};
use crate::config::{MountConfig, Source};
use crate::doctor::bundle::{self, Contents};
use crate::doctor::{self, Check, Obstacle, Outcome, Question, Report};
use crate::mount::mountpoint;
use crate::sys;

/// Stands for the mountpoint when none is given.
const ANYWHERE: &str = "/content/drive";

/// Columns for the outcome and the name of a check.
const OUTCOME: usize = 9;
const NAME: usize = 12;

/// Find out whether a drive can be mounted here, and what to do if not
///
/// Takes the same arguments as `mount`: put `doctor` in its place in the command that fails. It changes nothing, and takes half a
/// minute at most. The exit code says what must be mended first: 4 the machine or the mountpoint, 6 the cache folder, 2 the
/// settings, 7 the way to the drive, 3 the sign-in.
#[derive(Debug, clap::Args)]
#[command(override_usage = "drivemount doctor [OPTIONS] [[SOURCE] MOUNTPOINT]")]
pub(super) struct Args {
    /// Where it is to be mounted, and before that what, as for `mount`
    #[arg(value_name = "MOUNTPOINT", num_args = 0..=2)]
    what_and_where: Vec<PathBuf>,
    /// Also write an archive for a report of a bug: these answers, system, settings, state, logs; without secrets
    #[arg(long, value_name = "FILE.tar.gz")]
    bundle: Option<PathBuf>,
    /// Leave names of files and mail addresses in the archive
    #[arg(long, requires = "bundle")]
    with_names: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten, next_help_heading = "As for mount")]
    options: MountArgs,
}

pub(super) fn run(args: Args, line: &[std::ffi::OsString]) -> Result<Exit, Failure> {
    let settings = Settings::of(line);
    let file = settings.as_ref().ok().and_then(|settings| settings.file.clone()).or_else(|| Settings::place(line));
    let (source, mountpoint) = what_and_where(&args.what_and_where)?;
    let config = args.options.config(source, mountpoint.as_deref().unwrap_or(Path::new(ANYWHERE)));
    let (config, settings) = told(&settings, config);
    let question = question(config, mountpoint);
    let mut screen = String::new();
    let shown = !args.json;
    let paint = shown && io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let report = small_runtime()?.block_on(doctor::examine(&question, settings, |check| {
        screen += &lines(check, None, false);
        if shown {
            // Whoever reads may have seen enough; the exit code is still to come.
            let _closed = print(&lines(check, sys::terminal_width(), paint));
        }
    }));
    let end = format!(
        "\ndrivemount {}, in {}, Linux {}\n{}\n",
        report.version,
        report.surroundings.name(),
        report.kernel,
        report.verdict()
    );
    screen += &end;
    if args.json {
        let json = json(&report).map_err(|error| Failure::new(Exit::Failure, error.to_string()))?;
        print(&(json + "\n"))?;
    } else {
        print(&end)?;
    }
    if let Some(path) = &args.bundle {
        let config = question.config.as_ref();
        let (harmless_keys, harmless) = harmless();
        let contents = Contents {
            report: &report,
            screen: &screen,
            config,
            settings: file.as_deref(),
            harmless: &harmless,
            harmless_keys: &harmless_keys,
            with_names: args.with_names,
        };
        let names = bundle::write(path, &contents).map_err(|error| {
            Failure::new(Exit::Failure, format!("{} cannot be written: {error}; give another name", path.display()))
        })?;
        complain(&bundle::told(path, &names, args.with_names));
    }
    Ok(exit(&report))
}

fn what_and_where(words: &[PathBuf]) -> Result<(Option<Source>, Option<PathBuf>), Failure> {
    match words {
        [] => Ok((source(None)?, None)),
        // A source alone is a question too.
        [word] if source(Some(word)).is_ok() => Ok((source(Some(word))?, None)),
        [mountpoint] => Ok((source(None)?, Some(mountpoint.clone()))),
        [first, mountpoint, ..] => Ok((source(Some(first))?, Some(mountpoint.clone()))),
    }
}

/// What the settings come to, and how to tell of them.
fn told(settings: &Result<Settings, Failure>, config: Result<MountConfig, Failure>) -> (Option<MountConfig>, Check) {
    let check = match (settings, &config) {
        (Err(failure), _) | (_, Err(failure)) => Err(failure.to_string()),
        (Ok(settings), _) => Ok(match &settings.file {
            Some(file) => format!("{} of {}", settings.len(), file.display()),
            None => "no file".to_owned(),
        }),
    };
    (config.ok(), Check::of_settings(check))
}

/// What is mounted already says itself what it is, and who.
fn question(mut config: Option<MountConfig>, mountpoint: Option<PathBuf>) -> Question {
    let ours = mountpoint.as_deref().and_then(mountpoint::mount_at).filter(mountpoint::MountLine::is_ours);
    let running = ours.and_then(|mount| doctor::ask(&mount));
    if let Some((status, config)) = running.as_ref().zip(config.as_mut()) {
        status.cache.dir.clone_into(&mut config.cache_dir);
        if let Ok(source) = status.source.parse() {
            config.source = source;
        }
    }
    Question { config, mountpoint, running }
}

fn json(report: &Report) -> serde_json::Result<String> {
    let mut json = serde_json::to_value(report)?;
    json["verdict"] = report.verdict().into();
    json["exit"] = (exit(report) as u8).into();
    serde_json::to_string_pretty(&json)
}

fn exit(report: &Report) -> Exit {
    match report.obstacle() {
        None => Exit::Success,
        Some(Obstacle::CannotMount) => Exit::CannotMount,
        Some(Obstacle::Cache) => Exit::Cache,
        Some(Obstacle::Settings) => Exit::Usage,
        Some(Obstacle::Unreachable) => Exit::Unreachable,
        Some(Obstacle::SignIn) => Exit::SignIn,
    }
}

/// Settings whose values may be told: their keys, and their variables.
fn harmless() -> (Vec<String>, Vec<String>) {
    let commands = Cli::command();
    let mount = commands.find_subcommand("mount");
    let settings = mount.into_iter().flat_map(|mount| model::settings_of(mount).collect::<Vec<_>>());
    // A command may have a password in it.
    let settings = settings.filter(|(flag, arg)| !arg.is_hide_env_values_set() && !flag.ends_with("command"));
    settings.filter_map(|(flag, arg)| Some((flag.to_owned(), arg.get_env()?.to_string_lossy().into_owned()))).unzip()
}

/// A check as it is shown: what was found, and what to do about it below.
fn lines(check: &Check, width: Option<usize>, paint: bool) -> String {
    let word = check.outcome.word();
    let (on, off) = match check.outcome {
        Outcome::Ok => ("\u{1b}[32m", "\u{1b}[0m"),
        Outcome::Warning => ("\u{1b}[33m", "\u{1b}[0m"),
        Outcome::Problem(_) => ("\u{1b}[31m", "\u{1b}[0m"),
        Outcome::Skipped => ("\u{1b}[2m", "\u{1b}[0m"),
    };
    let (on, off) = if paint { (on, off) } else { ("", "") };
    let room = width.map(|width| width.saturating_sub(OUTCOME + NAME).max(20));
    let mut text = String::new();
    for (number, line) in wrap(&plain(&check.what), room).iter().enumerate() {
        let _infallible = if number == 0 {
            writeln!(text, "{on}{word:<OUTCOME$}{off}{:<NAME$}{line}", check.name)
        } else {
            writeln!(text, "{:indent$}{line}", "", indent = OUTCOME + NAME)
        };
    }
    for (number, line) in check.fix.iter().flat_map(|fix| wrap(&plain(fix), room.map(|room| room - 3))).enumerate() {
        let mark = if number == 0 { "-> " } else { "   " };
        let _infallible = writeln!(text, "{:indent$}{mark}{line}", "", indent = OUTCOME + NAME);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_is_aligned_and_says_what_to_do() {
        let check = Check::of_settings(Err("bad".to_owned()));
        assert_eq!(lines(&check, None, false), "problem  settings    bad\n");
        assert_eq!(lines(&check, None, true), "\u{1b}[31mproblem  \u{1b}[0msettings    bad\n");
    }
}
