//! The keeper: the process that owns a mount, so that the mount outlives whoever serves it.
//!
//! It holds the kernel's device open, and starts the *worker*, which is all the rest of this program. If the worker dies, by whatever
//! cause, the keeper starts the next one, which goes on where the last one was: programs wait meanwhile, and see no error. What
//! the next worker needs to know stands in the [book](crate::book), which the keeper holds open, too, and never reads.
//!
//! It is meant to outlive everything, so it does next to nothing: no runtime, no network, one thread, no memory that grows. It
//! never sees a secret: the settings of the mount are in a file in memory that it hands on unread. The kernel is asked to
//! kill it last when memory is short. (In the foreground it is the process that made the settings, and has read them.) It promises:
//!
//! - **A worker that dies is replaced**, at once; one that dies again and again, more and more slowly; and one that dies
//!   [`MOST_DEATHS`] times in a row before it has served for [`SOME_TIME`] is the last one; if it was killed each time, by the kernel for
//!   want of memory or by somebody, that may pass, and it is [`MOST_KILLS`]. Then the mount is as dead as one without a keeper, and the
//!   log says so.
//! - **A worker that hangs is replaced**: one that does not say for [`SILENCE`] that it is alive.
//! - **It ends with the worker** that means to end, with the same exit code; signals go to the worker.
//! - **SIGUSR2 changes the program**: the worker is replaced by what is on the disk now, if that can go on from here.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::book::{Death, record_death};
use crate::sys::{self, SignalQueue};

/// What a worker says: it serves, and these are the files to keep for the next one.
pub const READY: u8 = b'r';
/// What a worker says: it is alive.
pub const ALIVE: u8 = b'b';
/// What a worker says: it is about to end, and nobody shall follow it.
pub const ENDING: u8 = b'e';

/// So many of the files that are kept are locks.
const LOCKS: usize = 2;

/// How long a worker may say nothing.
pub const SILENCE: Duration = Duration::from_mins(1);

/// A worker that has served for so long did not die of what killed the last one.
const SOME_TIME: Duration = Duration::from_millis(300);

/// So many may die in a row before they have served for some time.
const MOST_DEATHS: u32 = 10;

/// The same, if all of them were killed. With the pauses between them that takes minutes.
const MOST_KILLS: u32 = 40;

/// How long the second in a row is waited with; then twice as long each time, and so long at most.
const FIRST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How long a worker that has nothing open any more may take to be gone. Then the kernel holds a thread of it until somebody
/// answers, which only the next worker can do.
const DYING: Duration = Duration::from_millis(50);

/// What a keeper is started with.
#[derive(Debug)]
pub struct Keeper {
    /// The settings of the mount, which it does not read.
    pub settings: File,
    /// Where it is mounted, for people who look at the list of processes.
    pub place: PathBuf,
    /// Somebody watches: the workers say on the terminal what they have to say.
    pub foreground: bool,
    /// What the environment has that the workers find in the settings, and that shall not be seen there.
    pub hidden: &'static [&'static str],
}

/// What is kept from one worker to the next.
struct Kept {
    device: File,
    book: File,
    settings: File,
    place: PathBuf,
    foreground: bool,
    hidden: &'static [&'static str],
    /// What is started: held open, so that it is the same though it is replaced on the disk.
    program: File,
    /// Its path, which may mean another one by now.
    path: PathBuf,
    /// The locks of the cache folder; then the log, if that is a file.
    files: Vec<OwnedFd>,
    /// How ready the kernel is to kill a worker.
    oom: String,
    deaths: u32,
    /// Workers that are dead but for a thread that the kernel holds.
    dying: Vec<Child>,
}

/// A worker.
struct Worker {
    process: Child,
    channel: OwnedFd,
    heard: Instant,
    /// Since when it serves.
    ready: Option<Instant>,
    ending: bool,
    /// Why it was killed by us.
    killed: Option<Cause>,
    /// Since when nothing can be heard of it any more: it is dead, or about to be.
    gone: Option<Instant>,
}

/// Why there is another worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cause {
    Died,
    Silent,
    Upgrade,
}

/// Keeps a mount until it ends; says with which exit code. An error: it could not even begin.
pub fn keep(keeper: Keeper) -> io::Result<u8> {
    let signals = SignalQueue::of(&[libc::SIGCHLD, libc::SIGTERM, libc::SIGINT, libc::SIGHUP, libc::SIGUSR2])?;
    let mut kept = Kept {
        device: File::options().read(true).write(true).open("/dev/fuse")?,
        book: sys::memory_file("drivemount-book")?,
        settings: keeper.settings,
        place: keeper.place,
        foreground: keeper.foreground,
        hidden: keeper.hidden,
        program: File::open("/proc/self/exe")?,
        path: std::env::current_exe()?,
        files: Vec::new(),
        oom: std::fs::read_to_string("/proc/self/oom_score_adj").unwrap_or_default(),
        deaths: 0,
        dying: Vec::new(),
    };
    // Only for those who may: else it is no worse off than the worker.
    let _refused = std::fs::write("/proc/self/oom_score_adj", "-1000");
    let mut is_mounted = false;
    let mut is_asked_to_end = None;
    let (mut quick, mut by_itself) = (0, false);
    loop {
        let mut worker = kept.start(is_mounted)?;
        let status = worker.watch(&signals, &mut kept, &mut is_asked_to_end)?;
        is_mounted |= worker.ready.is_some();
        kept.bury();
        let is_meant = worker.ending || !is_mounted;
        if is_meant {
            return Ok(status.and_then(|status| status.code()).and_then(|code| u8::try_from(code).ok()).unwrap_or(1));
        }
        let cause = worker.killed.unwrap_or(Cause::Died);
        let served = worker.ready.map_or(Duration::ZERO, |since| since.elapsed());
        if status.is_none() {
            kept.dying.push(worker.process);
        }
        let was_killed = status.is_none_or(|status| status.signal() == Some(libc::SIGKILL));
        (quick, by_itself) = if served >= SOME_TIME || cause == Cause::Upgrade {
            (0, false)
        } else {
            (quick + 1, by_itself || !was_killed)
        };
        kept.note(cause, status, quick);
        if quick >= if by_itself { MOST_DEATHS } else { MOST_KILLS } {
            kept.say(&format!("{quick} workers in a row died at once; there will be no other, and the mount is dead"));
            return Ok(1);
        }
        if quick > 1 {
            std::thread::sleep((FIRST_PAUSE * 2_u32.pow((quick - 2).min(10))).min(LONGEST_PAUSE));
        }
    }
}

impl Kept {
    /// Starts a worker; `follows`: another one.
    fn start(&self, follows: bool) -> io::Result<Worker> {
        let (channel, theirs) = sys::socket_pair()?;
        let given = [&self.device, &self.book, &self.settings].map(AsRawFd::as_raw_fd);
        let given = given.into_iter().chain([theirs.as_raw_fd()]).chain(self.files.iter().map(AsRawFd::as_raw_fd));
        let given: Vec<i32> = given.collect();
        let numbers = given.iter().map(ToString::to_string).collect::<Vec<_>>().join(",");
        let mut command = Command::new(format!("/proc/self/fd/{}", self.program.as_raw_fd()));
        command.arg0(&self.path).arg("daemon").arg(&self.place).args(["--kept", &numbers]);
        command.args(self.foreground.then_some("--foreground"));
        for name in self.hidden {
            command.env_remove(name);
        }
        if follows {
            // Whoever started the first one has heard that it is mounted.
            command.stdin(Stdio::null()).stdout(Stdio::null());
        }
        // Signals of a terminal come by way of us, once.
        command.process_group(0);
        sys::give(&mut command, given);
        let process = command.spawn()?;
        // Until here it is as we are.
        let _gone = std::fs::write(format!("/proc/{}/oom_score_adj", process.id()), self.oom.trim());
        Ok(Worker { process, channel, heard: Instant::now(), ready: None, ending: false, killed: None, gone: None })
    }

    /// Lets go of workers that are gone by now.
    fn bury(&mut self) {
        self.dying.retain_mut(|process| process.try_wait().is_ok_and(|status| status.is_none()));
    }

    /// Notes for the next worker how the last one ended, and for people. A process of which only a thread is left was killed.
    fn note(&mut self, cause: Cause, status: Option<ExitStatus>, quick: u32) {
        self.deaths += u32::from(cause != Cause::Upgrade);
        let signal = status.map_or(libc::SIGKILL, |status| status.signal().unwrap_or(0));
        let code = status.and_then(|status| status.code()).unwrap_or(0);
        let at = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        let word = match cause {
            Cause::Died => 0,
            Cause::Silent => 1,
            Cause::Upgrade => 2,
        };
        let death = Death { deaths: self.deaths, quick, cause: word, signal, code, at };
        if let Err(error) = record_death(&self.book, &death) {
            self.say(&format!("the book cannot be written: {error}"));
        }
    }

    /// Says something in the log of the mount.
    fn say(&mut self, text: &str) {
        let line = format!("drivemount keeper {}: {text}\n", std::process::id());
        let _full = match self.files.get(LOCKS) {
            Some(log) => log.try_clone().and_then(|log| File::from(log).write_all(line.as_bytes())),
            None => io::stderr().write_all(line.as_bytes()),
        };
    }

    /// Takes what is on the disk now for what is started from now on, if it can go on from here.
    fn upgrade(&mut self) -> bool {
        let found = File::open(&self.path).and_then(|program| {
            let path = format!("/proc/self/fd/{}", program.as_raw_fd());
            let mut ask = Command::new(path);
            ask.arg("daemon").arg(&self.place).args(["--can-take-over", &self.book.as_raw_fd().to_string()]);
            sys::give(&mut ask, vec![self.book.as_raw_fd()]);
            let answer = ask.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status()?;
            Ok((program, answer))
        });
        match found {
            Ok((program, answer)) if answer.success() => {
                self.program = program;
                true
            }
            Ok((_, answer)) => {
                self.say(&format!("{} cannot go on from here ({answer}): no upgrade", self.path.display()));
                false
            }
            Err(error) => {
                self.say(&format!("{} cannot be started ({error}): no upgrade", self.path.display()));
                false
            }
        }
    }
}

impl Worker {
    /// Waits until it is gone; says how it ended, if that is known.
    fn watch(
        &mut self,
        signals: &SignalQueue,
        kept: &mut Kept,
        is_asked_to_end: &mut Option<i32>,
    ) -> io::Result<Option<ExitStatus>> {
        loop {
            // The end of the other side would be seen again and again.
            let heard = if self.gone.is_some() { signals.as_fd() } else { self.channel.as_fd() };
            sys::wait_for_any(&[signals.as_fd(), heard], self.patience())?;
            while let Some(signal) = signals.next() {
                match signal {
                    libc::SIGCHLD => kept.bury(),
                    libc::SIGUSR2 => {
                        if self.ready.is_some() && kept.upgrade() {
                            self.kill(Cause::Upgrade);
                        }
                    }
                    signal => {
                        *is_asked_to_end = (signal != libc::SIGHUP).then_some(signal).or(*is_asked_to_end);
                        self.tell(signal);
                    }
                }
            }
            self.listen(kept, *is_asked_to_end);
            if let Some(status) = self.process.try_wait()? {
                // Its last words.
                self.listen(kept, None);
                return Ok(Some(status));
            }
            if self.killed.is_none() && self.heard.elapsed() > silence() {
                self.kill(Cause::Silent);
            }
            if self.gone.is_some_and(|since| since.elapsed() > DYING) && is_zombie(self.process.id()) {
                return Ok(None);
            }
        }
    }

    /// How long nothing needs to be looked at.
    fn patience(&self) -> Duration {
        if self.gone.is_some() {
            Duration::from_millis(10)
        } else {
            silence().saturating_sub(self.heard.elapsed()).max(FIRST_PAUSE)
        }
    }

    /// Hears what it has to say.
    fn listen(&mut self, kept: &mut Kept, is_asked_to_end: Option<i32>) {
        loop {
            match sys::receive_files(self.channel.as_fd()) {
                Ok(Some((word, files))) => {
                    self.heard = Instant::now();
                    match word {
                        READY => {
                            self.ready = Some(Instant::now());
                            if !files.is_empty() {
                                kept.files = files;
                            }
                            if let Some(signal) = is_asked_to_end {
                                // The last one was told, and died before it had ended.
                                self.tell(signal);
                            }
                        }
                        ENDING => self.ending = true,
                        _ => {}
                    }
                }
                Ok(None) => {
                    self.gone.get_or_insert_with(Instant::now);
                    return;
                }
                Err(_) => return,
            }
        }
    }

    fn tell(&self, signal: i32) {
        let _gone = sys::signal(self.process.id(), signal);
    }

    fn kill(&mut self, cause: Cause) {
        self.killed = Some(cause);
        self.tell(libc::SIGKILL);
    }
}

/// [`SILENCE`], or what a test says instead, which a release build does not know.
fn silence() -> Duration {
    #[cfg(debug_assertions)]
    if let Some(millis) = std::env::var("DRIVEMOUNT_CRASH_SILENCE").ok().and_then(|millis| millis.parse().ok()) {
        return Duration::from_millis(millis);
    }
    SILENCE
}

/// Whether all that is left of a process are threads that the kernel does not let go.
fn is_zombie(pid: u32) -> bool {
    let stat = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("stat")).unwrap_or_default();
    stat.rsplit(')').next().is_some_and(|rest| rest.trim_start().starts_with('Z'))
}
