//! The worker's side of the [keeper](crate::keeper): what it was handed, and that it says that it is alive.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::runtime::Handle as Runtime;
use tokio_util::sync::CancellationToken;

use crate::book::{Book, Death, Page};
use crate::clock::{Instant, Timestamp};
use crate::config::MountConfig;
use crate::control::{KeeperStatus, RestartStatus};
use crate::fuse::{self, KeptDevice};
use crate::keeper::{ALIVE, ENDING, READY};
use crate::remote::Quota;
use crate::{state, sys};

/// How often it is said that this process is alive.
const BEAT: Duration = Duration::from_secs(1);

/// What takes longer to answer a request of the kernel, or a task of the runtime, is stuck: nothing is said then.
const STUCK: Duration = Duration::from_secs(30);

/// The longest settings.
const LONGEST: usize = 1 << 20;

/// What the first worker found out, for those that follow.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Facts {
    /// The mountpoint, as the system knows it: to look at it is to ask ourselves.
    pub(super) mountpoint: PathBuf,
    /// It was made for the mount.
    pub(super) made: bool,
    pub(super) since: Timestamp,
    pub(super) limit: Option<u64>,
    pub(super) used: u64,
}

impl Facts {
    pub(super) fn quota(&self) -> Quota {
        Quota { limit: self.limit, used: self.used }
    }
}

/// What a worker was handed.
#[derive(Debug)]
pub struct Kept {
    pub(super) device: KeptDevice,
    pub(super) book: Arc<Book>,
    /// The number of this worker.
    pub(super) generation: u64,
    /// How the last one ended.
    pub(super) death: Option<Death>,
    /// Somebody watches the keeper.
    foreground: bool,
    settings: File,
    channel: Arc<OwnedFd>,
    /// The locks of the cache folder, if another worker took them.
    pub(super) locks: Option<[OwnedFd; 2]>,
}

impl Kept {
    /// As the keeper wrote it into the arguments: the numbers of the descriptors, and whether somebody watches. To be called once in a
    /// process.
    pub fn of_arguments(numbers: &str, foreground: bool) -> io::Result<Self> {
        let mut files = Vec::new();
        for number in numbers.split(',') {
            files.push(sys::inherited(number.parse().map_err(io::Error::other)?)?);
        }
        let mut files = files.into_iter();
        let mut next = || files.next().ok_or_else(|| io::Error::from(io::ErrorKind::InvalidInput));
        let (device, book, settings, channel) = (next()?, next()?, next()?, next()?);
        let locks = files.next().zip(files.next()).map(|(file, folder)| [file, folder]);
        let book = Arc::new(Book::open(book.into())?);
        let generation = book.begin()?;
        book.note_formats(state::FORMAT)?;
        Ok(Self {
            device: KeptDevice::new(device.into(), Arc::clone(&book)),
            generation,
            death: book.death()?,
            foreground,
            book,
            settings: settings.into(),
            channel: Arc::new(channel),
            locks,
        })
    }

    /// The settings of the mount.
    pub fn settings(&self) -> io::Result<Vec<u8>> {
        // Not from where the last worker had read to: all of them share that place.
        let length = usize::try_from(self.settings.metadata()?.len()).unwrap_or(LONGEST).min(LONGEST);
        let mut settings = vec![0; length];
        self.settings.read_exact_at(&mut settings, 0)?;
        Ok(settings)
    }

    /// Whether another worker served the mount before.
    pub fn follows(&self) -> bool {
        self.device.is_mounted()
    }

    /// What the first worker found out; `None`: this is the first one.
    pub(super) fn facts(&self) -> Option<Facts> {
        self.device.is_mounted().then(|| serde_json::from_slice(&self.book.get(Page::Facts).ok()?).ok()).flatten()
    }

    pub(super) fn note(&self, facts: &Facts) -> io::Result<()> {
        self.book.set(Page::Facts, &serde_json::to_vec(facts)?)
    }

    /// Says that the mount is served, and hands on what the next worker needs: the locks of the cache folder, and the log.
    pub(super) fn ready(&self, locks: [BorrowedFd<'_>; 2], log: Option<BorrowedFd<'_>>) -> io::Result<()> {
        if !self.device.can_be_taken_over() {
            // Then nobody shall follow.
            return sys::send_files(self.channel.as_fd(), ENDING, &[]);
        }
        let files: Vec<BorrowedFd<'_>> = locks.into_iter().chain(log).collect();
        sys::send_files(self.channel.as_fd(), READY, &files)
    }

    /// The process that a service manager knows, which keeps this one.
    pub(super) fn main_process(&self) -> Option<u32> {
        self.foreground.then(std::os::unix::process::parent_id)
    }

    /// The log, to be handed on, if it is a file.
    pub(super) fn log(&self, config: &MountConfig) -> Option<File> {
        let is_file = config.log.file.is_some() || !self.foreground;
        is_file.then(|| File::options().append(true).open(config.log_file()).ok()).flatten()
    }

    /// How it fares, for people.
    pub(super) fn status(&self) -> KeeperStatus {
        let last = self.death.map(|death| {
            let seconds = i64::try_from(death.at).unwrap_or(0);
            RestartStatus { at: Timestamp::from_millis(seconds * 1000).to_rfc3339(), reason: reason(&death) }
        });
        let restarts = self.death.map_or(0, |death| death.deaths);
        KeeperStatus { pid: std::os::unix::process::parent_id(), restarts, generation: self.generation, last }
    }

    /// Says that this process means to end.
    pub(super) fn ending(&self) {
        let _gone = sys::send_files(self.channel.as_fd(), ENDING, &[]);
    }

    /// Says from now on that this process is alive, as long as it is. `gone` is cancelled when there is no keeper any more.
    pub fn live(&self, runtime: &Runtime, gone: CancellationToken) -> io::Result<()> {
        let (runtime, channel) = (runtime.clone(), Arc::clone(&self.channel));
        std::thread::Builder::new().name("alive".to_owned()).spawn(move || beat(&runtime, &channel, &gone)).map(drop)
    }
}

/// Why a daemon ended, as a sentence without its end.
pub(super) fn reason(death: &Death) -> String {
    match death {
        Death { cause: 1, .. } => "it hung, and was killed for it; the log says at what".to_owned(),
        Death { cause: 2, .. } => "it made way for the program that is on the disk now".to_owned(),
        Death { signal: libc::SIGKILL, .. } => {
            "it was killed (SIGKILL), as the kernel does when memory is short".to_owned()
        }
        Death { signal: 0, code, .. } => format!("it ended by a mistake (exit code {code})"),
        Death { signal, .. } => format!("it was ended by signal {signal}"),
    }
}

fn beat(runtime: &Runtime, channel: &OwnedFd, gone: &CancellationToken) {
    let mut asked = (Arc::new(AtomicBool::new(true)), Instant::now());
    let mut told = false;
    loop {
        if asked.0.load(Ordering::Relaxed) {
            let answered = Arc::new(AtomicBool::new(false));
            asked = (Arc::clone(&answered), Instant::now());
            runtime.spawn(async move { answered.store(true, Ordering::Relaxed) });
        }
        let request = fuse::longest().filter(|(_, time)| *time > stuck());
        let task = Some(("the runtime", asked.1.elapsed())).filter(|(_, time)| *time > stuck());
        if let Some((what, time)) = request.or(task) {
            if !std::mem::replace(&mut told, true) {
                tracing::error!(what, ?time, "stuck; the keeper will start another daemon in the place of this one");
            }
        } else {
            told = false;
            let _gone = sys::send_files(channel.as_fd(), ALIVE, &[]);
        }
        // The keeper says nothing, so that there is something to hear is its end.
        let _failed = sys::wait_for_any(&[channel.as_fd()], BEAT.min(stuck() / 4));
        if matches!(sys::receive_files(channel.as_fd()), Ok(None)) {
            return gone.cancel();
        }
    }
}

/// [`STUCK`], or what a test says instead, which a release build does not know.
fn stuck() -> Duration {
    #[cfg(debug_assertions)]
    if let Some(millis) = std::env::var("DRIVEMOUNT_CRASH_STUCK").ok().and_then(|millis| millis.parse().ok()) {
        return Duration::from_millis(millis);
    }
    STUCK
}
