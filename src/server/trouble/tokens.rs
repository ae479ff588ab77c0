//! Access tokens that are refused for a while. The tokens themselves are not kept.

use std::collections::VecDeque;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::clock::Instant;

/// Tokens at a time; the oldest give way.
const MAX_TOKENS: usize = 1024;

/// The tokens that are refused.
#[derive(Debug, Default)]
pub(super) struct Refused(VecDeque<Entry>);

#[derive(Debug)]
struct Entry {
    fingerprint: u64,
    /// How many more requests it is refused for; `None`: any number.
    left: Option<u64>,
    /// When that ends; `None`: never.
    until: Option<Instant>,
}

impl Refused {
    pub(super) fn add(&mut self, token: &str, left: Option<u64>, until: Option<Instant>) {
        let fingerprint = fingerprint(token);
        self.0.retain(|entry| entry.fingerprint != fingerprint);
        if self.0.len() >= MAX_TOKENS {
            self.0.pop_front();
        }
        self.0.push_back(Entry { fingerprint, left, until });
    }

    /// Whether a request with this token is refused; counts it.
    pub(super) fn check(&mut self, token: &str, now: Instant) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let fingerprint = fingerprint(token);
        let Some(place) = self.0.iter().position(|entry| entry.fingerprint == fingerprint) else { return false };
        let entry = &mut self.0[place];
        if entry.left == Some(0) || entry.until.is_some_and(|until| now >= until) {
            self.0.remove(place);
            return false;
        }
        entry.left = entry.left.map(|left| left - 1);
        true
    }
}

fn fingerprint(token: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    token.hash(&mut hasher);
    hasher.finish()
}
