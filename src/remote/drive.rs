//! Google Drive v3, and whatever speaks it.
//!
//! A plain translation of [`Remote`] into requests, one file a noun:
//!
//! ```text
//!   items   listing   drives   upload   session   copy   download   answer
//!   export    hidden                                                   what is asked
//!                          client                                      attempts, until one makes sense
//!   request   sending   reply   retry   pace   rate   errors            an attempt, and what comes of it
//!   types     convert   query                                           JSON, and our words for it
//! ```
//!
//! Every call that creates names the new item by an id reserved before, and every other call may be repeated without harm;
//! this is what makes retries safe.

mod answer;
mod client;
mod convert;
mod copy;
mod download;
mod drives;
mod errors;

mod export;
mod hidden;
mod items;
mod listing;
mod pace;
mod query;
mod rate;
mod reply;
mod request;
mod retry;
mod sending;
mod session;
mod types;
mod upload;

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use tokio::sync::OnceCell;
use url::Url;

use super::{
    About, Body, ByteStream, Changes, Cursor, DrivePage, ExportStream, FileId, IdsFor, Item, NewItem, Page, PageToken,
    Patch, Progress, Remote, Result, Source, TrashPage, UploadSession, Write,
};
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
    /// The same for the feed of changes, which is read again and again as it is: to wait for longer than from one time to the next
    /// would spare nobody anything, and make what is seen late for a while after each trouble. Default: 2.5 seconds.
    pub max_feed_backoff: Duration,
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
    /// a limit here would let one stuck reader starve the others. Default: 32, as many as small files are fetched with at one time.
    pub connections: usize,
    /// Bytes of content a second to the drive, for all uploads together. Default: no bound.
    pub upload_rate: Option<u64>,
    /// Bytes of content a second from the drive, for all downloads together. Default: no bound.
    pub download_rate: Option<u64>,
}

impl DriveOptions {
    /// The defaults, for the drive at `api_url`.
    pub fn new(api_url: Url) -> Self {
        Self {
            api_url,
            retry_for: Duration::from_mins(1),
            backoff: Duration::from_secs(1),
            max_backoff: Duration::from_secs(32),
            max_feed_backoff: Duration::from_millis(2500),
            connect_timeout: Duration::from_secs(10),
            read_timeout: Duration::from_mins(1),
            units_per_minute: Some(300_000),
            connections: 32,
            upload_rate: None,
            download_rate: None,
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

    /// The same account over the same connections and at the same pace, for callers who want to know sooner that something
    /// fails, or can wait longer than [`DriveOptions::retry_for`].
    #[must_use]
    pub fn with_patience(&self, retry_for: Duration) -> Self {
        Self { client: Arc::new(self.client.with_patience(retry_for)), root: self.root.clone() }
    }
}

impl Remote for DriveRemote {
    fn about(&self) -> BoxFuture<'_, Result<About>> {
        items::about(&self.client).boxed()
    }

    fn root(&self) -> BoxFuture<'_, Result<FileId>> {
        async { self.root.get_or_try_init(|| items::root(&self.client)).await.cloned() }.boxed()
    }

    fn get<'a>(&'a self, id: &'a FileId) -> BoxFuture<'a, Result<Item>> {
        items::get(&self.client, id).boxed()
    }

    fn list<'a>(&'a self, folders: &'a [FileId], page: Option<&'a PageToken>) -> BoxFuture<'a, Result<Page>> {
        listing::list(&self.client, folders, page).boxed()
    }

    fn named<'a>(&'a self, folder: &'a FileId, name: &'a str) -> BoxFuture<'a, Result<Vec<Item>>> {
        listing::named(&self.client, folder, name).boxed()
    }

    fn hidden<'a>(&'a self, name: &'a str) -> BoxFuture<'a, Result<Vec<Item>>> {
        hidden::named(&self.client, name).boxed()
    }

    fn reserve_hidden(&self) -> BoxFuture<'_, Result<(FileId, FileId)>> {
        hidden::reserve(&self.client).boxed()
    }

    fn drives<'a>(&'a self, page: Option<&'a PageToken>) -> BoxFuture<'a, Result<DrivePage>> {
        drives::list(&self.client, page).boxed()
    }

    fn cursor<'a>(&'a self, drive: Option<&'a FileId>) -> BoxFuture<'a, Result<Cursor>> {
        listing::cursor(&self.client, drive).boxed()
    }

    fn changes<'a>(&'a self, drive: Option<&'a FileId>, cursor: &'a Cursor) -> BoxFuture<'a, Result<Changes>> {
        listing::changes(&self.client, drive, cursor).boxed()
    }

    fn holds_rate(&self) -> bool {
        self.client.download_rate.is_set()
    }

    fn is_scarce(&self) -> bool {
        self.client.is_scarce()
    }

    fn has_spare(&self) -> bool {
        self.client.has_spare()
    }

    fn reserve_ids(&self, count: usize, what: IdsFor) -> BoxFuture<'_, Result<Vec<FileId>>> {
        items::reserve_ids(&self.client, count, what).boxed()
    }

    fn create_bare<'a>(&'a self, new: &'a NewItem) -> BoxFuture<'a, Result<Item>> {
        items::create_bare(&self.client, new).boxed()
    }

    fn create_link<'a>(&'a self, new: &'a NewItem) -> BoxFuture<'a, Result<Item>> {
        items::create_link(&self.client, new).boxed()
    }

    fn update<'a>(&'a self, id: &'a FileId, patch: &'a Patch) -> BoxFuture<'a, Result<Item>> {
        items::update(&self.client, id, patch).boxed()
    }

    fn trash<'a>(&'a self, id: &'a FileId) -> BoxFuture<'a, Result<Item>> {
        items::trash(&self.client, id).boxed()
    }

    fn untrash<'a>(&'a self, id: &'a FileId) -> BoxFuture<'a, Result<Item>> {
        items::untrash(&self.client, id).boxed()
    }

    fn trashed<'a>(&'a self, page: Option<&'a PageToken>) -> BoxFuture<'a, Result<TrashPage>> {
        listing::trashed(&self.client, page).boxed()
    }

    fn delete<'a>(&'a self, id: &'a FileId) -> BoxFuture<'a, Result<()>> {
        items::delete(&self.client, id).boxed()
    }

    fn put<'a>(&'a self, write: &'a Write, content: Bytes) -> BoxFuture<'a, Result<Item>> {
        upload::put(&self.client, write, content).boxed()
    }

    fn small(&self) -> u64 {
        upload::SMALL
    }

    fn largest(&self) -> u64 {
        upload::LARGEST
    }

    fn copy<'a>(&'a self, source: &'a Source, new: &'a NewItem) -> BoxFuture<'a, Result<Item>> {
        copy::copy(&self.client, source, new).boxed()
    }

    fn begin<'a>(&'a self, write: &'a Write, total: Option<u64>) -> BoxFuture<'a, Result<UploadSession>> {
        session::begin(&self.client, write, total).boxed()
    }

    fn send<'a>(
        &'a self,
        session: &'a UploadSession,
        offset: u64,
        total: Option<u64>,
        body: Body,
    ) -> BoxFuture<'a, Result<Progress>> {
        session::send(&self.client, session, offset, total, body).boxed()
    }

    fn progress<'a>(&'a self, session: &'a UploadSession, total: Option<u64>) -> BoxFuture<'a, Result<Progress>> {
        session::progress(&self.client, session, total).boxed()
    }

    fn read<'a>(&'a self, source: &'a Source, range: Range<u64>) -> BoxFuture<'a, Result<ByteStream>> {
        download::read(&self.client, source, range).boxed()
    }

    fn export<'a>(&'a self, id: &'a FileId, media_type: &'a str) -> BoxFuture<'a, Result<ExportStream>> {
        export::export(&self.client, id, media_type).boxed()
    }
}
