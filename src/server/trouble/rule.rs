//! A rule: to which calls it applies, which of them it hits, and what happens to those.

use std::ops::RangeInclusive;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Map, Value};

use super::answer::Answer;

/// One kind of trouble for some calls. Written as `METHOD:KIND,KEY=VALUE…`, or as an object of JSON.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Names of methods; `*` stands for all, `files.*` for those of a family.
    pub(super) on: Vec<String>,
    /// Only the call with this number, from 1.
    pub(super) nth: Option<u64>,
    /// As many calls are spared first.
    pub(super) skip: u64,
    /// At most so many are hit.
    pub(super) times: Option<u64>,
    /// The part of the calls that is hit, by chance.
    pub(super) share: f64,
    pub(super) kind: Kind,
    /// As it was given.
    pub(super) written: Map<String, Value>,
}

/// What happens.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kind {
    /// Milliseconds before the request is looked at.
    Latency(RangeInclusive<u64>),
    /// Bytes a second of bodies, of each request by itself (so of each connection) or of all together.
    Bandwidth {
        up: Option<u64>,
        down: Option<u64>,
        is_shared: bool,
    },
    Answer(Box<Answer>),
    CutRequest(RangeInclusive<u64>),
    CutAnswer(RangeInclusive<u64>),
    LoseAnswer,
    /// The answer lacks these fields of files.
    Withhold(Vec<String>),
    /// A handler does something else than usual.
    Order(Order),
    /// The token of the request is refused from now on: for so many requests, for a time, or for good.
    Revoke {
        requests: Option<u64>,
        time: Option<Duration>,
    },
    Quota {
        units: u64,
        per: Duration,
        refusal: Box<Answer>,
    },
}

/// What a handler does, if the request is one that it can do it with.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Order {
    ExpireSession,
    Lag(Duration),
    ListLag(Duration),
    /// Entries of a page at most.
    ShortPage(RangeInclusive<u64>),
    ExpirePageToken,
    OrEmpty,
    /// Percent of what was sent, at most.
    StoreLess(RangeInclusive<u64>),
    MoveSession,
    Flagged,
}

impl Rule {
    pub(super) fn applies_to(&self, method: &str) -> bool {
        // Content may look like an answer, and has no fields.
        let is_content = method.ends_with("_media") || method == "files.export";
        let has_part = !(is_content && matches!(self.kind, Kind::Withhold(_)));
        has_part && self.on.iter().any(|pattern| covers(pattern, method))
    }

    /// Whether it hits the call, as far as number and chance say.
    pub(super) fn picks(&self, luck: Luck) -> bool {
        let is_due = self.nth.is_none_or(|nth| nth == luck.number) && luck.number > self.skip;
        is_due && (self.share >= 1.0 || luck.rng(0).random_bool(self.share))
    }
}

/// Whether a pattern stands for a method.
pub(super) fn covers(pattern: &str, method: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(family) => method.starts_with(family),
        None => pattern == method,
    }
}

/// What chance depends on: the seed, the place of the rule in the script, and the number of the call among its calls.
#[derive(Debug, Clone, Copy)]
pub(super) struct Luck {
    pub(super) seed: u64,
    pub(super) place: usize,
    pub(super) number: u64,
}

impl Luck {
    /// A number from `range`.
    pub(super) fn draw(self, range: &RangeInclusive<u64>) -> u64 {
        if range.start() == range.end() { *range.start() } else { self.rng(1).random_range(range.clone()) }
    }

    fn rng(self, question: u8) -> StdRng {
        let mut seed = [question; 32];
        seed[..8].copy_from_slice(&self.seed.to_le_bytes());
        seed[8..16].copy_from_slice(&(self.place as u64).to_le_bytes());
        seed[16..24].copy_from_slice(&self.number.to_le_bytes());
        StdRng::from_seed(seed)
    }
}
