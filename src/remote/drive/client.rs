//! [`Client`]: sends requests, one attempt or as many as it takes.
//!
//! Every attempt waits for its turn at the pacer, gets a token, is counted, and ends in a [`Reply`] or a [`Failure`]. A refused
//! token is handed back here, and a refusal for too many requests slows everybody down here, so that no caller can forget it.
//!
//! Two pools of connections, because the two sorts of traffic want opposites. Metadata is many small answers, which HTTP/2
//! carries over one connection and gzip makes short. Content is few long bodies: over HTTP/1.1 each has a TCP connection of
//! its own (one for all would cap the speed of them all, which is why `rclone` avoids HTTP/2 for Drive), and without
//! compression its lengths and ranges are those of the file.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, DATE, HeaderMap, HeaderValue};
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;

use super::errors::{Again, Attempt, Failure};
use super::pace::{Admitted, Pacer};
use super::rate::Rate;
use super::reply::Reply;
use super::request::{Addresses, Call, ROOT, Request};
use super::retry::{Patience, Retry};
use super::sending::Sending;
use super::{DriveOptions, convert};
use crate::auth::{AccessToken, AuthError, TokenSource};
use crate::clock::Timestamp;
use crate::error::{self, Kind};
use crate::remote::{Body, Item, RemoteError, Result};
use crate::{metrics, net};

/// Drive compresses JSON only for who also says `gzip` in the name of the program.
const USER_AGENT: &str = concat!("drivemount/", env!("CARGO_PKG_VERSION"), " (gzip)");

/// A connection of HTTP/2 that carries requests and is silent for this long is asked for a sign of life. Else, after a laptop
/// changed its network, all requests would go into the void of the one connection that they share.
const SIGN_OF_LIFE: Duration = Duration::from_secs(20);

/// A connection that takes nothing of a body, or is silent after it, for this long hangs: a new one is tried. Shorter than for what is
/// read: a drive may take its time to find an answer, but not to take bytes.
const UPLOAD_IDLE: Duration = Duration::from_secs(25);

/// Memory for files that are taken in whole, all together, in KiB.
const WHOLE_FILES: usize = 48 << 10;

/// The least that the longest wait for the feed of changes may be.
const LEAST_FEED_BACKOFF: Duration = Duration::from_millis(100);

#[derive(Debug, Clone)]
pub(super) struct Client {
    pub(super) addresses: Addresses,
    metadata: reqwest::Client,
    media: reqwest::Client,
    tokens: Arc<dyn TokenSource>,
    pacer: Arc<Pacer>,
    upload_rate: Arc<Rate>,
    pub(super) download_rate: Arc<Rate>,
    /// Memory for files that are taken in whole, in KiB.
    pub(super) whole_files: Arc<Semaphore>,
    /// The drive does not give the current revision of a file by its name.
    names_refused: Arc<AtomicBool>,
    patience: Patience,
    max_feed_backoff: Duration,
    /// How long a connection may be silent.
    idle: Duration,
    /// How long until an answer begins, at most, for a request whose body needs no time.
    first: Duration,
}

impl Client {
    pub(super) fn new(options: &DriveOptions, tokens: Arc<dyn TokenSource>) -> Result<Self> {
        let addresses = Addresses::new(options.api_url.clone())?;
        let build = |configure: &dyn Fn(reqwest::ClientBuilder) -> reqwest::ClientBuilder| {
            let client = net::client(&options.api_url, |builder| {
                configure(builder)
                    .user_agent(USER_AGENT)
                    .connect_timeout(options.connect_timeout)
                    // The kernel gives up no later than we do: what it delivers afterwards would land on what is sent next.
                    .tcp_user_timeout(options.read_timeout.min(UPLOAD_IDLE))
            });
            client.map_err(|error| broken(ROOT, error).error)
        };
        Ok(Self {
            metadata: build(&|builder| {
                builder.http2_keep_alive_interval(SIGN_OF_LIFE).http2_keep_alive_timeout(SIGN_OF_LIFE / 2)
            })?,
            media: build(&|builder| {
                let identity = HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static("identity"))]);
                builder.http1_only().no_gzip().default_headers(identity).pool_max_idle_per_host(options.connections)
            })?,
            addresses,
            tokens,
            pacer: Arc::new(Pacer::new(options.units_per_minute, options.backoff)),
            upload_rate: Arc::new(Rate::new(options.upload_rate)),
            download_rate: Arc::new(Rate::new(options.download_rate)),
            whole_files: Arc::new(Semaphore::new(WHOLE_FILES)),
            names_refused: Arc::default(),
            patience: Patience { total: options.retry_for, first: options.backoff, max: options.max_backoff },
            max_feed_backoff: options.max_feed_backoff,
            idle: options.read_timeout,
            first: options.connect_timeout + options.read_timeout,
        })
    }

    /// The same connections and the same pace, for callers with another patience.
    pub(super) fn with_patience(&self, total: Duration) -> Self {
        Self { patience: Patience { total, ..self.patience }, ..self.clone() }
    }

    /// The same for reading the feed of changes.
    pub(super) fn for_feed(&self) -> Self {
        let max = self.max_feed_backoff.min(self.patience.max).max(LEAST_FEED_BACKOFF);
        Self { patience: Patience { first: self.patience.first.min(max), max, ..self.patience }, ..self.clone() }
    }

    /// Whether the drive gives a revision by its name, as far as is known.
    pub(super) fn gives_by_name(&self) -> bool {
        !self.names_refused.load(Ordering::Relaxed)
    }

    /// It does not.
    pub(super) fn refuses_names(&self) {
        if !self.names_refused.swap(true, Ordering::Relaxed) {
            tracing::debug!(
                "the drive does not give current revisions by name: each download is checked by a question"
            );
        }
    }

    /// Whether the drive asked for fewer requests a moment ago.
    pub(super) fn is_scarce(&self) -> bool {
        self.pacer.is_scarce()
    }

    /// Whether there is room for requests that nobody waits for.
    pub(super) fn has_spare(&self) -> bool {
        self.pacer.has_spare()
    }

    /// For a call that begins now.
    pub(super) fn retry(&self) -> Retry {
        Retry::new(self.patience)
    }

    /// As many attempts as it takes for `read` to understand the body of a successful answer.
    pub(super) async fn call<T>(&self, request: &Request, read: impl Fn(&[u8]) -> Attempt<T>) -> Result<T> {
        self.dated_call(request, |body, _| read(body)).await
    }

    /// As [`Self::call`], for who wants to know when the drive gave the answer, by its own clock to the second.
    async fn dated_call<T>(
        &self,
        request: &Request,
        read: impl Fn(&[u8], Option<Timestamp>) -> Attempt<T>,
    ) -> Result<T> {
        let mut retry = self.retry();
        loop {
            let attempt = async {
                let reply = self.attempt(request).await?;
                let date = reply.header(DATE).and_then(Timestamp::parse_http_date);
                read(&reply.body().await?, date)
            };
            match attempt.await {
                Ok(value) => return Ok(value),
                Err(failure) => retry.after(failure).await?,
            }
        }
    }

    /// As many attempts as it takes, for an answer in JSON.
    pub(super) async fn json<T: DeserializeOwned>(&self, request: &Request) -> Result<T> {
        self.call(request, |body| Ok(parse(request.call, body)?)).await
    }

    /// As [`Self::json`], with the time of the drive's answer, by its own clock to the second.
    pub(super) async fn dated_json<T: DeserializeOwned>(&self, request: &Request) -> Result<(T, Option<Timestamp>)> {
        self.dated_call(request, |body, date| Ok((parse(request.call, body)?, date))).await
    }

    /// As many attempts as it takes, for an answer that is an item.
    pub(super) async fn item(&self, request: &Request) -> Result<Item> {
        convert::item(request.call, self.json(request).await?)
    }

    /// One attempt that ends in success.
    pub(super) async fn attempt(&self, request: &Request) -> Attempt<Reply> {
        let reply = self.exchange(request).await?;
        if reply.status().is_success() {
            self.tokens.accept(&reply.token);
            Ok(reply)
        } else {
            Err(self.failure(reply).await)
        }
    }

    /// One attempt that ends in any answer.
    pub(super) async fn exchange(&self, request: &Request) -> Attempt<Reply> {
        match request.body.as_slice() {
            [] => self.exchange_short(request, None).await,
            [body] => self.exchange_short(request, Some(body.clone())).await,
            parts => {
                let length = parts.iter().map(|part| part.len() as u64).sum();
                let stream = stream::iter(parts.to_vec()).map(Ok).boxed();
                self.exchange_long(request, Body { length, stream }).await
            }
        }
    }

    /// One attempt with a body that takes no time to send.
    async fn exchange_short(&self, request: &Request, body: Option<Bytes>) -> Attempt<Reply> {
        let (admitted, token) = self.admit(request.call).await?;
        let mut outgoing = outgoing(request, &token)?;
        *outgoing.body_mut() = body.map(Into::into);
        let answer = tokio::time::timeout(self.first, self.http(request.call).execute(outgoing)).await;
        let answer = answer.map_err(|_| silent(request.call))?.map_err(|error| broken(request.call, error))?;
        Ok(self.reply(request.call, answer, token, admitted))
    }

    /// One attempt with a body that takes its time, or that can be had only once.
    pub(super) async fn exchange_long(&self, request: &Request, body: Body) -> Attempt<Reply> {
        let (admitted, token) = self.admit(request.call).await?;
        let mut outgoing = outgoing(request, &token)?;
        // Said here, because a stream has no length: it would go in chunks.
        outgoing.headers_mut().insert(CONTENT_LENGTH, body.length.into());
        let (stream, sending) = Sending::new(body, Arc::clone(&self.upload_rate));
        *outgoing.body_mut() = Some(reqwest::Body::wrap_stream(stream));
        let answer = tokio::select! {
            answer = self.http(request.call).execute(outgoing) => answer.map_err(|error| broken(request.call, error)),
            () = sending.stalled(self.idle.min(UPLOAD_IDLE)) => Err(silent(request.call)),
        };
        match (answer, sending.take_error()) {
            (Ok(answer), _) => Ok(self.reply(request.call, answer, token, admitted)),
            (Err(_), Some(error)) => Err(unreadable(request.call, &error).into()),
            (Err(failure), None) => Err(failure),
        }
    }

    fn reply(&self, call: Call, answer: reqwest::Response, token: AccessToken, admitted: Admitted) -> Reply {
        // A piece of an upload is taken with a status of redirection.
        if answer.status().is_success() || answer.status().is_redirection() {
            self.pacer.taken(admitted);
        }
        Reply::new(call, answer, self.idle, token, admitted)
    }

    /// What an answer that is no success means. The sources of tokens and of pace learn of it.
    pub(super) async fn failure(&self, reply: Reply) -> Failure {
        let (token, admitted) = (reply.token.clone(), reply.admitted);
        let failure = reply.failure().await;
        if failure.again == Again::NewToken {
            self.tokens.reject(&token);
        }
        if failure.crowded {
            self.pacer.refused(admitted, failure.error.retry_after);
        }
        failure
    }

    /// Waits for the turn of a request, and gives it a token.
    async fn admit(&self, call: Call) -> Attempt<(Admitted, AccessToken)> {
        let admitted = self.pacer.admit(call.units).await;
        let token = self.tokens.token().await.map_err(|error| no_token(&error))?;
        metrics::request(call.name, call.units);
        Ok((admitted, token))
    }

    fn http(&self, call: Call) -> &reqwest::Client {
        if call.media { &self.media } else { &self.metadata }
    }
}

/// `request` with a token, for the network.
fn outgoing(request: &Request, token: &AccessToken) -> Result<reqwest::Request> {
    let mut bearer = HeaderValue::try_from(format!("Bearer {}", token.expose()))
        .map_err(|_| RemoteError::new(Kind::SignIn, "token", "the access token cannot stand in a header"))?;
    bearer.set_sensitive(true);
    let mut outgoing = reqwest::Request::new(request.method.clone(), request.url.clone());
    *outgoing.headers_mut() = request.headers.clone();
    outgoing.headers_mut().insert(AUTHORIZATION, bearer);
    Ok(outgoing)
}

/// An answer in JSON.
pub(super) fn parse<T: DeserializeOwned>(call: Call, body: &[u8]) -> Result<T> {
    serde_json::from_slice(body).map_err(|error| {
        let place = format!("no JSON of the expected form (line {}, column {})", error.line(), error.column());
        convert::nonsense(call, place)
    })
}

/// No answer, or no end of it, for lack of a connection.
pub(super) fn broken(call: Call, error: reqwest::Error) -> Failure {
    let (kind, again, what) = if error.is_connect() {
        (Kind::Unreachable, Again::Soon, "the drive cannot be reached")
    } else if error.is_timeout() {
        (Kind::TimedOut, Again::Soon, "the drive did not answer in time")
    } else if error.is_builder() || error.is_redirect() {
        (Kind::Protocol, Again::No, "the drive sent us nowhere")
    } else {
        (Kind::Unreachable, Again::Soon, "the connection to the drive broke")
    };
    Failure::new(RemoteError::new(kind, call.name, format!("{what}: {}", net::cause(error))), again)
}

/// No answer, or no end of it, within the time that the drive has.
pub(super) fn silent(call: Call) -> Failure {
    Failure::new(RemoteError::new(Kind::TimedOut, call.name, "the drive did not answer in time"), Again::Soon)
}

fn no_token(error: &AuthError) -> Failure {
    let again = if error.kind().retry() == error::Retry::Soon { Again::Later } else { Again::No };
    Failure::new(RemoteError::new(error.kind(), "token", error.to_string()), again)
}

fn unreadable(call: Call, error: &std::io::Error) -> RemoteError {
    RemoteError::new(Kind::of_io(error), call.name, format!("cannot read what is to be sent: {error}"))
}
