//! Finds out whether a drive can be mounted here, and what stands in the way.
//!
//! [`examine`] asks one thing after the other and tells of each as soon as it is known; every question is bounded in time, a dead or
//! hanging mount included ([`apart`]). It changes nothing: no folder is made, no dead mount removed, and the one mount that it tries is gone
//! again at once.
//!
//! ```text
//!   kernel    /dev/fuse, the right to mount        sign_in   credentials, a token, the drive's storage
//!   place     mountpoint, cache folder             mounts    those that run
//!   network   the way to the drive, the clock      bundle    all of it for a report of a bug
//!   apart     asking what may never answer
//! ```

pub mod apart;
pub mod bundle;
mod kernel;
mod mounts;
mod network;
mod place;
mod sign_in;

use std::borrow::Cow;
use std::path::PathBuf;
use std::time::Duration;

use serde::Serialize;

use self::mounts::Fares;
use crate::config::{MountConfig, Occupied};
use crate::control::Status;
use crate::mount::mountpoint::MountLine;
use crate::surroundings::Surroundings;

/// How long the local system may take to answer one question. A healthy one takes milliseconds.
const LOCAL: Duration = Duration::from_secs(3);

/// What is to be looked at.
#[derive(Debug)]
pub struct Question {
    /// The mount that would be made, as far as the settings say one.
    pub config: Option<MountConfig>,
    /// Where, if that was said.
    pub mountpoint: Option<PathBuf>,
    /// How the mount fares that is there already.
    pub running: Option<Status>,
}

/// How one question was answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Nothing is wrong.
    Ok,
    /// It can be mounted all the same.
    Warning,
    /// It cannot be mounted before this is mended.
    Problem(Obstacle),
    /// It could not be asked.
    Skipped,
}

/// Sorts of what stands in the way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Obstacle {
    /// Nobody is signed in, or the sign-in was refused.
    SignIn,
    /// The network.
    Unreachable,
    /// The settings make no sense.
    Settings,
    /// The cache folder.
    Cache,
    /// The place, the kernel or the rights.
    CannotMount,
}

/// A question and its answer.
#[derive(Debug, Clone, Serialize)]
pub struct Check {
    /// What was looked at: a word.
    pub name: Cow<'static, str>,
    /// How it is.
    pub outcome: Outcome,
    /// What was found.
    pub what: String,
    /// What to do about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

/// All answers.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Of this program.
    pub version: &'static str,
    /// The kernel's release.
    pub kernel: String,
    /// What kind of machine this is.
    pub surroundings: Surroundings,
    /// The answers.
    pub checks: Vec<Check>,
}

impl Check {
    fn ok(name: &'static str, what: impl Into<String>) -> Self {
        Self { name: name.into(), outcome: Outcome::Ok, what: what.into(), fix: None }
    }

    fn skipped(name: &'static str, what: impl Into<String>) -> Self {
        Self { name: name.into(), outcome: Outcome::Skipped, what: what.into(), fix: None }
    }

    fn warning(name: &'static str, what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { name: name.into(), outcome: Outcome::Warning, what: what.into(), fix: Some(fix.into()) }
    }

    fn problem(name: &'static str, obstacle: Obstacle, what: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { name: name.into(), outcome: Outcome::Problem(obstacle), what: what.into(), fix: Some(fix.into()) }
    }

    /// How the settings are, which whoever asks has read already: from where, or why they make no sense.
    pub fn of_settings(settings: Result<String, String>) -> Self {
        match settings {
            Ok(what) => Self::ok("settings", what),
            Err(why) => {
                Self { name: "settings".into(), outcome: Outcome::Problem(Obstacle::Settings), what: why, fix: None }
            }
        }
    }
}

impl Outcome {
    /// In a word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warning => "warning",
            Self::Problem(_) => "problem",
            Self::Skipped => "skipped",
        }
    }
}

impl Serialize for Outcome {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.word())
    }
}

impl Report {
    /// What stands in the way most: what must be mended first.
    pub fn obstacle(&self) -> Option<Obstacle> {
        let obstacles = self.checks.iter().filter_map(|check| match check.outcome {
            Outcome::Problem(obstacle) => Some(obstacle),
            _ => None,
        });
        obstacles.max()
    }

    /// The whole in a sentence.
    pub fn verdict(&self) -> &'static str {
        match self.obstacle() {
            Some(Obstacle::CannotMount) => "No drive can be mounted here before the problems are mended.",
            Some(Obstacle::Cache) => "A drive can be mounted here once there is a cache folder that can be used.",
            Some(Obstacle::Settings) => "A drive can be mounted here once the settings make sense.",
            Some(Obstacle::Unreachable) => "A drive can be mounted here once it can be reached.",
            Some(Obstacle::SignIn) => "A drive can be mounted here once you are signed in.",
            None if self.checks.iter().any(|check| check.outcome == Outcome::Warning) => {
                "A drive can be mounted here. See the warnings."
            }
            None => "A drive can be mounted here.",
        }
    }
}

/// Asks everything; `tell` hears each answer as soon as it is there. `settings` is the first of them.
pub async fn examine(question: &Question, settings: Check, mut tell: impl FnMut(&Check)) -> Report {
    let surroundings = Surroundings::here();
    let mut checks = Vec::new();
    let mut note = |check: Check| {
        tell(&check);
        checks.push(check);
    };
    note(settings);
    let device = kernel::device(surroundings);
    let has_device = device.outcome == Outcome::Ok;
    note(device);
    note(kernel::rights(surroundings, has_device));
    note(kernel::keeper(has_device));
    if let Some(mountpoint) = &question.mountpoint {
        let occupied = question.config.as_ref().map_or_else(Occupied::default, |config| config.occupied);
        note(place::mountpoint(mountpoint, occupied));
    }
    if let Some(config) = &question.config {
        note(place::cache(config));
        let reached = network::reach(config, surroundings, &mut note).await;
        match &question.running {
            Some(status) => sign_in::of_running(status).into_iter().for_each(&mut note),
            None => sign_in::look(config, reached, &mut note).await,
        }
    }
    for check in mounts::look() {
        note(check);
    }
    Report { version: env!("CARGO_PKG_VERSION"), kernel: kernel::release(), surroundings, checks }
}

/// How a running mount fares, if it says so in time.
pub fn ask(mount: &MountLine) -> Option<Status> {
    match mounts::status(mount)? {
        Fares::Well(status) => Some(*status),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_must_be_mended_first_decides() {
        let mut report =
            Report { version: "0", kernel: String::new(), surroundings: Surroundings::Plain, checks: Vec::new() };
        assert_eq!((report.obstacle(), report.verdict()), (None, "A drive can be mounted here."));
        report.checks.push(Check::warning("a", "b", "c"));
        assert!(report.verdict().contains("warnings"));
        for obstacle in
            [Obstacle::SignIn, Obstacle::Unreachable, Obstacle::Settings, Obstacle::Cache, Obstacle::CannotMount]
        {
            report.checks.push(Check::problem("a", obstacle, "b", "c"));
            assert_eq!(report.obstacle(), Some(obstacle));
        }
        report.checks.push(Check::problem("a", Obstacle::SignIn, "b", "c"));
        assert_eq!(report.obstacle(), Some(Obstacle::CannotMount));
    }
}
