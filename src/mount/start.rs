//! Putting the rooms together, from the bottom up.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle as Runtime;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::caches::FACT_SOURCE;
use super::mountpoint::Mountpoint;
use super::running::{Mount, Running};
use super::{Lock, MountError, tasks};
use crate::auth::{AuthorizedUser, StaticToken, TokenFile, TokenSource};
use crate::cache::Cache;
use crate::config::{Credentials, GOOGLE, MountConfig, Source};
use crate::content::Content;
use crate::error::Kind;
use crate::fs::{self, Fs};
use crate::fuse::{self, KernelCaches};
use crate::remote::drive::{DriveOptions, DriveRemote};
use crate::remote::{About, Quota, Remote, RemoteError};
use crate::server::{self, Server};
use crate::state::State;
use crate::tree::{self, Tree, TreeError};
use crate::writeback::Writeback;
use crate::{clock, control, sys};

/// How long a start, and one attempt to send something, try to reach the drive. The journal tries again for ever, and can say
/// meanwhile why it has to.
const HASTE: Duration = Duration::from_secs(5);

/// How long a start waits for one answer of the drive.
const FIRST_ANSWER: Duration = Duration::from_secs(15);

/// How much longer than the network a program waits for an answer: so that it hears why there is none.
const GRACE: Duration = Duration::from_secs(5);

/// How long a daemon that was told to end may still hold the cache folder: it says that it is unmounted just before its process
/// ends.
pub(super) const HANDOVER: Duration = Duration::from_secs(5);

/// The drive that is to be mounted.
struct Drive {
    url: Url,
    remote: Arc<dyn Remote>,
    /// The same, less patient: for who tries again themselves, or has somebody waiting who can.
    hasty: Arc<dyn Remote>,
    /// The embedded drive, if the source is a folder of this machine.
    server: Option<Server>,
}

pub(super) async fn start(config: MountConfig) -> Result<Mount, MountError> {
    let mountpoint = Mountpoint::prepare(&config.mountpoint)?;
    if config.credentials.is_none() && !matches!(config.source, Source::Local(_)) {
        return Err(MountError::NoSignIn);
    }
    let lock = take_lock(&config, &mountpoint).await?;
    let mut notes = Vec::new();
    if mountpoint.buried {
        notes.push(format!("a dead mount at {} was detached first", mountpoint.path().display()));
    }
    match sys::raise_open_files() {
        Ok(limit) => tracing::debug!(limit, "open files"),
        Err(error) => tracing::warn!(%error, "the limit of open files could not be raised"),
    }
    let state = Arc::new(State::open(&config.cache_dir.join("state.db"))?);
    let drive = connect(&config).await?;
    let about = sign_in(&config, &drive, &state, &mut notes).await?;
    let is_reached = about.is_some();
    let (account, quota) = match about {
        Some(about) => (about.account, about.quota),
        None => (Tree::account(&state).map_err(MountError::Tree)?.unwrap_or_default(), Quota { limit: None, used: 0 }),
    };
    let parts = build(&config, state, &drive, &account, quota).await?;
    let recovered = parts.writeback.pending()?.len();
    let aside = parts.writeback.set_aside().into_iter();
    notes.extend(aside.map(|aside| format!("{} {}; it is kept in {}", aside.path, aside.why, aside.kept.display())));

    let caches = KernelCaches::new().map_err(|source| MountError::System { what: "starting a thread", source })?;
    let options = fs::Options {
        owner: sys::user_and_group(),
        read_only: config.read_only,
        patience: config.network_timeout + GRACE,
        control_socket: config.control_socket(),
    };
    let fs = Fs::new(parts.clone(), options, Arc::new(caches.clone()), Runtime::current());

    if is_reached {
        // What is known from the last time may be long out of date: hear of what happened since before anybody asks. If that
        // takes long, or fails, it goes on beside the mount.
        let heard = tokio::time::timeout(HASTE, parts.tree.catch_up()).await;
        tracing::debug!(?heard, "changes since the last mount");
    }

    let end = CancellationToken::new();
    let mut jobs = tokio::task::JoinSet::new();
    jobs.spawn(tree::follow::follow(Arc::clone(&parts.tree), config.poll_interval, end.clone()));
    jobs.spawn(Arc::clone(&parts.writeback).run(end.clone()));

    let socket = config.control_socket();
    let socket = control::listen(&socket).map_err(|source| MountError::CacheDir { dir: socket, source })?;
    let gone = CancellationToken::new();
    let mounted = mount(&config, &mountpoint, &fs, &caches, gone.clone())?;
    tasks::tune_readahead(mountpoint.path());
    let running = Arc::new(Running::new(config, mountpoint, account, parts, fs, gone));
    jobs.spawn(tasks::keep_house(Arc::clone(&running), end.clone()));
    let answering = CancellationToken::new();
    let serving = tokio::spawn({
        let (controlled, answering) = (Arc::clone(&running), answering.clone());
        async move { control::serve(socket, controlled, answering).await }
    });
    tracing::info!(mountpoint = %running.mountpoint.path().display(), source = %running.config.source, "mounted");
    Ok(Mount {
        running,
        recovered,
        notes,
        mounted: Some(mounted),
        end,
        jobs,
        answering,
        serving,
        server: drive.server,
        lock,
    })
}

async fn take_lock(config: &MountConfig, mountpoint: &Mountpoint) -> Result<Lock, MountError> {
    let until = clock::Instant::now() + HANDOVER;
    loop {
        match Lock::take(&config.cache_dir, mountpoint.path()) {
            // A lock has no event to wait for.
            Err(MountError::InUse { .. }) if clock::Instant::now() < until => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            taken => return taken,
        }
    }
}

/// The drive behind a source, and how to talk to it. Sends nothing yet.
async fn connect(config: &MountConfig) -> Result<Drive, MountError> {
    let mut server = None;
    let (url, tokens): (Url, Arc<dyn TokenSource>) = match (&config.source, &config.credentials) {
        (Source::Local(dir), _) => {
            let started = Server::start(server::Options::new(dir)).await?;
            let (url, token) = (started.url(), StaticToken::new("the embedded drive", started.token())?);
            server = Some(started);
            (url.parse().map_err(|_| bad_address(&url))?, Arc::new(token))
        }
        (_, None) => return Err(MountError::NoSignIn),
        (source, Some(credentials)) => {
            let url = match source {
                Source::Http(url) => url.clone(),
                _ => GOOGLE.parse().map_err(|_| bad_address(GOOGLE))?,
            };
            (config.api_url.clone().unwrap_or(url), token_source(credentials).await?)
        }
    };
    let mut options = DriveOptions::new(url.clone());
    options.retry_for = config.network_timeout;
    if url.as_str().trim_end_matches('/') != GOOGLE {
        // Only Google counts units; another server says itself when it wants fewer requests.
        options.units_per_minute = None;
    }
    let remote = DriveRemote::new(&options, tokens).map_err(MountError::Remote)?;
    let hasty = remote.with_patience(HASTE.min(options.retry_for));
    Ok(Drive { url, remote: Arc::new(remote), hasty: Arc::new(hasty), server })
}

fn bad_address(url: &str) -> MountError {
    MountError::Remote(RemoteError::new(Kind::Invalid, "mount", format!("{url} is no address")))
}

async fn token_source(credentials: &Credentials) -> Result<Arc<dyn TokenSource>, MountError> {
    Ok(match credentials {
        Credentials::Token(token) => Arc::new(StaticToken::new("--token or $DRIVEMOUNT_TOKEN", token)?),
        Credentials::TokenFile(path) => Arc::new(TokenFile::new(path.clone())),
        Credentials::AuthorizedUser(path) => Arc::new(AuthorizedUser::open(path.clone()).await?),
    })
}

/// Asks whose drive it is. If it cannot be reached but was mounted here before, it is mounted all the same (`None`): what is
/// cached can be read, what is written waits.
async fn sign_in(
    config: &MountConfig,
    drive: &Drive,
    state: &State,
    notes: &mut Vec<String>,
) -> Result<Option<About>, MountError> {
    let url = drive.url.origin().ascii_serialization();
    match in_time(config, "about.get", drive.hasty.about()).await {
        Ok(about) => Ok(Some(about)),
        Err(error) if error.kind == Kind::SignIn => Err(MountError::Refused { url, why: error.message }),
        Err(error) if matches!(error.kind, Kind::Unreachable | Kind::TimedOut | Kind::Server) => {
            if Tree::account(state).map_err(MountError::Tree)?.is_none() {
                return Err(MountError::Unreachable { url, why: error.message });
            }
            notes.push(format!(
                "the drive at {url} does not serve now ({}): what is cached can be read, what is written is kept and sent later",
                error.message
            ));
            Ok(None)
        }
        Err(error) => Err(MountError::Remote(error)),
    }
}

/// Bounds the wait for a drive that takes a request and says nothing: somebody sits before the start.
async fn in_time<T>(
    config: &MountConfig,
    call: &'static str,
    answer: impl Future<Output = Result<T, RemoteError>>,
) -> Result<T, RemoteError> {
    let patience = FIRST_ANSWER.min(config.network_timeout);
    let answer = tokio::time::timeout(patience, answer).await;
    answer.unwrap_or_else(|_| {
        let message = format!("no answer within {} s", patience.as_secs());
        Err(RemoteError::new(Kind::TimedOut, call, message))
    })
}

async fn build(
    config: &MountConfig,
    state: Arc<State>,
    drive: &Drive,
    account: &str,
    quota: Quota,
) -> Result<fs::Parts, MountError> {
    let remote = Arc::clone(&drive.remote);
    let tree = Tree::open(Arc::clone(&state), Arc::clone(&remote), account).await;
    let tree = tree.map_err(|error| match error {
        TreeError::Remote(error) if error.kind == Kind::Unreachable => {
            MountError::Unreachable { url: drive.url.origin().ascii_serialization(), why: error.message }
        }
        error => MountError::Tree(error),
    })?;
    // For people who look at cache folders.
    state.set_fact(FACT_SOURCE, &config.source.to_string())?;
    let blocks = config.cache_dir.join("blocks");
    let cap = config.cache_size.0;
    let cache = tokio::task::spawn_blocking(move || Cache::open(&blocks, cap)).await;
    let cache = Arc::new(
        cache.map_err(|panic| MountError::System { what: "opening the cache", source: io::Error::other(panic) })??,
    );
    let content = Content::new(cache, Arc::clone(&remote), Runtime::current());
    let writeback = Writeback::open(
        state,
        Arc::clone(&tree),
        Arc::clone(&content),
        Arc::clone(&drive.hasty),
        &config.cache_dir.join("staging"),
        Runtime::current(),
    )?;
    Ok(fs::Parts { tree, content, writeback, remote, quota })
}

fn mount(
    config: &MountConfig,
    mountpoint: &Mountpoint,
    fs: &Arc<Fs>,
    caches: &KernelCaches,
    gone: CancellationToken,
) -> Result<fuse::Mounted, MountError> {
    let options = fuse::MountOptions {
        source: config.source.to_string(),
        read_only: config.read_only,
        allow_other: config.allow_other,
    };
    let began = clock::Instant::now();
    let mounted = fuse::mount(Arc::clone(fs), caches, mountpoint.path(), &options, Runtime::current(), gone);
    tracing::debug!(took = ?began.elapsed(), "kernel mount");
    mounted.map_err(|error| MountError::Kernel { mountpoint: mountpoint.path().to_owned(), why: kernel_help(&error) })
}

/// What the kernel's refusal means, and what to do about it.
fn kernel_help(error: &io::Error) -> String {
    let device = std::path::Path::new("/dev/fuse");
    if !device.exists() {
        return "this machine has no /dev/fuse. On a machine of your own: `modprobe fuse`; in Docker: `docker run --device \
                /dev/fuse --cap-add SYS_ADMIN`; in Kubernetes: a device plugin for /dev/fuse, or a privileged pod"
            .to_owned();
    }
    match error.kind() {
        io::ErrorKind::PermissionDenied => "no permission to use /dev/fuse. Run as root, or install fuse3 (for `fusermount3`) and \
                                            make /dev/fuse readable and writable for this user; in Docker add `--cap-add SYS_ADMIN`"
            .to_owned(),
        io::ErrorKind::NotFound => "only root may mount by itself; other users need `fusermount3`: install the package fuse3".to_owned(),
        _ => error.to_string(),
    }
}
