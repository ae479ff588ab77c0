//! The process that copies what a mountpoint held into the mount; started by the daemon.

use std::io;

use super::{Exit, Failure};
use crate::mount;

pub(super) fn run() -> Result<Exit, Failure> {
    let served = mount::copy_in(io::stdin().lock(), io::stdout().lock());
    served
        .map_err(|error| Failure::new(Exit::Failure, format!("this is started by the daemon of a mount: {error}")))?;
    Ok(Exit::Success)
}
