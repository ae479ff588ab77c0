//! The processes that work on the mount: this program again, as a test that serves. Requests and answers are lines of JSON on a
//! socket.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::operation::{Operation, Outcome};
use crate::perform::Process;

/// Where a worker finds who started it, and the folder to work in.
const SOCKET: &str = "DRIVEMOUNT_TEST_WORKER_SOCKET";
const BASE: &str = "DRIVEMOUNT_TEST_WORKER_BASE";

/// A bound against hanging, not a measure: trouble and lost networks make single operations wait.
const PATIENCE: Duration = Duration::from_mins(5);

#[derive(Debug, Serialize, Deserialize)]
enum Request {
    Perform(Vec<Operation>),
    /// Closes all that is open.
    CloseAll,
}

pub(crate) struct Worker {
    child: Child,
    stream: BufReader<UnixStream>,
}

impl Worker {
    /// Starts a process that works below `base`. The socket is made in `dir`.
    pub(crate) fn start(base: &Path, dir: &Path) -> Self {
        let socket = dir.join("socket");
        let listener = UnixListener::bind(&socket).expect("listens");
        let child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--ignored", "--exact", "worker::a_worker_does_what_it_is_told"])
            .env(SOCKET, &socket)
            .env(BASE, base)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("starts");
        let (stream, _) = listener.accept().expect("connects");
        std::fs::remove_file(&socket).expect("removes");
        stream.set_read_timeout(Some(PATIENCE)).expect("sets");
        Self { child, stream: BufReader::new(stream) }
    }

    /// Gives it something to do, and does not wait.
    pub(crate) fn send(&mut self, operations: &[Operation]) {
        self.request(&Request::Perform(operations.to_vec()));
    }

    /// The outcomes of what it was given, in order.
    pub(crate) fn receive(&mut self) -> Vec<Outcome> {
        let mut line = String::new();
        self.stream.read_line(&mut line).expect("a worker that answers in time");
        serde_json::from_str(&line).unwrap_or_else(|error| panic!("no answer of a worker ({error}): {line:?}"))
    }

    pub(crate) fn perform(&mut self, operation: &Operation) -> Outcome {
        self.send(std::slice::from_ref(operation));
        self.receive().remove(0)
    }

    pub(crate) fn close_all(&mut self) {
        self.request(&Request::CloseAll);
        self.receive();
    }

    fn request(&mut self, request: &Request) {
        let mut line = serde_json::to_string(request).expect("json");
        line.push('\n');
        self.stream.get_mut().write_all(line.as_bytes()).expect("sends");
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        let _gone = self.child.kill();
        let _gone = self.child.wait();
    }
}

#[test]
#[ignore = "the other tests start it, as a process of its own"]
fn a_worker_does_what_it_is_told() {
    let variable = |name| std::env::var_os(name).unwrap_or_else(|| panic!("{name} is not set: start the other tests"));
    let base = variable(BASE);
    let mut stream = UnixStream::connect(variable(SOCKET)).expect("connects");
    // SAFETY: no other thread makes files.
    unsafe { libc::umask(0o022) };
    let mut process = Process::new(Path::new(&base));
    let lines = BufReader::new(stream.try_clone().expect("clones")).lines();
    for line in lines.map_while(Result::ok) {
        let outcomes: Vec<Outcome> = match serde_json::from_str(&line).expect("a request") {
            Request::Perform(operations) => operations.iter().map(|operation| process.perform(operation)).collect(),
            Request::CloseAll => {
                process = Process::new(Path::new(&base));
                Vec::new()
            }
        };
        let mut answer = serde_json::to_string(&outcomes).expect("json");
        answer.push('\n');
        if stream.write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}
