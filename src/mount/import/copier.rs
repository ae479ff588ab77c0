//! The process that copies.
//!
//! Not the daemon itself: a thread of it that waits for an answer of its own mount cannot be ended by a signal once the others
//! are gone, and the process would never end. So the daemon starts the program once more, in the root of the mount, and tells it
//! entry by entry what to copy: a line of JSON there, a line of JSON back.

use std::ffi::OsString;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde::{Deserialize, Serialize};

use super::copy::{self, Sort};

/// The hidden command that [`serve`]s.
const COMMAND: &str = "copy-in";

/// What is to be copied. Names are bytes: they need not be text.
#[derive(Debug, Serialize, Deserialize)]
struct Order {
    sort: Sort,
    from: Vec<u8>,
    /// A folder of the mount, as a path in it.
    into: Vec<u8>,
}

/// What came of it: the name and the number of the copy.
type Outcome = Result<(Vec<u8>, u64), String>;

/// The process, as the daemon sees it. Ends with this.
#[derive(Debug)]
pub(super) struct Copier {
    process: Child,
    orders: ChildStdin,
    outcomes: BufReader<ChildStdout>,
}

impl Copier {
    /// Starts it in the root of the mount, which is its working folder from then on, whatever is mounted there later.
    pub(super) fn start(mount: &Path) -> io::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        // A group of its own: a Ctrl-C at the terminal is for the mount, which ends in order.
        command
            .arg(COMMAND)
            .current_dir(mount)
            .process_group(0)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null());
        let mut process = command.spawn()?;
        let pipes = process.stdin.take().zip(process.stdout.take());
        let (orders, outcomes) = pipes.ok_or(io::ErrorKind::BrokenPipe)?;
        Ok(Self { process, orders, outcomes: BufReader::new(outcomes) })
    }

    /// Copies an entry into a folder of the mount. Says its name there, and its number.
    pub(super) fn copy(&mut self, sort: Sort, from: &Path, into: &Path) -> io::Result<(OsString, u64)> {
        let bytes = |path: &Path| path.as_os_str().as_bytes().to_vec();
        let order = serde_json::to_string(&Order { sort, from: bytes(from), into: bytes(into) })?;
        writeln!(self.orders, "{order}")?;
        let mut line = String::new();
        self.outcomes.read_line(&mut line)?;
        if line.is_empty() {
            return Err(io::Error::new(io::ErrorKind::BrokenPipe, "the process that copies has ended"));
        }
        let outcome: Outcome = serde_json::from_str(&line)?;
        outcome.map(|(name, ino)| (OsString::from_vec(name), ino)).map_err(io::Error::other)
    }
}

impl Drop for Copier {
    fn drop(&mut self) {
        let _ended = self.process.kill();
        let _ended = self.process.wait();
    }
}

/// The process itself: copies what it is told, until nobody tells any more.
pub(super) fn serve(orders: impl BufRead, mut outcomes: impl Write) -> io::Result<()> {
    for line in orders.lines() {
        let Order { sort, from, into } = serde_json::from_str(&line?)?;
        let from = PathBuf::from(OsString::from_vec(from));
        let into = Path::new(".").join(OsString::from_vec(into));
        let done = match sort {
            Sort::Folder => copy::folder(&from, &into),
            Sort::File => copy::file(&from, &into),
            Sort::Link => copy::link(&from, &into),
            Sort::Mount | Sort::Pipe | Sort::Device => Err(io::ErrorKind::InvalidInput.into()),
        };
        let outcome: Outcome = done.map(|(name, ino)| (name.into_vec(), ino)).map_err(|error| error.to_string());
        writeln!(outcomes, "{}", serde_json::to_string(&outcome)?)?;
        outcomes.flush()?;
    }
    Ok(())
}
