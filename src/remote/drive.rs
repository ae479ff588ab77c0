//! Google Drive v3, and whatever speaks it.
//!
//! A plain translation of [`Remote`] into requests, one file a noun:
//!
//! ```text
//!   items   listing   upload   session   download   answer      what is asked
//!                          client                               attempts, until one makes sense
//!   request   sending   reply   retry   pace   errors            an attempt, and what comes of it
//!   types     convert   query                                    JSON, and our words for it
//! ```
//!
//! Every call that creates names the new item by an id reserved before, and every other call may be repeated without harm;
//! this is what makes retries safe.

#![expect(dead_code, reason = "the calls that use this come next")]

mod client;
mod convert;
mod errors;
mod items;
mod listing;
mod pace;
mod query;
mod reply;
mod request;
mod retry;
mod sending;
mod session;
mod types;
mod upload;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::OnceCell;
use url::Url;

use super::{FileId, Result};
use crate::auth::TokenSource;
use client::Client;

/// How to talk to a drive. [`DriveOptions::new`] has the defaults.
#[derive(Debug, Clone)]
pub struct DriveOptions {
    /// The root of the API: `https://www.googleapis.com`, or the address of another server that speaks it. Calls go to
    /// `/drive/v3/` below it, uploads to `/upload/drive/v3/`.
    pub api_url: Url,
    /// No attempt begins later than this after the first one of its call; for a download, after the last byte. Default: a
    /// minute, the time in which Drive's quotas fill up again.
    pub retry_for: Duration,
    /// The wait before the second attempt, unless a broken connection allows a shorter one. It doubles with each further
    /// attempt, and is drawn out at random to at most twice its length. Default: a second, as Drive's documentation asks.
    pub backoff: Duration,
    /// Where the doubling ends. Default: 32 seconds, as Drive's documentation asks.
    pub max_backoff: Duration,
    /// Until a connection is there. Default: 10 seconds.
    pub connect_timeout: Duration,
    /// How long a connection may be silent: until an answer begins, between two pieces of it, and while the bytes of an
    /// upload do not get away. There is no limit for a transfer as a whole. Default: a minute, for Drive takes its time over
    /// the last piece of a large upload.
    pub read_timeout: Duration,
    /// The budget of quota units a minute; `None` waits only once the drive refused. Default: 300,000, a little less than the
    /// 325,000 that Drive grants to a user of a project since May 2026. A server without quotas wants `None`.
    pub units_per_minute: Option<u32>,
    /// Connections for content that are kept for the next transfer. How many transfers run at a time is up to the callers:
    /// a limit here would let one stuck reader starve the others. Default: 16.
    pub connections: usize,
}

impl DriveOptions {
    /// The defaults, for the drive at `api_url`.
    pub fn new(api_url: Url) -> Self {
        Self {
            api_url,
            retry_for: Duration::from_mins(1),
            backoff: Duration::from_secs(1),
            max_backoff: Duration::from_secs(32),
            connect_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_mins(1),
            units_per_minute: Some(300_000),
            connections: 16,
        }
    }
}

/// One account on a drive.
#[derive(Debug)]
pub struct DriveRemote {
    client: Arc<Client>,
    root: OnceCell<FileId>,
}

impl DriveRemote {
    /// The account that `tokens` are for. Sends nothing yet. Fails if the address is none, or TLS cannot be set up.
    pub fn new(options: &DriveOptions, tokens: Arc<dyn TokenSource>) -> Result<Self> {
        Ok(Self { client: Arc::new(Client::new(options, tokens)?), root: OnceCell::new() })
    }
}
