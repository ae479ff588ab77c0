//! Asking what may never answer.
//!
//! Whoever touches a mount whose daemon hangs waits in the kernel, where no signal reaches: neither the thread nor the process that
//! it belongs to can end then. So such questions are asked by a process of its own, `drivemount ask`, which is left behind if it
//! does not answer in time; it ends with the mount.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{mounts, place};
use crate::control::Whereabouts;

/// A question.
#[derive(Debug, Serialize, Deserialize)]
pub enum Ask {
    /// What is at the place to mount at?
    Place(PathBuf),
    /// Can the cache folder be used, and what is its disk like?
    Cache(PathBuf),
    /// How does the mount there fare?
    Mount(PathBuf),
    /// Where do commands reach the mount there?
    Whereabouts(PathBuf),
}

/// Answers a question, however long that takes.
pub fn answer(question: &Ask) -> serde_json::Result<String> {
    match question {
        Ask::Place(path) => serde_json::to_string(&place::look(path)),
        Ask::Cache(path) => serde_json::to_string(&place::look_at_disk(path)),
        Ask::Mount(path) => serde_json::to_string(&mounts::look_at(path)),
        Ask::Whereabouts(path) => serde_json::to_string(&Whereabouts::of(path)),
    }
}

/// Lets another process answer. `None` if it does not in time.
pub fn ask<T: DeserializeOwned>(question: &Ask, time: Duration) -> Option<T> {
    let mut asking = Command::new(std::env::current_exe().ok()?);
    // Nothing of ours may stay open in it: somebody may wait for the end of our output.
    asking.arg("ask").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut asking = asking.spawn().ok()?;
    let question = serde_json::to_vec(question).ok()?;
    asking.stdin.take()?.write_all(&question).ok()?;
    let mut output = asking.stdout.take()?;
    let (tell, told) = mpsc::channel();
    let read = move || {
        let mut said = Vec::new();
        // Whoever asked may not wait any more.
        let _late = tell.send(output.read_to_end(&mut said).map(|_| said));
    };
    thread::Builder::new().spawn(read).ok()?;
    let Some(said) = told.recv_timeout(time).ok().and_then(Result::ok) else {
        // It may not be able to end, so its end is not waited for.
        let _dying = asking.kill();
        return None;
    };
    let _ended = asking.wait();
    serde_json::from_slice(&said).ok()
}
