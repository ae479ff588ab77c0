//! `drivemount ask`: answers one question of another command, and may hang in its place.

use std::io::{self, Read};

use super::output::print;
use super::{Exit, Failure};
use crate::doctor::apart::{self, Ask};

/// Answer a question of another command, which stands on standard input
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

pub(super) fn run(_args: &Args) -> Result<Exit, Failure> {
    let mut question = String::new();
    let read = io::stdin().lock().take(1 << 20).read_to_string(&mut question);
    let question: Option<Ask> = read.ok().and_then(|_| serde_json::from_str(&question).ok());
    let Some(question) = question else {
        return Err(Failure::new(Exit::Usage, "this is started by other commands, which give it a question"));
    };
    let answer = apart::answer(&question).map_err(|error| Failure::new(Exit::Failure, error.to_string()))?;
    print(&answer)?;
    Ok(Exit::Success)
}
