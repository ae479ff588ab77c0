//! `drivemount status --watch`: a screen that shows how a mount fares, or lines where there is no screen.

use std::io::{self, IsTerminal};
use std::time::Duration;

use console::Term;
use tokio::signal::unix::SignalKind;

use super::output::{at_risk, below, print, say};
use super::target::{self, Answer, Target};
use super::{Exit, Failure, received};
use crate::clock::{self, Instant};
use crate::control::{ClientError, Status, Unsent};
use crate::mount::mountpoint;

mod ended;
mod frame;

/// How often it is looked.
const OFTEN: Duration = Duration::from_millis(500);

/// How long a mount that did not answer may take to say whether it lives.
const PATIENCE: Duration = Duration::from_secs(2);

/// The other screen of the terminal, without a cursor, and the way back. What was on the first one is there again then.
const ENTER: &str = "\x1b[?1049h\x1b[?25l";
const LEAVE: &str = "\x1b[?25h\x1b[?1049l";

/// Around a frame: terminals that know it show all of it at once, the others do not mind.
const BEGIN: &str = "\x1b[?2026h\x1b[H";
const END: &str = "\x1b[J\x1b[?2026l";

/// Shows it until somebody ends that, or the mount ends.
pub(super) async fn run(target: &Target, json: bool) -> Result<Exit, Failure> {
    let mut view = if json {
        View::Json(None)
    } else if io::stdout().is_terminal() {
        View::Screen(Screen::enter()?)
    } else {
        View::Lines(String::new())
    };
    let mut last = None;
    let result = tokio::select! {
        result = look(target, &mut view, &mut last) => result,
        () = interrupted() => Ok(Exit::Success),
    };
    if let Ok(Exit::Success) = result
        && mountpoint::mount_at(target.client.mountpoint()).is_none()
    {
        // What was seen last is not so any more.
        let lines = ended::lines(target.client.mountpoint(), last.as_ref().map(|(status, _)| status));
        return view.end(&lines).map(|()| Exit::Success);
    }
    if let Some(last) = view.close() {
        print(&last)?;
    }
    result
}

/// Looks at the mount again and again, until it is gone.
async fn look(target: &Target, view: &mut View, last: &mut Option<(Status, Instant)>) -> Result<Exit, Failure> {
    let mut rates = frame::Rates::default();
    loop {
        match target.client.status().await {
            Ok(mut status) => {
                if !target.path.is_empty() {
                    status.unsent = narrowed(&target.path, status.unsent);
                }
                rates.look(&status);
                view.show(&status, &rates, None)?;
                *last = Some((status, Instant::now()));
            }
            Err(ClientError::NoAnswer { why, .. }) => {
                let place = target.client.mountpoint().to_owned();
                if mountpoint::mount_at(&place).is_none() {
                    return Ok(Exit::Success);
                }
                let found = tokio::task::spawn_blocking(move || target::ask_one(&place, PATIENCE)).await;
                if let Ok(Answer::Dead) = found {
                    return Err(ClientError::Dead { path: target.client.mountpoint().to_owned() }.into());
                }
                let Some((status, since)) = &*last else {
                    return Err(ClientError::NoAnswer { path: target.client.mountpoint().to_owned(), why }.into());
                };
                view.show(status, &rates, Some(since.elapsed()))?;
            }
            Err(error) => return Err(error.into()),
        }
        tokio::time::sleep(OFTEN).await;
    }
}

/// Of what is not on the drive, that which lies at or below a path.
fn narrowed(path: &str, unsent: Unsent) -> Unsent {
    let left = below(path, unsent);
    Unsent { entries: left.entries, bytes: left.bytes, unsealed_bytes: 0, items: left.items }
}

/// Waits for whoever wants to see no more.
async fn interrupted() {
    received(&[SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()]).await;
}

/// How it is shown.
enum View {
    Screen(Screen),
    /// The last line.
    Lines(String),
    /// The last status.
    Json(Option<Box<Status>>),
}

impl View {
    fn show(&mut self, status: &Status, rates: &frame::Rates, silent: Option<Duration>) -> Result<(), Failure> {
        match self {
            Self::Screen(screen) => screen.show(|size, footer| frame::lines(status, rates, silent, size, footer)),
            Self::Lines(last) => {
                let mut parts = vec![format!("at risk: {}", at_risk(&status.unsent))];
                let busy = status.unsent.items.iter().filter(|item| item.state != "queued");
                parts.extend(busy.take(3).map(frame::brief));
                if status.state != "mounted" {
                    parts.push(status.state.clone());
                }
                parts
                    .extend(status.writes.as_ref().map(|writes| format!("writes {}: {}", writes.state, writes.reason)));
                if silent.is_some() {
                    parts.push("the daemon does not answer".to_owned());
                }
                let line = parts.join("; ");
                if line != *last {
                    say(&super::output::plain(&format!("{}  {line}", clock::now().to_rfc3339())));
                    *last = line;
                }
                Ok(())
            }
            Self::Json(last) => {
                if last.as_deref() == Some(status) {
                    return Ok(());
                }
                *last = Some(Box::new(status.clone()));
                let json = serde_json::to_string(status);
                print(&(json.map_err(|error| Failure::new(Exit::Failure, error.to_string()))? + "\n"))
            }
        }
    }

    /// Ends it with what became of the mount.
    fn end(self, lines: &[String]) -> Result<(), Failure> {
        let text: String = lines.iter().map(|line| super::output::plain(line) + "\n").collect();
        match self {
            Self::Screen(screen) => {
                // The way back comes first.
                drop(screen);
                print(&text)
            }
            Self::Lines(_) => print(&format!("{}  {text}", clock::now().to_rfc3339())),
            Self::Json(_) => {
                super::output::complain(text.trim_end());
                Ok(())
            }
        }
    }

    /// Ends it; what was seen last is to stay.
    fn close(self) -> Option<String> {
        match self {
            Self::Screen(mut screen) => screen.last.take(),
            _ => None,
        }
    }
}

/// The terminal, for as long as this lives.
struct Screen {
    terminal: Term,
    /// What was shown last, without what only makes sense while it is shown.
    last: Option<String>,
}

impl Screen {
    fn enter() -> Result<Self, Failure> {
        print(ENTER)?;
        Ok(Self { terminal: Term::stdout(), last: None })
    }

    /// Draws the lines of a frame of a size, rows and columns, with a last line or without, over the ones before.
    fn show(&mut self, frame: impl Fn((usize, usize), bool) -> Vec<String>) -> Result<(), Failure> {
        let (rows, columns) = self.terminal.size();
        let size = (usize::from(rows), usize::from(columns));
        // The last row ends without a new line, which would move all of it up.
        let drawn = frame(size, true).join("\x1b[K\r\n");
        self.last = Some(frame(size, false).join("\n") + "\n");
        print(&format!("{BEGIN}{drawn}\x1b[K{END}"))
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        let _closed = print(LEAVE);
    }
}
