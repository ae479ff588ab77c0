//! [`Program`]: a line of the shell, run for what it prints.
//!
//! It gets nothing of ours: no input, no open files, no terminal, and the line itself not as an argument, which every user of
//! the machine could see. It has a process group of its own, so that all of it can be killed.

use std::io;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};

use crate::sys;

/// The line comes in this variable, which only its own user can see, and which it does not hand on.
const VARIABLE: &str = "DRIVEMOUNT_TOKEN_COMMAND";

/// It is put in before the variable goes. Another variable to hold it would be handed on if the environment had one of its name.
const SCRIPT: &str = "eval \"unset DRIVEMOUNT_TOKEN_COMMAND\n$DRIVEMOUNT_TOKEN_COMMAND\"";

/// What is read of its output, more than any token; and of its complaints, the end.
const MAX_OUTPUT: usize = 64 * 1024;
const MAX_COMPLAINT: usize = 4 * 1024;

/// How long what it left running may hold its output open after it ended.
const LEFTOVERS: Duration = Duration::from_millis(500);

/// The process groups that run.
static RUNNING: Mutex<Vec<u32>> = Mutex::new(Vec::new());

/// Kills what runs: the mount has ended.
pub fn end_programs() {
    for group in RUNNING.lock().drain(..) {
        let _gone = sys::kill_group(group);
    }
}

/// One that runs. Killed when this is dropped before its end.
#[derive(Debug)]
pub(super) struct Program {
    child: Child,
    group: Group,
}

/// How it ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) status: ExitStatus,
    pub(super) output: String,
    pub(super) complaint: String,
}

impl Program {
    pub(super) fn start(line: &str, dir: &Path) -> io::Result<Self> {
        // The folder may be gone since it was named.
        let dir = if dir.is_dir() { dir } else { Path::new("/") };
        let mut command = std::process::Command::new("/bin/sh");
        command.args(["-c", SCRIPT]).env(VARIABLE, line).current_dir(dir);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        sys::start_apart(&mut command);
        let mut command = Command::from(command);
        let child = command.kill_on_drop(true).spawn()?;
        Ok(Self { group: Group::new(child.id()), child })
    }

    /// Waits for its end.
    pub(super) async fn end(mut self) -> io::Result<Ended> {
        let (stdout, stderr) = (self.child.stdout.take(), self.child.stderr.take());
        let (mut output, mut complaint) = (Vec::new(), Vec::new());
        let status = {
            let reading = async {
                tokio::join!(
                    read(stdout, |bytes| {
                        let room = (MAX_OUTPUT + 1).saturating_sub(output.len());
                        output.extend_from_slice(&bytes[..bytes.len().min(room)]);
                    }),
                    read(stderr, |bytes| {
                        complaint.extend_from_slice(bytes);
                        complaint.drain(..complaint.len().saturating_sub(MAX_COMPLAINT));
                    })
                )
            };
            tokio::pin!(reading);
            let mut is_read = false;
            loop {
                tokio::select! {
                    _ = &mut reading, if !is_read => is_read = true,
                    status = self.child.wait() => {
                        // From here on its number may be somebody else's.
                        self.group.leave();
                        if !is_read {
                            let _held_open = tokio::time::timeout(LEFTOVERS, &mut reading).await;
                        }
                        break status?;
                    }
                }
            }
        };
        if output.len() > MAX_OUTPUT {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "it printed far more than a token"));
        }
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        Ok(Ended { status, output: text(output), complaint: text(complaint) })
    }
}

/// Reads to the end; a pipe that breaks ends, too.
async fn read(pipe: Option<impl AsyncRead + Unpin>, mut take: impl FnMut(&[u8])) {
    let Some(mut pipe) = pipe else { return };
    let mut buffer = vec![0; 8192];
    while let Ok(length @ 1..) = pipe.read(&mut buffer).await {
        take(&buffer[..length]);
    }
}

/// The process group of a program.
#[derive(Debug)]
struct Group(Option<u32>);

impl Group {
    fn new(pid: Option<u32>) -> Self {
        RUNNING.lock().extend(pid);
        Self(pid)
    }

    /// Its leader has ended.
    fn leave(&mut self) {
        if let Some(pid) = self.0.take() {
            RUNNING.lock().retain(|running| *running != pid);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(pid) = self.0 {
            let _gone = sys::kill_group(pid);
        }
        self.leave();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a shell makes of a line: its exit code, and what it printed.
    fn made(shell: &str, line: &str) -> Option<(Option<i32>, String)> {
        let mut command = std::process::Command::new(shell);
        command.args(["-c", SCRIPT]).env(VARIABLE, line).env("line", "of somebody else").stderr(Stdio::null());
        let ended = command.output().ok()?;
        Some((ended.status.code(), String::from_utf8_lossy(&ended.stdout).into_owned()))
    }

    #[test]
    fn a_line_is_run_as_it_is_and_handed_on_to_nobody() {
        for shell in ["/bin/sh", "/bin/bash", "/bin/dash"].into_iter().filter(|shell| Path::new(shell).exists()) {
            for (line, code, printed) in [
                ("echo \"it's\" '\"$HOME\"' \\\\ # not this", 0, "it's \"$HOME\" \\\n"),
                ("if true; then\n  cat <<E\na $line\nE\nfi\nexit 7", 7, "a of somebody else\n"),
                ("false", 1, ""),
                ("sh -c 'exit 5'", 5, ""),
                ("", 0, ""),
                ("echo $?$#; echo hunter2 >/dev/null; env | grep -c hunter2", 1, "00\n0\n"),
            ] {
                assert_eq!(made(shell, line), Some((Some(code), printed.to_owned())), "{shell}: {line}");
            }
            assert_eq!(made(shell, "echo (").and_then(|(code, _)| code.map(|code| code > 0)), Some(true));
            assert_eq!(made(shell, "echo $0"), Some((Some(0), format!("{shell}\n"))));
        }
    }
}
