//! `drivemount serve`: runs the embedded drive.

use std::env;
use std::fs;
use std::io::{self, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};

use super::{Exit, Failure};
use crate::config::{Bytes, parse_duration};
use crate::server::{Limits, Options, Rule, Script, Server, ServerError};

/// Where the token may come from, beside the flags: arguments of a process are seen by everybody on the machine.
const TOKEN_VARIABLE: &str = "DRIVEMOUNT_SERVE_TOKEN";

/// Run a Drive-compatible server on this machine
///
/// It speaks the Google Drive v3 protocol and keeps everything in one folder. When it can be used it prints one line with its
/// address, and it runs until it is interrupted.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Folder of the drive's data; made if it does not exist
    #[arg(long, value_name = "DIR")]
    data: PathBuf,
    /// Where to listen; port 0 takes any free one
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:0", value_parser = parse_address)]
    listen: SocketAddr,
    /// Token that clients must show; without any, one is made and kept in DIR/token
    ///
    /// Other users of the machine can see arguments: rather use --token-file, or the variable `DRIVEMOUNT_SERVE_TOKEN`.
    #[arg(long, value_name = "TOKEN", conflicts_with = "token_file")]
    token: Option<String>,
    /// File that holds the token
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// How much the drive can hold (10G); without it, there is no limit
    #[arg(long, value_name = "SIZE")]
    quota: Option<Bytes>,
    /// Let other machines connect. The connection is not encrypted: only on a network that you trust
    #[arg(long)]
    allow_remote: bool,
    /// Let applications sign in as they do at Google (OAuth 2.0); describes them in DIR/client-secret.json (with a browser),
    /// DIR/client-secret-device.json (without one) and DIR/service-account.json
    #[arg(long)]
    sign_in: bool,
    /// How long the tokens of applications work
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = parse_duration)]
    token_life: Duration,
    /// How long their sign-ins last (168h is what Google gives to an app in testing); without it, until nobody uses them
    #[arg(long, value_name = "TIME", value_parser = parse_duration)]
    sign_in_life: Option<Duration>,
    /// Make trouble, written as METHODS:KIND,KEY=VALUE,… (files.list:latency,ms=200); can be given again
    ///
    /// METHODS are names such as files.list, joined by +; files.* stands for a family, * for all. KIND is one of
    ///
    /// for all calls: latency (ms=50-200), bandwidth (up=1M, down=1M, shared=true), answer (status=503, reason=, message=,
    /// body=json|truncated|html|empty, text=, `retry_after`=SECONDS, done=true), cut-request or cut-answer (after=BYTES),
    /// lose-answer, revoke (requests=N, time=5s), quota (units=N, per=1m, status=403), withhold (fields=md5Checksum+size);
    ///
    /// for listings and changes: short-page (size=1-3), empty-page; for listings: list-lag (time=10s), expire-page-token,
    /// or-empty; for changes: lag (time=10s);
    ///
    /// for upload sessions: expire-session, move-session, store-less (part=0-99); for content: flagged.
    ///
    /// Of the calls it is for, a rule hits those that nth=N, skip=N, share=0.1 and times=N leave it.
    #[arg(long, value_name = "RULE")]
    trouble: Vec<Rule>,
    /// What the chances of trouble begin with: the same number and the same calls bring the same trouble
    #[arg(long, value_name = "N", default_value_t = 0)]
    trouble_seed: u64,
    /// Let whoever has the token read the meter (/admin/meter, /admin/log) and set the trouble (/admin/trouble)
    #[arg(long)]
    admin: bool,
}

fn parse_address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| "it is written as an address and a port, as 127.0.0.1:8080 or [::1]:0".to_owned())
}

pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    // Diagnostics go to stderr, by RUST_LOG; a subscriber that is set already is as good.
    let filter = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn".into());
    let _ = tracing_subscriber::fmt().with_env_filter(filter).with_writer(io::stderr).try_init();
    let options = options(args)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::new(Exit::Failure, format!("cannot start threads: {error}")))?;
    runtime.block_on(serve(options))
}

fn options(args: &Args) -> Result<Options, Failure> {
    let token = match (&args.token, &args.token_file) {
        (Some(token), _) => Some(token.clone()),
        (None, Some(file)) => {
            let text = fs::read_to_string(file).map_err(|error| {
                let file = file.display();
                Failure::new(Exit::Usage, format!("cannot read the token file {file}: {error}"))
            })?;
            Some(text.trim().to_owned())
        }
        (None, None) => env::var(TOKEN_VARIABLE).ok().filter(|token| !token.is_empty()),
    };
    Ok(Options {
        listen: args.listen,
        token,
        allow_remote: args.allow_remote,
        trouble: Script { seed: args.trouble_seed, rules: args.trouble.clone() },
        sign_in: args.sign_in,
        token_life: args.token_life,
        sign_in_life: args.sign_in_life,
        admin: args.admin,
        limits: Limits { storage: args.quota.map(|quota| quota.0), ..Limits::default() },
        ..Options::new(&args.data)
    })
}

async fn serve(options: Options) -> Result<Exit, Failure> {
    // Before the ready line: whoever reads that may send a signal at once.
    let signals = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()));
    let (Ok(mut interrupt), Ok(mut terminate)) = signals else {
        return Err(Failure::new(Exit::Failure, "cannot receive signals"));
    };
    let data = options.data.display().to_string();
    let kept_token = if options.token.is_none() { format!(", token in {data}/token") } else { String::new() };
    let server = Server::start(options).await.map_err(|error| Failure::new(exit(&error), error.to_string()))?;
    let ready = format!("drivemount serve: ready at {} (data in {data}{kept_token})\n", server.url());
    let mut stdout = io::stdout();
    if let Err(error) = stdout.write_all(ready.as_bytes()).and_then(|()| stdout.flush()) {
        tracing::warn!(%error, "nobody reads the ready line");
    }
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    server.stop().await;
    Ok(Exit::Success)
}

fn exit(error: &ServerError) -> Exit {
    match error {
        ServerError::NotLoopback(_) | ServerError::Token => Exit::Usage,
        error if error.is_of_data() => Exit::Cache,
        _ => Exit::Failure,
    }
}
