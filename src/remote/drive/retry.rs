//! [`Retry`]: whether and when a failed attempt is followed by another.
//!
//! Waits as Drive's documentation asks: `min(2^n + random, 32 to 64 s)`, from a second on, and not less than a `Retry-After`.
//! Two things go quicker: the first broken connection, because the pool may just have held a dead one, and a refused token,
//! because another can be had, or it was refused by mistake. In sum no longer than the patience that the house was configured with.

use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use tokio::time::Instant;

use super::errors::{Again, Failure};
use crate::metrics;
use crate::remote::Result;

/// How patient we are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// No attempt begins later than this after the first.
    pub(super) total: Duration,
    /// The first wait; the others double, up to `max`. Each is drawn out at random to at most twice its length.
    pub(super) first: Duration,
    /// See `first`.
    pub(super) max: Duration,
}

/// So many refused tokens are followed by another attempt: at once by one with a new token, then by one a moment later.
const TOKENS: u32 = 2;

/// The attempts of one call so far.
#[derive(Debug)]
pub(super) struct Retry {
    patience: Patience,
    started: Instant,
    delays: ExponentialBackoff,
    /// Tokens refused so far.
    tokens_refused: u32,
    /// One connection broken so far.
    broken: bool,
}

impl Retry {
    /// Of a call that begins now.
    pub(super) fn new(patience: Patience) -> Self {
        let delays = ExponentialBuilder::new()
            .with_min_delay(patience.first)
            .with_max_delay(patience.max)
            .without_max_times()
            .with_jitter()
            .build();
        Self { patience, started: Instant::now(), delays, tokens_refused: 0, broken: false }
    }

    /// Forgets all failures, because there was progress.
    pub(super) fn reset(&mut self) {
        *self = Self::new(self.patience);
    }

    /// 100 to 250 ms, if the first wait is a second.
    fn moment(&self) -> Duration {
        self.patience.first.mul_f32(rand::random_range(0.1..=0.25))
    }

    /// Waits for the right moment for another attempt, or gives the error back if there shall be none.
    pub(super) async fn after(&mut self, failure: Failure) -> Result<()> {
        let Failure { error, again, .. } = failure;
        let delay = match again {
            Again::No => return Err(error),
            Again::NewToken if self.tokens_refused == TOKENS => return Err(error),
            Again::NewToken => {
                // Outside of all patience: a token that ended is no sign of trouble.
                metrics::RETRIES.add(1);
                if self.tokens_refused > 0 {
                    tokio::time::sleep(self.moment()).await;
                }
                self.tokens_refused += 1;
                return Ok(());
            }
            Again::Soon if !self.broken => {
                self.broken = true;
                self.moment()
            }
            Again::Soon | Again::Later => self.delays.next().unwrap_or(self.patience.max),
        };
        let delay = delay.max(error.retry_after.unwrap_or_default());
        if self.started.elapsed().saturating_add(delay) > self.patience.total {
            return Err(error);
        }
        metrics::RETRIES.add(1);
        tracing::debug!(
            call = error.call,
            kind = ?error.kind,
            status = error.status,
            reason = error.reason.as_deref(),
            ?delay,
            "trying again"
        );
        tokio::time::sleep(delay).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;
    use crate::remote::RemoteError;

    const PATIENCE: Patience =
        Patience { total: Duration::from_mins(10), first: Duration::from_secs(1), max: Duration::from_secs(32) };

    fn failure(again: Again) -> Failure {
        Failure::new(RemoteError::new(Kind::Server, "files.get", "failed"), again)
    }

    async fn wait(retry: &mut Retry, failure: Failure) -> Option<f64> {
        let start = Instant::now();
        retry.after(failure).await.ok().map(|()| start.elapsed().as_secs_f64())
    }

    #[tokio::test(start_paused = true)]
    async fn waits_double_with_jitter_up_to_the_cap_of_the_documentation() {
        let mut retry = Retry::new(PATIENCE);
        for least in [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 32.0, 32.0] {
            let waited = wait(&mut retry, failure(Again::Later)).await.expect("patient");
            assert!((least..=2.0 * least + 0.01).contains(&waited), "{waited} after {least}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_first_broken_connection_is_followed_almost_at_once() {
        let mut retry = Retry::new(PATIENCE);
        let waited = wait(&mut retry, failure(Again::Soon)).await.expect("patient");
        assert!((0.1..=0.26).contains(&waited), "{waited}");
        let waited = wait(&mut retry, failure(Again::Soon)).await.expect("patient");
        assert!((1.0..=2.01).contains(&waited), "{waited}");
    }

    #[tokio::test(start_paused = true)]
    async fn patience_ends_and_the_last_error_comes_out() {
        let mut retry = Retry::new(Patience { total: Duration::from_secs(30), ..PATIENCE });
        let start = Instant::now();
        while retry.after(failure(Again::Later)).await.is_ok() {}
        let waited = start.elapsed();
        assert!((7..=30).contains(&waited.as_secs()), "{waited:?}");
        retry.reset();
        assert!(retry.after(failure(Again::Later)).await.is_ok(), "progress makes patient again");
    }

    #[tokio::test(start_paused = true)]
    async fn what_the_drive_asks_for_is_waited() {
        let mut retry = Retry::new(PATIENCE);
        let mut busy = failure(Again::Later);
        busy.error.retry_after = Some(Duration::from_secs(90));
        let waited = wait(&mut retry, busy).await.expect("patient");
        assert!((90.0..91.0).contains(&waited), "{waited}");

        let mut too_long = failure(Again::Later);
        too_long.error.retry_after = Some(Duration::from_hours(1));
        assert_eq!(wait(&mut retry, too_long).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_refused_token_is_replaced_and_then_tried_once_more_even_without_patience() {
        let mut retry = Retry::new(Patience { total: Duration::ZERO, ..PATIENCE });
        assert_eq!(wait(&mut retry, failure(Again::NewToken)).await, Some(0.0));
        let waited = wait(&mut retry, failure(Again::NewToken)).await.expect("it may be a mistake");
        assert!((0.1..=0.26).contains(&waited), "{waited}");
        assert_eq!(wait(&mut retry, failure(Again::NewToken)).await, None);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_final_is_not_tried_again() {
        let mut retry = Retry::new(PATIENCE);
        assert_eq!(wait(&mut retry, failure(Again::No)).await, None);
    }
}
