//! Numbers for Prometheus, in its text format, at `http://ADDRESS/metrics` for as long as the mount lives.

use std::fmt::{self, Write as _};
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use super::MountError;
use crate::control::{Controlled, Status};

/// The format, as Prometheus names it.
const FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// One number of a status.
struct Number {
    /// Without `drivemount_`.
    name: &'static str,
    kind: Kind,
    help: &'static str,
    /// Its values; with labels if there are several. None: it is not known.
    values: fn(&Status) -> Vec<(String, u64)>,
}

/// As Prometheus has it.
#[derive(Debug, Clone, Copy)]
enum Kind {
    /// Only grows, since the mount.
    Counter,
    /// As it is now.
    Gauge,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
        })
    }
}

/// All that are served. Names stay; new ones may come.
const NUMBERS: [Number; 16] = [
    Number {
        name: "info",
        kind: Kind::Gauge,
        help: "Always 1; the labels say what is mounted where, by which version.",
        values: |status| {
            let at = status.mountpoint.display().to_string();
            let labels = [("mountpoint", at.as_str()), ("source", &status.source), ("version", &status.version)];
            vec![(labels.map(|(name, value)| format!("{name}=\"{}\"", escaped(value))).join(","), 1)]
        },
    },
    Number {
        name: "draining",
        kind: Kind::Gauge,
        help: "1 when the mount is about to end and sends what is left.",
        values: |status| one(u64::from(status.state == "draining")),
    },
    Number {
        name: "downloaded_bytes_total",
        kind: Kind::Counter,
        help: "Bytes of content that arrived from the drive.",
        values: |status| one(status.traffic.downloaded_bytes),
    },
    Number {
        name: "uploaded_bytes_total",
        kind: Kind::Counter,
        help: "Bytes of content that the drive took.",
        values: |status| one(status.traffic.uploaded_bytes),
    },
    Number {
        name: "retries_total",
        kind: Kind::Counter,
        help: "Requests to the drive that had to be repeated.",
        values: |status| one(status.traffic.retries),
    },
    Number {
        name: "requests_total",
        kind: Kind::Counter,
        help: "Requests to the drive, retries included, by call.",
        values: |status| by_call(status, |requests| requests.count),
    },
    Number {
        name: "quota_units_total",
        kind: Kind::Counter,
        help: "What the requests cost in the drive's quota units, by call.",
        values: |status| by_call(status, |requests| requests.units),
    },
    Number {
        name: "unsent_entries",
        kind: Kind::Gauge,
        help: "Entries that the drive does not have as they are here.",
        values: |status| one(status.unsent.entries as u64),
    },
    Number {
        name: "unsent_bytes",
        kind: Kind::Gauge,
        help: "Bytes that would be lost with this machine.",
        values: |status| one(status.unsent.bytes),
    },
    Number {
        name: "unsealed_bytes",
        kind: Kind::Gauge,
        help: "Of the unsent bytes, those of files that are being written.",
        values: |status| one(status.unsent.unsealed_bytes),
    },
    Number {
        name: "conflicts",
        kind: Kind::Gauge,
        help: "Edits that collided with others, and whose copy nobody has renamed or removed yet; neither was lost.",
        values: |status| one(status.conflicts.len() as u64),
    },
    Number {
        name: "cache_used_bytes",
        kind: Kind::Gauge,
        help: "Content of the drive on the local disk.",
        values: |status| one(status.cache.used_bytes),
    },
    Number {
        name: "cache_cap_bytes",
        kind: Kind::Gauge,
        help: "What the cache may take.",
        values: |status| one(status.cache.cap_bytes),
    },
    Number {
        name: "cache_staged_bytes",
        kind: Kind::Gauge,
        help: "Unsent content on the local disk.",
        values: |status| one(status.cache.staged_bytes),
    },
    Number {
        name: "drive_used_bytes",
        kind: Kind::Gauge,
        help: "What is used of the drive's storage.",
        values: |status| one(status.drive.used_bytes),
    },
    Number {
        name: "drive_total_bytes",
        kind: Kind::Gauge,
        help: "The drive's storage; absent if it has no limit.",
        values: |status| status.drive.total_bytes.map_or_else(Vec::new, one),
    },
];

fn one(value: u64) -> Vec<(String, u64)> {
    vec![(String::new(), value)]
}

fn by_call(status: &Status, value: fn(&crate::metrics::Requests) -> u64) -> Vec<(String, u64)> {
    let calls = status.traffic.requests.iter();
    calls.map(|(call, requests)| (format!("call=\"{}\"", escaped(call)), value(requests))).collect()
}

/// A label's value, as the format wants it.
fn escaped(value: &str) -> String {
    value.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// The numbers of a status.
fn text(status: &Status) -> String {
    let mut text = String::new();
    for Number { name, kind, help, values } in &NUMBERS {
        // Into a string nothing can fail.
        let _never = writeln!(text, "# HELP drivemount_{name} {help}\n# TYPE drivemount_{name} {kind}");
        for (labels, value) in values(status) {
            let labels = if labels.is_empty() { labels } else { format!("{{{labels}}}") };
            let _never = writeln!(text, "drivemount_{name}{labels} {value}");
        }
    }
    text
}

/// Takes the address.
pub(super) async fn listen(address: SocketAddr) -> Result<TcpListener, MountError> {
    TcpListener::bind(address).await.map_err(|source| MountError::Metrics { address, source })
}

/// Serves the numbers of `mount` until `end`.
pub(super) async fn serve(listener: TcpListener, mount: Arc<dyn Controlled>, end: CancellationToken) {
    let router = Router::new().route("/metrics", get(move || numbers(Arc::clone(&mount))));
    let served: io::Result<()> = tokio::select! {
        served = axum::serve(listener, router) => served,
        // Whoever asks just now asks again, somebody else.
        () = end.cancelled() => Ok(()),
    };
    if let Err(error) = served {
        tracing::error!(%error, "numbers are not served any more");
    }
}

async fn numbers(mount: Arc<dyn Controlled>) -> Response {
    // Asks the database: not on a thread that drives connections.
    let status = tokio::task::spawn_blocking(move || mount.status()).await;
    match status.unwrap_or_else(|panic| Err(panic.to_string())) {
        Ok(status) => ([(CONTENT_TYPE, FORMAT)], text(&status)).into_response(),
        Err(why) => (StatusCode::INTERNAL_SERVER_ERROR, why).into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_format_and_say_what_they_count() {
        for Number { name, kind, help, .. } in &NUMBERS {
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
            assert_eq!(name.ends_with("_total"), matches!(kind, Kind::Counter), "{name}");
            assert!(help.ends_with('.') && !help.contains('\n'), "{name}");
        }
    }

    #[test]
    fn a_label_cannot_end_itself() {
        assert_eq!(escaped("a\"b\\c\nd"), "a\\\"b\\\\c\\nd");
    }
}
