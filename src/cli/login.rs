//! `drivemount login`: a person signs in with a browser.

mod talk;

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::builder::NonEmptyStringValueParser;
use url::Url;

use self::talk::Talk;
use super::stored::{accounts, unusable};
use super::{Exit, Failure, small_runtime};
use crate::auth::{
    Access, Account, Accounts, AccountsError, Code, SignIn, SignInClient, SignInError, SignedIn, StaticToken,
};
use crate::config::{DEFAULT_ACCOUNT, GOOGLE, Source};
use crate::config::{parse_duration, parse_web_address};
use crate::error::Kind;
use crate::net;
use crate::remote::drive::{DriveOptions, DriveRemote};
use crate::remote::{About, Remote, RemoteError};

/// How long the drive may take to say whose it is.
const PATIENCE: Duration = Duration::from_secs(15);

/// Sign in to a drive with a browser
///
/// Prints one link. Open it in any browser, on this machine or on another, and allow access. If the browser is on another machine
/// it ends at an address that it cannot reach: paste that address here.
///
/// It takes an OAuth client of your own, which is made once in five clicks (docs/SIGN-IN.md) and remembered here.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The drive: `google` (which may be left out) or `http://HOST:PORT`
    source: Option<Source>,
    /// A name for this sign-in, if you have several
    #[arg(long, value_name = "NAME", env = "DRIVEMOUNT_ACCOUNT")]
    account: Option<String>,
    /// The JSON file of your OAuth client, as Google's console hands it out
    #[arg(long, value_name = "FILE", env = "DRIVEMOUNT_CLIENT_FILE")]
    client_file: Option<PathBuf>,
    /// The id of your OAuth client
    #[arg(long, value_name = "ID", env = "DRIVEMOUNT_CLIENT_ID")]
    client_id: Option<String>,
    /// Its secret. Other users of the machine can see arguments: better use the variable, or --client-file
    #[arg(long, value_name = "SECRET", env = "DRIVEMOUNT_CLIENT_SECRET", hide_env_values = true,
          value_parser = NonEmptyStringValueParser::new())]
    client_secret: Option<String>,
    /// Ask for the right to read only
    #[arg(long)]
    read_only: bool,
    /// Address of the Drive API, if it is not that of the source
    #[arg(long, value_name = "URL", env = "DRIVEMOUNT_API_URL", value_parser = parse_web_address)]
    api_url: Option<Url>,
    /// Only print the link; open no browser
    #[arg(long)]
    no_browser: bool,
    /// Give up after this time
    #[arg(long, value_name = "TIME", default_value = "15m", value_parser = parse_duration)]
    timeout: Duration,
    /// For programs: say each step as a line of JSON, and read what is pasted as lines
    #[arg(long)]
    json: bool,
}

pub(super) fn run(args: &Args) -> Result<Exit, Failure> {
    let mut talk = Talk::new(args.json, !args.no_browser);
    let result = small_runtime()?.block_on(login(args, &mut talk));
    match result {
        Ok(account) => talk.done(&account),
        Err(failure) => {
            if talk.failed(&failure.message) {
                return Ok(failure.exit);
            }
            return Err(failure);
        }
    }
    Ok(Exit::Success)
}

async fn login(args: &Args, talk: &mut Talk) -> Result<Account, Failure> {
    let accounts = accounts()?;
    let name = args.account.as_deref().unwrap_or(DEFAULT_ACCOUNT);
    let known = accounts.find(name).or_else(|error| match error {
        // Signing in is what mends it.
        AccountsError::Malformed(_) => Ok(None),
        error => Err(unusable(&error)),
    })?;
    let source = args.source.clone().or_else(|| known.as_ref()?.source.parse().ok()).unwrap_or(Source::Google);
    let api = api(&source, args.api_url.as_ref())?;
    let client = client(args, &accounts, &source)?;
    if client.is_googles() && !net::is_googles(&api) {
        return Err(Failure::new(
            Exit::Usage,
            format!(
                "your OAuth client is one at Google, and {} is another server, which is not shown what Google gives. Give the client \
                 of that one with --client-file",
                api.origin().ascii_serialization()
            ),
        ));
    }
    if let Some(known) = known.as_ref().filter(|known| known.source != source.to_string()) {
        return Err(Failure::new(
            Exit::Usage,
            format!(
                "the account {name:?} is one of {}; give the one of {source} a name of its own (--account NAME), or forget the other \
                 first (`drivemount logout --account {name}`)",
                known.source
            ),
        ));
    }
    let access = if args.read_only { Access::ReadOnly } else { Access::ReadWrite };
    let mut sign_in = SignIn::begin(client.clone(), access).await.map_err(|error| failure(&error))?;
    talk.link(sign_in.link());
    let code = tokio::time::timeout(args.timeout, answer(&mut sign_in, talk)).await;
    let code = code.map_err(|_| {
        Failure::new(Exit::SignIn, "nobody answered in time; begin again with `drivemount login`".to_owned())
    })??;
    let signed_in = sign_in.finish(code).await.map_err(|error| failure(&error))?;
    let About { account: id, email, .. } = whose(&api, &signed_in).await?;
    if let Some(known) = known.filter(|known| known.id != id) {
        return Err(Failure::new(
            Exit::Usage,
            format!(
                "the account {name:?} is {}, and you signed in as {email}. Give this one a name of its own (--account NAME), or \
                 forget the other first (`drivemount logout --account {name}`)",
                known.email
            ),
        ));
    }
    let account = Account::new(name, (&id, &email), &source.to_string(), &client, signed_in);
    accounts.store(&account).map_err(|error| unusable(&error))?;
    accounts.store_client(&account.source, &client).map_err(|error| unusable(&error))?;
    Ok(account)
}

/// Where the drive is asked whose it is.
fn api(source: &Source, api_url: Option<&Url>) -> Result<Url, Failure> {
    match (source, api_url) {
        (Source::Local(_), _) => {
            Err(Failure::new(Exit::Usage, "a folder of this machine needs no sign-in: mount it as it is".to_owned()))
        }
        (_, Some(url)) | (Source::Http(url), None) => Ok(url.clone()),
        (Source::Google, None) => {
            GOOGLE.parse().map_err(|_| Failure::new(Exit::Failure, format!("{GOOGLE} is no address")))
        }
    }
}

fn client(args: &Args, accounts: &Accounts, source: &Source) -> Result<SignInClient, Failure> {
    if let Some(file) = &args.client_file {
        let wrong = |why: &dyn std::fmt::Display| {
            Failure::new(Exit::Usage, format!("the client in {} cannot be used: {why}", file.display()))
        };
        let text = fs::read_to_string(file).map_err(|error| wrong(&error))?;
        return SignInClient::parse(&text).map_err(|why| wrong(&why));
    }
    match (&args.client_id, &args.client_secret) {
        (Some(id), Some(secret)) => {
            return SignInClient::google(id, secret).map_err(|why| Failure::new(Exit::Usage, why));
        }
        (Some(_), None) => {
            let message = "--client-id goes with its secret: in $DRIVEMOUNT_CLIENT_SECRET, or with --client-secret";
            return Err(Failure::new(Exit::Usage, message));
        }
        // A secret alone may lie in the environment for another time.
        (None, _) => {}
    }
    accounts.client(&source.to_string()).map_err(|error| unusable(&error))?.ok_or_else(|| {
        Failure::new(
            Exit::SignIn,
            "to sign in takes an OAuth client of your own, once. Make one at https://console.cloud.google.com/auth/clients: a \
             project with the Google Drive API enabled, a client of the type \"Desktop app\", and its JSON file downloaded; then \
             `drivemount login --client-file FILE`. docs/SIGN-IN.md shows each click, and the ways that need no browser"
                .to_owned(),
        )
    })
}

/// Waits for the browser, or for what somebody pastes.
async fn answer(sign_in: &mut SignIn, talk: &mut Talk) -> Result<Code, Failure> {
    loop {
        let text = tokio::select! {
            code = sign_in.arrival() => return code.map_err(|error| failure(&error)),
            text = talk.pasted() => text,
        };
        match sign_in.pasted(&text) {
            Ok(code) => return Ok(code),
            Err(error) => talk.again(&error.to_string()),
        }
    }
}

/// Whose drive a sign-in is for.
async fn whose(api: &Url, signed_in: &SignedIn) -> Result<About, Failure> {
    let token = StaticToken::new("the answer of the token service", signed_in.token.expose());
    let token = token.map_err(|error| failure(&SignInError::Auth(error)))?;
    let mut options = DriveOptions::new(api.clone());
    options.retry_for = PATIENCE;
    let refused = |error: &RemoteError| {
        let exit = match error.kind {
            Kind::Unreachable | Kind::TimedOut | Kind::Server => Exit::Unreachable,
            _ => Exit::SignIn,
        };
        let message = format!(
            "signed in, but the drive at {} does not say whose it is: {}. Is the Google Drive API enabled in the project of your \
             OAuth client?",
            api.origin().ascii_serialization(),
            error.message
        );
        Failure::new(exit, message)
    };
    let remote = DriveRemote::new(&options, Arc::new(token)).map_err(|error| refused(&error))?;
    remote.about().await.map_err(|error| refused(&error))
}

fn failure(error: &SignInError) -> Failure {
    let exit = match error {
        SignInError::Auth(error) => match error.kind() {
            Kind::Unreachable | Kind::TimedOut | Kind::Server => Exit::Unreachable,
            _ => Exit::SignIn,
        },
        SignInError::Listen(_) => Exit::Failure,
        _ => Exit::SignIn,
    };
    let message = match error {
        SignInError::Auth(crate::auth::AuthError::Refused { code }) if code == "invalid_client" => {
            format!("{error}; give the file of your client again with --client-file")
        }
        SignInError::Auth(crate::auth::AuthError::Refused { .. }) => {
            format!(
                "{error}; begin again with `drivemount login`, the answer of a browser is good for a few minutes only"
            )
        }
        _ => error.to_string(),
    };
    Failure::new(exit, message)
}
