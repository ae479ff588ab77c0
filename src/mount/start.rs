//! Putting the rooms together, from the bottom up.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle as Runtime;
use tokio_util::sync::CancellationToken;
use url::Url;

use super::caches::{FACT_PERSON, FACT_SOURCE};
use super::kept::{Facts, Kept, reason};
use super::mountpoint::Mountpoint;
use super::running::{Mount, Running};
use super::signals::Signals;
use super::{Lock, MountError, import, metrics, sign_in as checks, tasks};
use crate::auth::{self, Access, AuthError, LateTokens, StaticToken, TokenSource, Watched};
use crate::book::Book;
use crate::cache::{Cache, CacheError};
use crate::config::{Docs, GOOGLE, ListAhead, MountConfig, Passthrough, Source, TreeSnapshot};
use crate::content::Content;
use crate::error::Kind;
use crate::fs::{self, Fs};
use crate::fuse::{self, KernelCaches};
use crate::remote::drive::{DriveOptions, DriveRemote};
use crate::remote::{About, Quota, Remote, RemoteError};
use crate::server::{self, Server};
use crate::state::{State, StateError, request};
use crate::surroundings::{Need, Surroundings};
use crate::tree::{self, Ino, Tree, TreeError};
use crate::writeback::{self, Writeback};
use crate::{clock, control, sys};

/// How long a start, and one attempt to send something, try to reach the drive. The journal tries again for ever, and can say
/// meanwhile why it has to.
const HASTE: Duration = Duration::from_secs(5);

/// How long a start waits for one answer of the drive.
const FIRST_ANSWER: Duration = Duration::from_secs(15);

/// How much longer than the network a program waits for an answer: so that it hears why there is none.
const GRACE: Duration = Duration::from_secs(5);

/// Bytes that may be under way before those that somebody waits for.
const AHEAD: u64 = 64 << 20;

/// How long a daemon that was told to end may still hold the cache folder: it says that it is unmounted just before its process
/// ends.
pub(super) const HANDOVER: Duration = Duration::from_secs(5);

/// The drive that is to be mounted.
struct Drive {
    url: Url,
    remote: Arc<dyn Remote>,
    /// The same, less patient: for who tries again themselves, or has somebody waiting who can.
    hasty: Arc<dyn Remote>,
    /// How its sign-in fares.
    tokens: Arc<Watched>,
    /// The embedded drive, if the source is a folder of this machine.
    server: Option<Server>,
}

pub(super) async fn start(config: MountConfig, mut kept: Option<Kept>) -> Result<Mount, MountError> {
    let facts = kept.as_ref().and_then(Kept::facts);
    let mut mountpoint = match &facts {
        Some(facts) => Mountpoint::taken(facts.mountpoint.clone(), facts.made),
        None => Mountpoint::prepare(&config.mountpoint, config.occupied)?,
    };
    if config.credentials.is_none() && !matches!(config.source, Source::Local(_)) {
        return Err(MountError::NoSignIn);
    }
    let lock = match kept.as_mut().and_then(|kept| kept.locks.take()) {
        Some(locks) => Lock::inherited(locks),
        None => take_lock(&config, &mountpoint).await?,
    };
    let mut notes = Vec::new();
    if mountpoint.buried {
        notes.push(format!("a dead mount at {} was detached first", mountpoint.path().display()));
    }
    match sys::raise_open_files() {
        Ok(limit) => tracing::debug!(limit, "open files"),
        Err(error) => tracing::warn!(%error, "the limit of open files could not be raised"),
    }
    let state = Arc::new(State::open(&config.cache_dir.join("state.db"))?);
    state.keep_reserve();
    let drive = connect(&config, facts.is_some()).await?;
    let about = if facts.is_some() {
        // Programs wait. Whose drive it is was found out by the first, and is asked again beside.
        None
    } else {
        state.write::<_, StateError>(|tx| Ok(request::forget_all(tx)?))?;
        sign_in(&config, &drive, &state, &mut notes).await?
    };
    let is_reached = about.is_some();
    let (account, quota) = if let Some(about) = &about {
        (about.account.clone(), about.quota)
    } else {
        let quota = facts.as_ref().map_or(Quota { limit: None, used: 0 }, Facts::quota);
        (Tree::account(&state).map_err(MountError::Tree)?.unwrap_or_default(), quota)
    };
    let person = match about {
        Some(about) => {
            state.set_fact(FACT_PERSON, &about.email)?;
            about.email
        }
        None => state.fact(FACT_PERSON)?.unwrap_or_else(|| account.clone()),
    };
    let book = kept.as_ref().map(|kept| (Arc::clone(&kept.book), kept.generation));
    let parts = build(&config, state, &drive, &account, quota, book).await?;
    let recovered = parts.writeback.pending()?.len();
    let aside = parts.writeback.newly_aside().into_iter();
    notes.extend(aside.map(|aside| format!("{} {}; it is kept in {}", aside.path, aside.why, aside.kept.display())));

    let caches = KernelCaches::new(kept.as_ref().map(|kept| &kept.device))
        .map_err(|source| MountError::System { what: "starting a thread", source })?;
    let options = fs::Options {
        owner: config.shown.owner,
        file_mode: config.shown.file_mode,
        dir_mode: config.shown.dir_mode,
        read_only: config.read_only,
        patience: config.network_timeout + GRACE + slowness(&config),
        fsync: config.fsync,
        read_ahead: config.read_ahead,
        control_socket: config.control_socket(),
        passthrough: config.passthrough == Passthrough::Auto,
        is_stacked: sys::disk(&config.cache_dir).is_ok_and(|disk| disk.is_stacked),
    };
    let fs = Fs::new(parts.clone(), options, Arc::new(caches.clone()), Runtime::current());

    if let Some(root) = config.root.as_deref().filter(|_| is_reached) {
        // If that takes long, it is mounted as it was.
        let confirmed = tokio::time::timeout(HASTE, parts.tree.confirm_root(root)).await;
        confirmed.unwrap_or(Ok(())).map_err(MountError::Tree)?;
    }
    if is_reached && parts.tree.is_whole_drive().map_err(MountError::Tree)? {
        // Which shared drives there are is known from the last time, or heard beside all else: nobody waits for it.
        let tree = Arc::clone(&parts.tree);
        tokio::spawn(async move {
            if let Err(error) = tree.list(Ino::SHARED_DRIVES).await {
                tracing::debug!(%error, "not known which shared drives there are");
            }
        });
    }
    if is_reached {
        // What is known from the last time may be long out of date: hear of what happened since before anybody asks. If that
        // takes long, or fails, it goes on beside the mount.
        let heard = tokio::time::timeout(HASTE, parts.tree.catch_up()).await;
        tracing::debug!(?heard, "changes since the last mount");
    }

    let made = mountpoint.is_made();
    let mut news = None;
    if let Some(kept) = kept.as_ref().filter(|_| facts.is_some()) {
        tell_of_death(kept);
        let taken = kept.device.take_over(&fs).map_err(|error| MountError::System {
            what: "going on where the last daemon was",
            source: io::Error::other(error),
        })?;
        news = Some(taken);
    }

    let end = CancellationToken::new();
    let mut jobs = tokio::task::JoinSet::new();
    jobs.spawn(tree::follow::follow(Arc::clone(&parts.tree), config.poll_interval, end.clone()));
    jobs.spawn(know_the_tree(config.clone(), Arc::clone(&parts.tree), end.clone()));
    // Nothing is sent before it is known whose drive it is: ids of another one would be kept for what is sent later.
    let confirmed = CancellationToken::new();
    jobs.spawn(tasks::send_once(confirmed.clone(), Arc::clone(&parts.writeback), end.clone()));

    let socket = config.control_socket();
    let socket = control::listen(&socket).map_err(|source| MountError::CacheDir { dir: socket, source })?;
    let numbers = match config.metrics {
        Some(address) => match metrics::listen(address).await {
            // No reason to end a mount that is there.
            Err(error) if facts.is_some() => {
                tracing::warn!(%error, "no numbers for Prometheus from now on");
                None
            }
            listening => Some(listening?),
        },
        None => None,
    };
    let gone = CancellationToken::new();
    let since = facts.as_ref().map_or_else(clock::now, |facts| facts.since);
    if let Some(kept) = kept.as_ref().filter(|_| facts.is_none()) {
        let mountpoint = mountpoint.path().to_owned();
        let facts = Facts { mountpoint, made, since, limit: quota.limit, used: quota.used };
        kept.note(&facts).map_err(|source| MountError::System { what: "writing the book", source })?;
    }
    let mounted = mount(&config, &mountpoint, &fs, &caches, gone.clone(), kept.as_ref())?;
    if let Some(kept) = &kept {
        let told = kept.ready(lock.files(), kept.log(&config).as_ref().map(AsFd::as_fd));
        told.map_err(|source| MountError::System { what: "telling the keeper", source })?;
    }
    if let Some(news) = news {
        fs.tell(news);
    }
    if facts.is_none() {
        tasks::tune_readahead(mountpoint.path());
    }
    let below = mountpoint.take_below();
    notes.extend(shared_drives(&parts.tree, mountpoint.path()));
    let running = Arc::new(Running::new(config, mountpoint, person, parts, fs, drive.tokens, kept, since, gone));
    if let Some(kept) = &running.kept {
        let alone = running.alone.clone();
        kept.live(&Runtime::current(), alone)
            .map_err(|source| MountError::System { what: "starting a thread", source })?;
    }
    jobs.spawn(Arc::clone(&running.fs).fetch_small_ahead(end.clone()));
    jobs.spawn(tasks::keep_house(Arc::clone(&running), end.clone()));
    jobs.spawn(tasks::heed_sign_in(Arc::clone(&running), end.clone()));
    if is_reached {
        confirmed.cancel();
    } else {
        jobs.spawn(tasks::confirm_account(Arc::clone(&running), account, confirmed, end.clone()));
    }
    jobs.spawn(tasks::heed_storage(Arc::clone(&running), end.clone()));
    if let Some(listener) = numbers {
        if let Ok(address) = listener.local_addr() {
            notes.push(format!("numbers for Prometheus are at http://{address}/metrics"));
        }
        jobs.spawn(metrics::serve(listener, Arc::clone(&running) as Arc<dyn control::Controlled>, end.clone()));
    }
    if let Some(below) = below {
        notes.push(
            "what the folder held is being moved into the drive; `drivemount status` shows how far it is".to_owned(),
        );
        jobs.spawn(import::run(Arc::clone(&running), below, end.clone()));
    }
    let answering = CancellationToken::new();
    let serving = tokio::spawn({
        let (controlled, answering) = (Arc::clone(&running), answering.clone());
        async move { control::serve(socket, controlled, answering).await }
    });
    let signals = Signals::heed().map_err(|source| MountError::System { what: "heeding signals", source })?;
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
        signals,
    })
}

/// Says in the log why there is another daemon.
fn tell_of_death(kept: &Kept) {
    let Some(death) = kept.death else { return };
    let (why, deaths) = (reason(&death), death.deaths);
    tracing::warn!(why, deaths, version = env!("CARGO_PKG_VERSION"), "going on where the last daemon was");
}

/// Sees to it that all of the drive is known, as far as that is wanted.
async fn know_the_tree(config: MountConfig, tree: Arc<Tree>, end: CancellationToken) {
    let is_kept = config.tree_snapshot == TreeSnapshot::Keep && config.root.is_none();
    if is_kept {
        tokio::select! {
            () = tree::snapshot::load(&tree, &config.cache_dir) => {}
            () = end.cancelled() => return,
        }
    }
    let ahead = async {
        if config.list_ahead == ListAhead::All {
            tree::crawl::crawl(Arc::clone(&tree), end.clone()).await;
        }
    };
    let keeping = async {
        if is_kept && !config.read_only {
            tree::snapshot::keep(Arc::clone(&tree), config.cache_dir.clone(), end.clone()).await;
        }
    };
    tokio::join!(ahead, keeping);
}

/// Where the shared drives are, if it is known by now that there are any: the root does not list them.
fn shared_drives(tree: &Tree, mountpoint: &Path) -> Option<String> {
    let count = tree.count_drives().ok().flatten().filter(|&count| count > 0)?;
    let drives = if count == 1 { "1 shared drive is".to_owned() } else { format!("{count} shared drives are") };
    Some(format!("{drives} in {}", mountpoint.join(tree::drives::NAME).display()))
}

/// How much longer a program waits on a line that was made slow: for what may be asked for ahead of it.
fn slowness(config: &MountConfig) -> Duration {
    config.limits.download_rate.map_or(Duration::ZERO, |rate| Duration::from_secs(AHEAD / rate.0.max(1)))
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

/// The drive behind a source, and how to talk to it. Sends nothing yet. `follows`: another daemon, whose mount does not end because
/// the credentials cannot be opened just now.
async fn connect(config: &MountConfig, follows: bool) -> Result<Drive, MountError> {
    let mut server = None;
    let (url, tokens): (Url, Arc<dyn TokenSource>) = match (&config.source, &config.credentials) {
        (Source::Local(dir), _) => {
            let started = Server::start(server::Options::new(dir)).await?;
            let url = started.url();
            let token =
                StaticToken::new("the embedded drive", started.token()).map_err(|error| cannot_open(config, error))?;
            server = Some(started);
            (url.parse().map_err(|_| bad_address(&url))?, Arc::new(token))
        }
        (_, None) => return Err(MountError::NoSignIn),
        (source, Some(credentials)) => {
            let url = match source {
                Source::Http(url) => url.clone(),
                _ => GOOGLE.parse().map_err(|_| bad_address(GOOGLE))?,
            };
            let tokens = match auth::open(credentials, access(config)).await {
                Err(error) if follows => {
                    tracing::warn!(%error, "no sign-in for now");
                    Arc::new(LateTokens::new(credentials.clone(), access(config)))
                }
                opened => opened.map_err(|error| cannot_open(config, error))?,
            };
            (config.api_url.clone().unwrap_or(url), tokens)
        }
    };
    let mut options = DriveOptions::new(url.clone());
    options.retry_for = config.network_timeout;
    // At random drawn out to at most twice that.
    options.max_feed_backoff = config.poll_interval / 2;
    options.upload_rate = config.limits.upload_rate.map(|rate| rate.0);
    options.download_rate = config.limits.download_rate.map(|rate| rate.0);
    if url.as_str().trim_end_matches('/') != GOOGLE {
        // Only Google counts units; another server says itself when it wants fewer requests.
        options.units_per_minute = None;
    }
    let tokens = Arc::new(Watched::new(tokens));
    let remote = DriveRemote::new(&options, Arc::clone(&tokens) as Arc<dyn TokenSource>).map_err(MountError::Remote)?;
    let hasty = remote.with_patience(HASTE.min(options.retry_for));
    Ok(Drive { url, tokens, remote: Arc::new(remote), hasty: Arc::new(hasty), server })
}

fn cannot_open(config: &MountConfig, error: AuthError) -> MountError {
    match error {
        AuthError::NotGranted { why } => MountError::NotGranted { why },
        error => MountError::Auth { error, remedy: checks::remedy(config.credentials.as_ref()) },
    }
}

/// What a mount needs to be allowed.
fn access(config: &MountConfig) -> Access {
    if config.read_only { Access::ReadOnly } else { Access::ReadWrite }
}

fn bad_address(url: &str) -> MountError {
    MountError::Remote(RemoteError::new(Kind::Invalid, "mount", format!("{url} is no address")))
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
    let credentials = config.credentials.as_ref();
    checks::token(config, &*drive.tokens, &url).await?;
    checks::check_place(credentials, &*drive.tokens, &drive.url)?;
    checks::check_scopes(config, &*drive.tokens, &url)?;
    match in_time(config, "about.get", drive.hasty.about()).await {
        Ok(about) => {
            notes.extend(checks::notes(config, &*drive.tokens, &about));
            Ok(Some(about))
        }
        Err(error) if error.kind == Kind::SignIn => {
            Err(MountError::Refused { url, why: error.message, remedy: checks::remedy(credentials) })
        }
        Err(error) if matches!(error.kind, Kind::Unreachable | Kind::TimedOut | Kind::Server) => {
            // Whose drive it is, at another address than the last time, only that drive can say.
            let was = state.fact(FACT_SOURCE)?;
            let is_elsewhere = was.is_some_and(|was| was != config.source.to_string());
            if is_elsewhere || Tree::account(state).map_err(MountError::Tree)?.is_none() {
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
    book: Option<(Arc<Book>, u64)>,
) -> Result<fs::Parts, MountError> {
    let remote = Arc::clone(&drive.remote);
    let tree = Tree::open(Arc::clone(&state), Arc::clone(&remote), account, config.root.as_deref()).await;
    let tree = tree.map_err(|error| match error {
        TreeError::Remote(error) if error.kind == Kind::Unreachable => {
            MountError::Unreachable { url: drive.url.origin().ascii_serialization(), why: error.message }
        }
        error => MountError::Tree(error),
    })?;
    tree.show_documents(config.docs).map_err(MountError::Tree)?;
    // For people who look at cache folders.
    state.set_fact(FACT_SOURCE, &config.source.to_string())?;
    let blocks = config.cache_dir.join("blocks");
    let cap = config.cache_size.0;
    let free = config.limits.free_space.map(|size| size.0);
    let docs = config.docs;
    let cache = tokio::task::spawn_blocking(move || {
        let cache = Cache::open(&blocks, cap)?.leaving(free);
        if docs != Docs::Export {
            // Nothing is known of them any more when documents are shown as exports again.
            cache.clear_wholes()?;
        }
        Ok::<_, CacheError>(cache)
    });
    let cache = cache.await;
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
        book.as_ref().map(|(book, _)| Arc::clone(book)),
        writeback::Options {
            sync_interval: config.sync_interval,
            transfers: config.limits.transfers,
            use_trash: config.use_trash,
        },
    )?;
    Ok(fs::Parts { tree, content, writeback, remote, quota, book })
}

fn mount(
    config: &MountConfig,
    mountpoint: &Mountpoint,
    fs: &Arc<Fs>,
    caches: &KernelCaches,
    gone: CancellationToken,
    kept: Option<&Kept>,
) -> Result<fuse::Mounted, MountError> {
    let options = fuse::MountOptions {
        source: config.source.to_string(),
        read_only: config.read_only,
        allow_other: config.allow_other,
    };
    let began = clock::Instant::now();
    let mounted = fuse::mount(
        Arc::clone(fs),
        caches,
        mountpoint.path(),
        &options,
        Runtime::current(),
        gone,
        kept.map(|kept| &kept.device),
    );
    tracing::debug!(took = ?began.elapsed(), "kernel mount");
    mounted.map_err(|error| MountError::Kernel {
        mountpoint: mountpoint.path().to_owned(),
        why: kernel_help(&error, mountpoint.path()),
    })
}

/// What the kernel's refusal means, and what to do about it here.
fn kernel_help(error: &io::Error, mountpoint: &Path) -> String {
    let here = Surroundings::here();
    let device = File::options().read(true).write(true).open("/dev/fuse");
    match device {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            format!("this machine has no /dev/fuse: {}", here.fix(Need::Device))
        }
        Err(error) => format!("/dev/fuse cannot be opened ({error}): {}", here.fix(Need::DeviceAccess)),
        Ok(_) if !mountpoint.exists() => "the folder was removed meanwhile; mount once more".to_owned(),
        // Not the superuser, and no helper to ask.
        Ok(_) if error.kind() == io::ErrorKind::NotFound => {
            format!("only root may mount by itself, and there is no `fusermount3`: {}", here.fix(Need::Helper))
        }
        Ok(_) if !sys::is_writable(mountpoint) => {
            format!("the folder belongs to somebody else ({}); mount at one of your own, or as root", text(error))
        }
        Ok(_) => format!("the kernel refuses it ({}): {}", text(error), here.fix(Need::Rights)),
    }
}

/// What the system, or its helper, said: in one line.
fn text(error: &io::Error) -> String {
    error.to_string().trim().replace('\n', "; ")
}
