//! `drivemount serve`: runs the embedded drive.

use super::{Exit, Failure};

/// Run a Drive-compatible server on this machine
#[derive(Debug, clap::Args)]
pub(super) struct Args {}

pub(super) fn run(_args: &Args) -> Result<Exit, Failure> {
    Err(Failure::new(Exit::Failure, "not built yet"))
}
