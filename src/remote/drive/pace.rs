//! [`Pacer`]: one pace for all requests of an account.
//!
//! Drive meters requests in quota units a minute and answers 403 or 429 when there were too many; who then goes on as before
//! is refused for longer. So everybody asks here first:
//!
//! - With a budget, a token bucket holds the long-term rate below it. Waiters are served in the order in which they came.
//! - On a refusal everybody stops for a moment, and then goes on at half the rate; what was cut is regained within a minute
//!   ([`RECOVERY`]), steadily (additive increase, multiplicative decrease, as in TCP). The refusals of requests that were on
//!   their way already count as the same one. The moments double while nothing is taken in between: who shares the quota of a
//!   project with strangers is refused at any rate, and gets on by asking again soon.
//! - One refusal of somebody who spends next to nothing says nothing of a rate: others use the account too, and a drive has bad
//!   moments. All stop for a moment, and go on as before; a second one within a minute cuts.
//! - Without a budget nothing waits until the first refusal, and the limit that it brings is lifted again when twice the rate
//!   of that time has gone well.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// A bucket that was left alone holds this much of the rate: short bursts pass unhindered, and a minute that begins with one
/// still ends near the budget.
const BURST: Duration = Duration::from_secs(10);

/// The current rate is measured over about this time.
const WINDOW: Duration = Duration::from_secs(10);

/// What a refusal cut off is regained within this time: Drive counts by the minute.
const RECOVERY: Duration = Duration::from_mins(1);

/// No refusal cuts below this, in units a second: two edits a second, which is what `rclone` observed as sustained.
const FLOOR: f64 = 100.0;

/// The longest pause for all after refusals in a row, unless the drive asks for more.
const MAX_PAUSE: Duration = Duration::from_secs(32);

/// Where each request waits for its turn.
#[derive(Debug)]
pub(super) struct Pacer {
    first_pause: Duration,
    state: Mutex<State>,
}

/// INVARIANTS:
///
/// - `rate` is between `FLOOR` and `budget`, or equal to `budget` if that is below `FLOOR`.
/// - With an infinite `rate`, `level` is not used.
/// - `level` is negative by what was promised to those who wait, and never above `BURST` times `rate`.
#[derive(Debug)]
struct State {
    /// Units a second that the configuration allows; infinite without a budget. Never changes.
    budget: f64,
    /// Units a second that are allowed now.
    rate: f64,
    /// Where `rate` climbs to; when it gets there, `budget` holds again.
    ceiling: f64,
    /// By how much it climbs, in units a second, each second.
    slope: f64,
    /// Units in the bucket.
    level: f64,
    /// Units that were spent lately, those spent longer ago counting for less.
    spent: f64,
    /// When `rate`, `level` and `spent` were brought up to date.
    touched: Instant,
    /// Nobody passes before this.
    gate: Instant,
    /// When a refusal counted the last time.
    cut: Option<Instant>,
    /// How long the pause after the next one will be.
    pause: Duration,
}

/// That a request may go now.
#[derive(Debug, Clone, Copy)]
pub(super) struct Admitted(Instant);

impl Pacer {
    /// A pacer for `units_per_minute`, without a budget if that is `None`. `first_pause` is the pause after a refusal that
    /// comes alone.
    pub(super) fn new(units_per_minute: Option<u32>, first_pause: Duration) -> Self {
        let budget = units_per_minute.map_or(f64::INFINITY, |units| f64::from(units.max(1)) / 60.0);
        let now = Instant::now();
        let level = if budget.is_finite() { budget * BURST.as_secs_f64() } else { 0.0 };
        let state = State {
            budget,
            rate: budget,
            ceiling: budget,
            slope: 0.0,
            level,
            spent: 0.0,
            touched: now,
            gate: now,
            cut: None,
            pause: first_pause,
        };
        Self { first_pause, state: Mutex::new(state) }
    }

    /// Waits until `units` may be spent. Whoever stops waiting gives the units back.
    pub(super) async fn admit(&self, units: u32) -> Admitted {
        let mut claim = Claim { pacer: self, units: f64::from(units), waiting: true };
        let mut due = self.state.lock().take(claim.units);
        loop {
            let now = Instant::now();
            let gate = self.state.lock().gate;
            if now < gate {
                // All wait at this gate, and shall not run into the drive in one moment when it opens.
                due = due.max(gate + self.first_pause.mul_f32(rand::random::<f32>() / 2.0));
            }
            if due <= now {
                claim.waiting = false;
                return Admitted(now);
            }
            tokio::time::sleep_until(due).await;
        }
    }

    /// The drive took a request.
    pub(super) fn taken(&self, admitted: Admitted) {
        let mut state = self.state.lock();
        if state.cut.is_none_or(|cut| cut < admitted.0) {
            state.pause = self.first_pause;
        }
    }

    /// Whether the drive refused a request for its rate within the last minute.
    pub(super) fn is_scarce(&self) -> bool {
        self.state.lock().cut.is_some_and(|cut| cut.elapsed() < RECOVERY)
    }

    /// Whether half of what the bucket can hold is there, and the drive refused nothing for its rate within the last minute: then
    /// somebody who waits for nothing may ask, and who comes next with something to do still passes at once.
    pub(super) fn has_spare(&self) -> bool {
        let mut state = self.state.lock();
        state.advance(Instant::now());
        let is_full = state.rate.is_infinite() || state.level >= state.rate * BURST.as_secs_f64() / 2.0;
        is_full && state.cut.is_none_or(|cut| cut.elapsed() >= RECOVERY)
    }

    /// The drive refused a request, for there were too many; `wait` if it said how long to stop.
    pub(super) fn refused(&self, admitted: Admitted, wait: Option<Duration>) {
        let mut state = self.state.lock();
        let now = Instant::now();
        state.advance(now);
        if state.cut.is_none_or(|cut| cut < admitted.0) {
            let is_first = state.cut.is_none_or(|cut| now - cut > RECOVERY);
            state.gate = state.gate.max(now + state.pause);
            state.pause = (state.pause * 2).min(MAX_PAUSE);
            state.cut = Some(now);
            if !is_first || state.spending() >= FLOOR {
                state.halve();
            }
            tracing::debug!(units_per_second = state.rate, "the drive asks for fewer requests");
        }
        if let Some(wait) = wait {
            state.gate = state.gate.max(now + wait.min(RECOVERY));
        }
    }
}

impl State {
    /// Brings the state to `now`.
    fn advance(&mut self, now: Instant) {
        let seconds = now.saturating_duration_since(self.touched).as_secs_f64();
        self.touched = self.touched.max(now);
        self.spent *= (-seconds / WINDOW.as_secs_f64()).exp();
        if self.rate.is_infinite() {
            return;
        }
        self.level = (self.level + self.rate * seconds).min(self.rate * BURST.as_secs_f64());
        self.rate += self.slope * seconds;
        if self.rate >= self.ceiling {
            self.rate = self.budget;
        }
    }

    /// Takes `units`, and says when they may be spent.
    fn take(&mut self, units: f64) -> Instant {
        let now = Instant::now();
        self.advance(now);
        self.spent += units;
        if self.rate.is_infinite() {
            return now;
        }
        self.level -= units;
        // A full bucket admits whatever the request costs; what it lacks is paid by those who come after.
        let lacking = (-self.level - units).max(0.0);
        now + Duration::try_from_secs_f64(lacking / self.rate).unwrap_or(RECOVERY)
    }

    /// Units a second, as of late.
    fn spending(&self) -> f64 {
        self.spent / WINDOW.as_secs_f64()
    }

    /// Halves the rate at which units are spent now.
    fn halve(&mut self) {
        let before = self.rate.min(self.spending()).max(FLOOR).min(self.budget);
        self.rate = (before / 2.0).max(FLOOR).min(self.budget);
        self.slope = before / 2.0 / RECOVERY.as_secs_f64();
        self.ceiling = self.budget.min(2.0 * before);
        self.level = self.level.min(0.0);
    }
}

/// Units taken from the bucket by a request that is not on its way yet.
struct Claim<'a> {
    pacer: &'a Pacer,
    units: f64,
    waiting: bool,
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        if self.waiting {
            let mut state = self.pacer.state.lock();
            state.level += self.units;
            state.spent = (state.spent - self.units).max(0.0);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use futures_util::future::join_all;

    use super::*;

    const PAUSE: Duration = Duration::from_secs(1);

    async fn seconds_for(pacer: &Pacer, requests: usize, units: u32) -> f64 {
        let start = Instant::now();
        join_all((0..requests).map(|_| pacer.admit(units))).await;
        start.elapsed().as_secs_f64()
    }

    fn rate(pacer: &Pacer) -> f64 {
        let mut state = pacer.state.lock();
        state.advance(Instant::now());
        state.rate
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_budget_nothing_waits() {
        let pacer = Pacer::new(None, PAUSE);
        assert!(seconds_for(&pacer, 10_000, 200).await < 0.001);
    }

    #[tokio::test(start_paused = true)]
    async fn a_budget_allows_a_burst_and_then_holds_the_rate() {
        let pacer = Pacer::new(Some(60_000), PAUSE);
        assert!(seconds_for(&pacer, 50, 200).await < 0.001, "ten seconds of the budget at once");
        let seconds = seconds_for(&pacer, 100, 200).await;
        assert!((19.0..=21.0).contains(&seconds), "{seconds}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_dearer_than_the_whole_bucket_still_gets_through() {
        let pacer = Pacer::new(Some(60), PAUSE);
        assert!(seconds_for(&pacer, 1, 200).await < 0.001);
        let seconds = seconds_for(&pacer, 1, 200).await;
        assert!((189.0..=191.0).contains(&seconds), "{seconds}");
    }

    #[tokio::test(start_paused = true)]
    async fn waiters_go_in_the_order_in_which_they_came() {
        let pacer = Pacer::new(Some(60_000), PAUSE);
        pacer.admit(10_100).await;
        let order = Mutex::new(Vec::new());
        let order_ref = &order;
        let pacer_ref = &pacer;
        join_all((0..5).map(|index| async move {
            pacer_ref.admit(100).await;
            order_ref.lock().push(index);
        }))
        .await;
        assert_eq!(order.into_inner(), [0, 1, 2, 3, 4]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_stops_waiting_gives_the_units_back() {
        let pacer = Pacer::new(Some(60_000), PAUSE);
        pacer.admit(11_000).await;
        for _ in 0..100 {
            assert!(pacer.admit(50_000).now_or_never().is_none());
        }
        let seconds = seconds_for(&pacer, 1, 5).await;
        assert!((0.9..=1.1).contains(&seconds), "{seconds}");
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_refusal_all_stop_together_and_go_on_at_half_the_rate() {
        let pacer = Pacer::new(None, PAUSE);
        let mut admitted = pacer.admit(0).await;
        for _ in 0..600 {
            admitted = pacer.admit(100).await;
            tokio::time::advance(Duration::from_millis(100)).await;
        }
        // A thousand units a second so far.
        pacer.refused(admitted, None);
        assert!((450.0..=550.0).contains(&rate(&pacer)), "{}", rate(&pacer));
        let waits = join_all((0..4).map(|_| async {
            let start = Instant::now();
            pacer.admit(5).await;
            start.elapsed()
        }));
        for wait in waits.await {
            assert!((1.0..=1.6).contains(&wait.as_secs_f64()), "{wait:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn refusals_of_requests_already_on_their_way_count_once() {
        let pacer = Pacer::new(Some(600_000), PAUSE);
        let mut wave = Vec::new();
        for _ in 0..20 {
            wave.push(pacer.admit(200).await);
            tokio::time::advance(Duration::from_millis(20)).await;
        }
        pacer.refused(wave[0], None);
        let once = rate(&pacer);
        for admitted in wave {
            pacer.refused(admitted, None);
        }
        assert!((rate(&pacer) - once).abs() < f64::EPSILON);

        let next = pacer.admit(200).await;
        pacer.refused(next, None);
        assert!(rate(&pacer) < once);
        let start = Instant::now();
        pacer.admit(5).await;
        assert!(start.elapsed() >= 2 * PAUSE, "the second pause is longer");

        let taken = pacer.admit(5).await;
        pacer.taken(taken);
        let next = pacer.admit(5).await;
        pacer.refused(next, None);
        let start = Instant::now();
        pacer.admit(5).await;
        assert!(start.elapsed() < 2 * PAUSE, "something was taken in between");
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_cut_is_regained_and_a_limit_without_a_budget_is_lifted() {
        let pacer = Pacer::new(Some(60_000), PAUSE);
        let admitted = pacer.admit(10_000).await;
        pacer.refused(admitted, None);
        assert!((450.0..=550.0).contains(&rate(&pacer)), "{}", rate(&pacer));
        tokio::time::advance(RECOVERY + PAUSE).await;
        assert!((rate(&pacer) - 1000.0).abs() < 1e-6, "{}", rate(&pacer));

        let pacer = Pacer::new(None, PAUSE);
        let admitted = pacer.admit(10_000).await;
        pacer.refused(admitted, None);
        tokio::time::advance(RECOVERY).await;
        assert!((950.0..=1050.0).contains(&rate(&pacer)), "{}", rate(&pacer));
        tokio::time::advance(2 * RECOVERY + PAUSE).await;
        assert!(rate(&pacer).is_infinite());
    }

    #[tokio::test(start_paused = true)]
    async fn there_is_something_to_spare_while_half_of_the_burst_is_left_and_nothing_was_refused() {
        let pacer = Pacer::new(Some(60_000), PAUSE);
        let mut spared = 0;
        while pacer.has_spare() {
            pacer.admit(200).await;
            spared += 1;
        }
        assert!((25..=26).contains(&spared), "{spared}");
        assert!(seconds_for(&pacer, 20, 200).await < 0.001, "who has something to do passes");
        tokio::time::advance(BURST).await;
        assert!(pacer.has_spare());
        let admitted = pacer.admit(5).await;
        pacer.refused(admitted, None);
        tokio::time::advance(RECOVERY / 2).await;
        assert!(!pacer.has_spare());
        tokio::time::advance(RECOVERY / 2).await;
        assert!(pacer.has_spare());

        let pacer = Pacer::new(None, PAUSE);
        let admitted = pacer.admit(100_000).await;
        assert!(pacer.has_spare());
        pacer.refused(admitted, None);
        assert!(!pacer.has_spare());
    }

    #[tokio::test(start_paused = true)]
    async fn the_drive_can_say_how_long_to_stop() {
        let pacer = Pacer::new(None, PAUSE);
        let admitted = pacer.admit(5).await;
        pacer.refused(admitted, Some(Duration::from_secs(7)));
        let seconds = seconds_for(&pacer, 3, 5).await;
        assert!((7.0..=7.6).contains(&seconds), "{seconds}");
    }

    #[tokio::test(start_paused = true)]
    async fn one_refusal_of_who_spends_next_to_nothing_is_a_pause_and_no_limit() {
        let pacer = Pacer::new(None, PAUSE);
        let admitted = pacer.admit(100).await;
        pacer.refused(admitted, None);
        let seconds = seconds_for(&pacer, 10_000, 200).await;
        assert!((1.0..=1.6).contains(&seconds), "{seconds}");

        let pacer = Pacer::new(None, PAUSE);
        for _ in 0..2 {
            let admitted = pacer.admit(5).await;
            pacer.refused(admitted, None);
        }
        assert!((rate(&pacer) - FLOOR).abs() < 1.0, "it repeats: {}", rate(&pacer));
    }

    #[tokio::test(start_paused = true)]
    async fn no_refusal_stops_us_for_good() {
        let pacer = Pacer::new(Some(6_000), PAUSE);
        for _ in 0..20 {
            let admitted = pacer.admit(5).await;
            pacer.refused(admitted, None);
        }
        assert!((rate(&pacer) - FLOOR).abs() < 1.0, "{}", rate(&pacer));
        let pacer = Pacer::new(Some(60), PAUSE);
        for _ in 0..2 {
            let admitted = pacer.admit(5).await;
            pacer.refused(admitted, None);
        }
        assert!((rate(&pacer) - 1.0).abs() < 1e-6, "a budget below the floor stays");
    }
}
