//! What a service manager is told (`sd_notify(3)`): that the mount can be used, and that its end takes time because something is
//! sent.
//!
//! Datagrams on a socket that the manager names in the environment. Without one, nothing is said.

use std::ffi::OsString;
use std::io;
use std::os::fd::AsFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use super::running::Running;
use crate::config::Bytes;
use crate::sys;

/// The variable that names the socket.
pub const NOTIFY_SOCKET: &str = "NOTIFY_SOCKET";

/// How often it is said how far the end is.
const OFTEN: Duration = Duration::from_secs(1);

/// How much more time is asked for each time. As long as that is renewed, a manager waits.
const EXTENSION: Duration = Duration::from_secs(30);

/// Who supervises this process, if anybody does.
#[derive(Debug)]
pub(super) struct Supervisor {
    socket: Option<(UnixDatagram, SocketAddr)>,
    /// The process that it started, if that is not this one: it need not listen to others.
    main: Option<u32>,
}

impl Supervisor {
    /// As the environment says. `main`: the process that it started, if that is not this one.
    pub(super) fn of_environment(main: Option<u32>) -> Self {
        let socket = std::env::var_os(NOTIFY_SOCKET).filter(|name| !name.is_empty()).and_then(|name| {
            let opened = open(&name);
            opened.inspect_err(|error| tracing::warn!(%error, "the service manager cannot be told anything")).ok()
        });
        Self { socket, main }
    }

    /// The mount can be used.
    pub(super) fn ready(&self, running: &Running) {
        let place = running.mountpoint.path().display();
        self.tell(&format!("READY=1\nSTATUS=mounted {} at {place}", running.config.source));
    }

    /// Tells how far the end is, for as long as it takes.
    pub(super) async fn draining(&self, running: &Running) {
        if self.socket.is_none() {
            std::future::pending::<()>().await;
        }
        self.tell("STOPPING=1");
        loop {
            let status = match running.unsent() {
                Ok(unsent) if unsent.entries == 0 => "ending; everything is on the drive".to_owned(),
                Ok(unsent) => format!("sending: {} at risk, entries left: {}", Bytes(unsent.bytes), unsent.entries),
                Err(error) => format!("ending; what is left is not known: {error}"),
            };
            self.tell(&format!("STATUS={status}\nEXTEND_TIMEOUT_USEC={}", EXTENSION.as_micros()));
            tokio::time::sleep(OFTEN).await;
        }
    }

    fn tell(&self, text: &str) {
        let Some((socket, manager)) = &self.socket else { return };
        let told = match self.main {
            Some(process) => {
                socket.connect_addr(manager).and_then(|()| sys::send_as(socket.as_fd(), text.as_bytes(), process))
            }
            None => socket.send_to_addr(text.as_bytes(), manager).map(drop),
        };
        // It may be gone, or slow: the mount is none the worse.
        if let Err(error) = told {
            tracing::debug!(%error, "the service manager does not listen");
        }
    }
}

fn open(name: &OsString) -> io::Result<(UnixDatagram, SocketAddr)> {
    let manager = match name.as_bytes() {
        [b'@', rest @ ..] => SocketAddr::from_abstract_name(rest)?,
        _ => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    Ok((socket, manager))
}
