//! Processes that read files, each a share of them.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::Instant;

use crate::work;

/// Has files read by so many processes, in turn. Seconds until all are read, and the sum of their checksums.
pub(crate) fn read(count: usize, paths: &[PathBuf]) -> (f64, u64) {
    let here = tempfile::tempdir().expect("temporary folder");
    let mut processes: Vec<Process> = (0..count)
        .map(|process| {
            Process::start(&here.path().join(process.to_string()), paths.iter().skip(process).step_by(count))
        })
        .collect();
    for process in &mut processes {
        assert_eq!(process.line(), READY);
    }
    let start = Instant::now();
    processes.iter_mut().for_each(Process::go);
    let sums: Vec<u64> = processes.iter_mut().map(|process| process.line().parse().expect("a sum")).collect();
    (start.elapsed().as_secs_f64(), sums.into_iter().fold(0, u64::wrapping_add))
}

/// What a process says that waits for the start.
const READY: &str = "ready";

/// The first argument of a process that reads.
const READ: &str = "read-files";

/// A process that reads the files of a list.
struct Process {
    child: Child,
    said: BufReader<ChildStdout>,
}

impl Process {
    fn start<'a>(list: &Path, files: impl Iterator<Item = &'a PathBuf>) -> Self {
        let paths: Vec<_> = files.map(|path| path.as_os_str()).collect();
        fs::write(list, paths.join(OsStr::new("\n")).as_bytes()).expect("writes");
        let mut command = Command::new(std::env::current_exe().expect("this program"));
        command.arg(READ).arg(list).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("starts");
        let said = BufReader::new(child.stdout.take().expect("piped"));
        Self { child, said }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.said.read_line(&mut line).expect("says something");
        line.trim().to_owned()
    }

    fn go(&mut self) {
        // It begins when this is closed.
        drop(self.child.stdin.take());
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

/// What such a process does. False: this is not one.
pub(crate) fn is_reader() -> bool {
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_none_or(|first| first != READ) {
        return false;
    }
    let list = fs::read(arguments.next().expect("a list")).expect("reads the list");
    let paths: Vec<&Path> = list.split(|&byte| byte == b'\n').map(|path| Path::new(OsStr::from_bytes(path))).collect();
    println!("{READY}");
    std::io::stdin().read_line(&mut String::new()).expect("waits");
    println!("{}", work::files(&paths).1);
    true
}
