//! Trouble on request: what a real service, its network and its limits do to a client, done when a test asks for it.
//!
//! A [`Script`] is a seed and some [`Rule`]s. Each rule says to which calls it applies, which of them it hits, and what
//! happens to those. This file decides; `carry` does it, around the router, where the connection can still be cut.
//!
//! ```text
//!   carry                    what happens to one request
//!   answer  stream  tokens   made-up answers, slow and broken bodies, tokens that are refused
//!   withhold                 answers that say less
//!   rule  written            what may happen, and how it is written down
//! ```
//!
//! **Promises.** Whether a rule hits its n-th call depends on the seed, its place in the script and n alone, so the same
//! sequence of calls meets the same trouble. Trouble never makes the drive lie about what it stored: it refuses, delays,
//! cuts off, takes less and keeps silent. Memory is bounded. Without trouble, a call costs one look at a flag.

mod answer;
mod carry;
mod rule;
mod stream;
mod tokens;
mod withhold;
mod written;

use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::extract::FromRequestParts;
use http::request::Parts;
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::error::ApiError;
use super::params::Params;
use crate::clock::{self, Instant, Timestamp};
use answer::Answer;
use rule::{Kind, Order};
use stream::Pace;
use tokens::Refused;

pub(crate) use carry::{Severed, Watch};
pub use rule::Rule;
pub use written::Script;

/// Rules at a time.
const MAX_RULES: usize = 256;

/// What handlers themselves must do to the request. All absent unless set before it is routed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Orders {
    /// The upload session that it is on ends before it is looked at.
    pub expire_session: bool,
    /// Changes younger than this are not told yet.
    pub lag: Option<Duration>,
    /// Items younger than this are in no listing yet.
    pub list_lag: Option<Duration>,
    /// A page of a listing, or of changes, has no more entries than this; with none at all, there still is a next page.
    pub page: Option<usize>,
    /// Tokens of pages of listings are refused.
    pub expire_page_token: bool,
    /// A listing of several folders finds nothing.
    pub or_empty: bool,
    /// Of the bytes that come to an upload session no more than this many percent are stored.
    pub store: Option<u64>,
    /// The upload session goes on at another address, and at this one no more.
    pub move_session: bool,
    /// Content is flagged as harmful.
    pub flagged: bool,
}

impl Orders {
    /// Whether an item made at this time is in listings already.
    pub(crate) fn lists(&self, created: Timestamp) -> bool {
        let age = clock::now().millis().saturating_sub(created.millis());
        self.list_lag.is_none_or(|lag| u64::try_from(age).is_ok_and(|age| u128::from(age) >= lag.as_millis()))
    }

    /// Whether a call may not have the content that it asks for, unless it says that it knows.
    pub(crate) fn check_flagged(&self, params: &Params) -> super::error::Result<()> {
        if self.flagged && !params.flag("acknowledgeAbuse", false)? {
            return Err(ApiError::flagged_as_abusive());
        }
        Ok(())
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Orders {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.remove::<Self>().unwrap_or_default())
    }
}

/// The trouble that a server makes at present.
#[derive(Debug, Default)]
pub(crate) struct Trouble {
    is_on: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    seed: u64,
    rules: Vec<Armed>,
    refused: Refused,
}

/// A rule at work.
#[derive(Debug)]
struct Armed {
    rule: Rule,
    /// Calls that it applies to.
    seen: u64,
    /// Those that it hit.
    hits: u64,
    /// The line that its calls share, up and down, if it makes them share one.
    line: Option<(Pace, Pace)>,
    /// Quota: when the present span began, and the units spent in it.
    spent: Option<(Instant, u64)>,
}

/// What happens to a request.
#[derive(Debug, Default)]
struct Verdict {
    delay: Duration,
    up: Option<Pace>,
    down: Option<Pace>,
    orders: Orders,
    /// Fields that the answer lacks.
    withheld: Vec<String>,
    fate: Fate,
}

/// How it ends.
#[derive(Debug, Default)]
enum Fate {
    /// As it would without trouble.
    #[default]
    Served,
    /// With an answer from the script.
    Answered(Box<Answer>),
    /// With the token refused.
    Unauthenticated,
    /// With the connection cut after so many bytes of the request's body.
    CutRequest(u64),
    /// With the connection cut after so many bytes of the answer's body.
    CutAnswer(u64),
    /// Done, and the connection closed without an answer.
    Unanswered,
}

impl Trouble {
    pub(crate) fn new(script: Script) -> Self {
        let trouble = Self::default();
        trouble.replace(script);
        trouble
    }

    /// Begins anew with another script.
    pub(crate) fn replace(&self, script: Script) {
        let mut state = self.state.lock();
        *state = State { seed: script.seed, ..State::default() };
        state.rules.extend(script.rules.into_iter().map(Armed::new));
        self.is_on.store(!state.rules.is_empty(), Ordering::Relaxed);
    }

    /// Adds rules to those that are at work. Fails if they become too many.
    pub(crate) fn add(&self, rules: Vec<Rule>) -> Result<(), String> {
        let mut state = self.state.lock();
        if state.rules.len() + rules.len() > MAX_RULES {
            return Err(too_many());
        }
        state.rules.extend(rules.into_iter().map(Armed::new));
        self.is_on.store(!state.rules.is_empty(), Ordering::Relaxed);
        Ok(())
    }

    /// Whether it may do anything at all.
    pub(crate) fn is_on(&self) -> bool {
        self.is_on.load(Ordering::Relaxed)
    }

    /// The script as it was written, and how often each rule came to act.
    pub(crate) fn show(&self) -> Value {
        let state = self.state.lock();
        let rules = state.rules.iter().map(|armed| {
            let mut shown = armed.rule.written.clone();
            shown.insert("seen".to_owned(), armed.seen.into());
            shown.insert("hits".to_owned(), armed.hits.into());
            Value::Object(shown)
        });
        json!({ "seed": state.seed, "rules": rules.collect::<Vec<_>>() })
    }

    /// What happens to a call of `method` that costs `units` and bears `token`.
    fn decide(&self, method: &str, units: u64, token: Option<&str>, now: Instant) -> Option<Verdict> {
        if !self.is_on() {
            return None;
        }
        let state = &mut *self.state.lock();
        let mut verdict = Verdict::default();
        if token.is_some_and(|token| state.refused.check(token, now)) {
            verdict.fate = Fate::Unauthenticated;
        }
        for (place, armed) in state.rules.iter_mut().enumerate() {
            let Some(number) = armed.sees(method) else { continue };
            let luck = rule::Luck { seed: state.seed, place, number };
            if armed.is_hit(luck) && armed.act(luck, &mut verdict, (units, token, now), &mut state.refused) {
                armed.hits += 1;
            }
        }
        Some(verdict)
    }
}

impl Armed {
    fn new(rule: Rule) -> Self {
        let line = match rule.kind {
            Kind::Bandwidth { up, down, is_shared: true } => Some((Pace::new(up), Pace::new(down))),
            _ => None,
        };
        Self { rule, seen: 0, hits: 0, line, spent: None }
    }

    /// Counts a call; its number among those that the rule applies to.
    fn sees(&mut self, method: &str) -> Option<u64> {
        if !self.rule.applies_to(method) {
            return None;
        }
        self.seen += 1;
        Some(self.seen)
    }

    fn is_hit(&self, luck: rule::Luck) -> bool {
        self.rule.times.is_none_or(|times| self.hits < times) && self.rule.picks(luck)
    }

    /// Adds to what happens to a call. Of the rules that end it, the first counts: `false` if another came before.
    fn act(
        &mut self,
        luck: rule::Luck,
        verdict: &mut Verdict,
        (units, token, now): (u64, Option<&str>, Instant),
        refused: &mut Refused,
    ) -> bool {
        let fate = match &self.rule.kind {
            Kind::Latency(span) => {
                verdict.delay += Duration::from_millis(luck.draw(span));
                return true;
            }
            Kind::Bandwidth { up, down, .. } => {
                let (up, down) = self.line.clone().unwrap_or_else(|| (Pace::new(*up), Pace::new(*down)));
                verdict.up = up.slower(verdict.up.take());
                verdict.down = down.slower(verdict.down.take());
                return true;
            }
            Kind::Withhold(fields) => {
                verdict.withheld.extend_from_slice(fields);
                return true;
            }
            Kind::Order(order) => {
                order.give(luck, &mut verdict.orders);
                return true;
            }
            _ if !matches!(verdict.fate, Fate::Served) => return false,
            Kind::Quota { units: budget, per, refusal } => {
                let spent = match self.spent {
                    Some((since, spent)) if now.duration_since(since) < *per => (since, spent),
                    _ => (now, 0),
                };
                let total = spent.1.saturating_add(units);
                if total <= *budget {
                    self.spent = Some((spent.0, total));
                    return false;
                }
                self.spent = Some(spent);
                Fate::Answered(refusal.clone())
            }
            Kind::Revoke { requests, time } => {
                let Some(token) = token else { return false };
                let until = time.map(|time| now + time);
                // This request is the first of those that it is refused for.
                refused.add(token, requests.map(|requests| requests - 1), until);
                Fate::Unauthenticated
            }
            Kind::Answer(answer) => Fate::Answered(answer.clone()),
            Kind::CutRequest(bytes) => Fate::CutRequest(luck.draw(bytes)),
            Kind::CutAnswer(bytes) => Fate::CutAnswer(luck.draw(bytes)),
            Kind::LoseAnswer => Fate::Unanswered,
        };
        verdict.fate = fate;
        true
    }
}

impl Order {
    /// Adds to what a handler is to do.
    fn give(&self, luck: rule::Luck, orders: &mut Orders) {
        match self {
            Self::ExpireSession => orders.expire_session = true,
            Self::Lag(time) => orders.lag = orders.lag.max(Some(*time)),
            Self::ListLag(time) => orders.list_lag = orders.list_lag.max(Some(*time)),
            Self::ShortPage(sizes) => {
                let size = usize::try_from(luck.draw(sizes)).unwrap_or(usize::MAX);
                orders.page = Some(orders.page.map_or(size, |other| other.min(size)));
            }
            Self::ExpirePageToken => orders.expire_page_token = true,
            Self::OrEmpty => orders.or_empty = true,
            Self::StoreLess(percents) => {
                let percent = luck.draw(percents);
                orders.store = Some(orders.store.map_or(percent, |other| other.min(percent)));
            }
            Self::MoveSession => orders.move_session = true,
            Self::Flagged => orders.flagged = true,
        }
    }
}

fn too_many() -> String {
    format!("more than {MAX_RULES} rules")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trouble(seed: u64, specs: &[&str]) -> Trouble {
        let rules = specs.iter().map(|spec| spec.parse().expect(spec)).collect();
        Trouble::new(Script { seed, rules })
    }

    /// Which of a hundred calls are answered by the script.
    fn hits(trouble: &Trouble, method: &str) -> Vec<usize> {
        let answered = |_: &usize| {
            let verdict = trouble.decide(method, 5, Some("token"), Instant::now());
            matches!(verdict, Some(Verdict { fate: Fate::Answered(_) | Fate::Unauthenticated, .. }))
        };
        (1..=100).filter(answered).collect()
    }

    #[test]
    fn the_same_seed_hits_the_same_calls_whatever_comes_between() {
        let specs = ["files.list:answer,status=503,share=0.2", "files.get:answer,status=503,share=0.2"];
        let one = trouble(7, &specs);
        let lists = hits(&one, "files.list");
        assert!((5..=40).contains(&lists.len()), "{lists:?}");
        let two = trouble(7, &specs);
        let gets = hits(&two, "files.get");
        assert_eq!(hits(&two, "files.list"), lists, "calls of another method do not count");
        assert_ne!(gets, lists, "each rule has its own luck");
        assert_ne!(hits(&trouble(8, &specs), "files.list"), lists);
    }

    #[test]
    fn a_rule_picks_by_number() {
        assert_eq!(hits(&trouble(0, &["*:answer,status=500,nth=3"]), "files.get"), [3]);
        assert_eq!(hits(&trouble(0, &["files.*:answer,status=500,skip=2,times=3"]), "files.get"), [3, 4, 5]);
        assert!(hits(&trouble(0, &["files.*:answer,status=500"]), "changes.list").is_empty());
        assert_eq!(hits(&trouble(0, &["files.get+files.list:answer,status=500,nth=9"]), "files.list"), [9]);
    }

    #[test]
    fn of_rules_that_end_a_call_the_first_counts() {
        let both = trouble(0, &["*:lose-answer,times=2", "*:answer,status=500,times=1"]);
        assert_eq!(hits(&both, "files.get"), [3]);
        assert_eq!(both.show()["rules"][1]["seen"], 100);
        assert_eq!(both.show()["rules"][1]["hits"], 1);
    }

    #[test]
    fn units_run_out_and_come_back() {
        let trouble = trouble(0, &["*:quota,units=150,per=1m"]);
        let start = Instant::now();
        let is_refused = |units, seconds| {
            let now = start + Duration::from_secs(seconds);
            let verdict = trouble.decide("files.list", units, None, now).expect("is on");
            matches!(verdict.fate, Fate::Answered(_))
        };
        assert!(!is_refused(100, 0));
        assert!(is_refused(100, 10), "200 are too much");
        assert!(!is_refused(50, 20), "what was refused is not spent");
        assert!(is_refused(5, 59));
        assert!(!is_refused(100, 60));
    }

    #[test]
    fn a_revoked_token_is_refused_until_its_time_is_over_or_another_comes() {
        assert_eq!(hits(&trouble(0, &["*:revoke,nth=2,requests=3"]), "files.get"), [2, 3, 4]);
        let trouble = trouble(0, &["*:revoke,nth=1,time=5s"]);
        let start = Instant::now();
        let is_refused = |token, seconds| {
            let verdict = trouble.decide("files.get", 5, Some(token), start + Duration::from_secs(seconds));
            matches!(verdict.expect("is on").fate, Fate::Unauthenticated)
        };
        assert!(is_refused("one", 0) && is_refused("one", 4));
        assert!(!is_refused("two", 4));
        assert!(!is_refused("one", 5));
    }

    #[test]
    fn rules_are_bounded_and_can_be_taken_away() {
        let trouble = trouble(0, &["*:lose-answer"]);
        let rules = |count| vec!["*:lose-answer".parse().expect("a rule"); count];
        assert!(trouble.add(rules(MAX_RULES)).is_err());
        assert!(trouble.add(rules(MAX_RULES - 1)).is_ok());
        trouble.replace(Script::default());
        assert!(trouble.decide("files.get", 5, None, Instant::now()).is_none());
    }
}
