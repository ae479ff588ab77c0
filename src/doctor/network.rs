//! The way to the drive: proxy, name, connection, encryption, an answer. And the clock, by that answer.

use std::env;
use std::net::SocketAddr;
use std::time::Duration;

use http::header::DATE;
use tokio::net::{TcpStream, lookup_host};
use tokio::time::timeout;
use url::Url;

use super::{Check, Obstacle};
use crate::clock::{self, Instant, Timestamp};
use crate::config::{Bytes, GOOGLE, MountConfig, Source};
use crate::net;
use crate::redact::Redactor;
use crate::surroundings::{Need, Surroundings};

/// How long a name, and a connection, may take.
const STEP: Duration = Duration::from_secs(5);

/// How long the answer may take.
const ANSWER: Duration = Duration::from_secs(10);

/// A sign-in is refused if the clock is more than five minutes off; from here on it is worth a word.
const WRONG: Duration = Duration::from_mins(5);

/// Where the drive's API is.
pub(super) fn address(config: &MountConfig) -> Option<Url> {
    match (&config.source, &config.api_url) {
        (Source::Local(_), _) => None,
        (_, Some(url)) | (Source::Http(url), None) => Some(url.clone()),
        (Source::Google, None) => GOOGLE.parse().ok(),
    }
}

/// Says whether the drive answers.
pub(super) async fn reach(config: &MountConfig, here: Surroundings, note: &mut impl FnMut(Check)) -> bool {
    let Some(url) = address(config) else {
        note(Check::ok("network", "not needed: the embedded drive keeps its data on this machine"));
        return true;
    };
    let proxy = proxy(&url);
    if let Some((variable, proxy)) = &proxy {
        note(Check::ok("proxy", format!("{variable} is set: {}", Redactor::default().redact(proxy))));
    }
    let place = url.origin().ascii_serialization();
    let began = Instant::now();
    match ask(&url, proxy.is_some()).await {
        Ok(answer) => {
            let took = began.elapsed().as_millis();
            let what = format!("{place} answers within {took} ms (name, connection{}, HTTP)", secured(&url));
            note(match answer.status {
                200..=299 | 400..=403 | 429 => Check::ok("network", what),
                500.. => Check::warning(
                    "network",
                    format!("{what}, but with {}: it has trouble", answer.status),
                    "try again later; a mount waits for it",
                ),
                status => Check::warning(
                    "network",
                    format!("{what}, but with {status}, which is not how a drive answers"),
                    "check that this is the address of a Drive API",
                ),
            });
            note(clock(answer.date, here));
            true
        }
        Err(why) => {
            let fix = match &proxy {
                Some((variable, _)) => format!("check the proxy that {variable} names; or {}", here.fix(Need::Network)),
                None => here.fix(Need::Network).to_owned(),
            };
            note(Check::problem("network", Obstacle::Unreachable, format!("{place}: {why}"), fix));
            note(Check::skipped("clock", "not known: the drive says what time it is, and did not answer"));
            false
        }
    }
}

fn secured(url: &Url) -> &'static str {
    if url.scheme() == "https" { ", TLS" } else { "" }
}

/// What the drive answered.
struct Answer {
    status: u16,
    date: Option<Timestamp>,
}

async fn ask(url: &Url, is_proxied: bool) -> Result<Answer, String> {
    let (host, port) = url.host_str().zip(url.port_or_known_default()).ok_or("this is no address of a server")?;
    if !is_proxied {
        connect(host.trim_matches(['[', ']']), port).await?;
    }
    let url = url.join("drive/v3/about?fields=kind").map_err(|error| error.to_string())?;
    let client = net::client(&url, |builder| builder.connect_timeout(STEP).timeout(ANSWER)).map_err(net::cause)?;
    let answer = client.get(url).send().await;
    let answer = answer.map_err(|error| {
        let what = if error.is_timeout() { "connected, but no answer in time" } else { "connected, but no answer" };
        if is_proxied {
            format!("no answer by way of the proxy: {}", net::cause(error))
        } else {
            format!("{what}: {}", net::cause(error))
        }
    })?;
    let date = answer.headers().get(DATE).and_then(|date| date.to_str().ok()).and_then(parse_date);
    Ok(Answer { status: answer.status().as_u16(), date })
}

async fn connect(host: &str, port: u16) -> Result<(), String> {
    let found = timeout(STEP, lookup_host((host, port))).await;
    let found = found.map_err(|_| format!("the name {host} cannot be looked up: no answer in time"))?;
    let found: Vec<SocketAddr> =
        found.map_err(|error| format!("the name {host} cannot be looked up: {error}"))?.collect();
    let connected = timeout(STEP, TcpStream::connect(found.as_slice())).await;
    let connected = connected.map_err(|_| format!("no connection to {host}, port {port}: no answer in time"))?;
    connected.map(drop).map_err(|error| format!("no connection to {host}, port {port}: {error}"))
}

/// The variable that names the proxy for an address, and what it says.
fn proxy(url: &Url) -> Option<(String, String)> {
    if net::is_loopback(url) {
        return None;
    }
    let value = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
    let either = |name: &str| {
        [name.to_lowercase(), name.to_uppercase()].into_iter().find_map(|name| Some((name.clone(), value(&name)?)))
    };
    let host = url.host_str()?;
    let spared = either("no_proxy").is_some_and(|(_, hosts)| {
        let mut hosts = hosts.split(',').map(|spared| spared.trim().trim_start_matches('.'));
        hosts.any(|spared| {
            spared == "*" || (!spared.is_empty() && (host == spared || host.ends_with(&format!(".{spared}"))))
        })
    });
    if spared { None } else { either(&format!("{}_proxy", url.scheme())).or_else(|| either("all_proxy")) }
}

fn parse_date(text: &str) -> Option<Timestamp> {
    let moment = jiff::fmt::rfc2822::parse(text).ok()?.timestamp();
    Some(Timestamp::from_millis(moment.as_millisecond()))
}

fn clock(date: Option<Timestamp>, here: Surroundings) -> Check {
    let Some(date) = date else { return Check::skipped("clock", "not known: the drive did not say what time it is") };
    let off = (clock::now().millis() - date.millis()) / 1000;
    let distance = Duration::from_secs(off.unsigned_abs());
    if distance <= WRONG {
        return Check::ok("clock", format!("right (to {} s)", off.unsigned_abs()));
    }
    let (minutes, direction) = (distance.as_secs() / 60, if off < 0 { "behind" } else { "ahead" });
    let what = format!("{minutes} minutes {direction}: sign-ins are refused by who finds the time wrong");
    Check::warning("clock", what, here.fix(Need::Clock))
}

/// The drive's storage, for people.
pub(super) fn storage(used: u64, limit: Option<u64>) -> String {
    match limit {
        Some(limit) => format!("{} of {} used", Bytes(used), Bytes(limit)),
        None => format!("{} used, no limit", Bytes(used)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::Outcome;

    #[test]
    fn a_clock_that_is_off_is_told() {
        let now = clock::now().millis();
        for (offset, outcome, words) in [
            (0, Outcome::Ok, "right"),
            (-299_000, Outcome::Ok, "right"),
            (-600_000, Outcome::Warning, "10 minutes ahead"),
            (3_700_000, Outcome::Warning, "minutes behind"),
        ] {
            let check = clock(Some(Timestamp::from_millis(now + offset)), Surroundings::Plain);
            assert_eq!(check.outcome, outcome, "{check:?}");
            assert!(check.what.contains(words), "{check:?}");
        }
    }

    #[test]
    fn the_date_of_http_is_understood() {
        let date = parse_date("Tue, 15 Nov 1994 08:12:31 GMT").expect("a date");
        assert_eq!(date.to_rfc3339(), "1994-11-15T08:12:31.000Z");
        assert!(parse_date("yesterday").is_none());
    }
}
